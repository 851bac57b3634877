package wire_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/iotest"

	"ds-runner.dev/ds-runner/bridge_go/wire"
	"ds-runner.dev/ds-runner/bridge_go/wire/wiretest"
)

// A preface is an entry of the files under preface/.
type preface struct {
	Name, Token, Hello, Challenge, Proof, Verdict string
	BridgeNonce                                   string `json:"bridge_nonce"`
	Role, Major, Minor                            uint8
	Refusal                                       *uint8
}

// A peer is a script: what it sends, and what it was sent.
type peer struct {
	io.Reader
	got bytes.Buffer
}

func (p *peer) Write(b []byte) (int, error) { return p.got.Write(b) }

func prefaces(t *testing.T, name string) []preface {
	var list []preface
	wiretest.Load(t, "preface/"+name, &list)
	return list
}

func greet(t *testing.T, p preface, chop func(io.Reader) io.Reader) (string, wire.Greeting, error) {
	t.Helper()
	client := &peer{Reader: chop(bytes.NewReader(wiretest.Hex(t, p.Hello+p.Proof)))}
	var nonce wire.Nonce
	copy(nonce[:], wiretest.Hex(t, p.BridgeNonce))
	g, err := wire.Greet(client, wire.Token(p.Token), nonce, wire.Accepted)
	return hex.EncodeToString(client.got.Bytes()), g, err
}

func whole(r io.Reader) io.Reader { return r }

func TestExchangesAreAnsweredByTheBridge(t *testing.T) {
	for _, p := range prefaces(t, "exchanges.json") {
		for _, chop := range []func(io.Reader) io.Reader{whole, iotest.OneByteReader} {
			answer, g, err := greet(t, p, chop)
			if err != nil || answer != p.Challenge+p.Verdict {
				t.Errorf("%s: answered %s, %v", p.Name, answer, err)
			}
			if g.Role != wire.Role(p.Role) || g.Minor != p.Minor || wire.Major != p.Major {
				t.Errorf("%s: agreed on %+v", p.Name, g)
			}
		}
	}
}

func TestExchangesAreOpenedByTheClient(t *testing.T) {
	for _, p := range prefaces(t, "exchanges.json")[:4] {
		hello := wiretest.Hex(t, p.Hello)
		bridge := &peer{Reader: bytes.NewReader(wiretest.Hex(t, p.Challenge+p.Verdict))}
		g, err := wire.Open(bridge, wire.Token(p.Token), wire.Role(p.Role), wire.Nonce(hello[16:]))
		if err != nil || g.Minor != p.Minor {
			t.Errorf("%s: %+v, %v", p.Name, g, err)
		}
		if sent := hex.EncodeToString(bridge.got.Bytes()); sent != p.Hello+p.Proof {
			t.Errorf("%s: sent %s", p.Name, sent)
		}
	}
}

func TestT29T30RefusalsOfTheBridge(t *testing.T) {
	for _, p := range prefaces(t, "refused_by_bridge.json") {
		answer, _, err := greet(t, p, whole)
		var refusal wire.Refusal
		if !errors.As(err, &refusal) || refusal != wire.Refusal(*p.Refusal) {
			t.Errorf("%s: %v, wants refusal %d", p.Name, err, *p.Refusal)
		}
		if answer != p.Challenge+p.Verdict {
			t.Errorf("%s: answered %s", p.Name, answer)
		}
	}
}

func TestT29T30RefusalsOfTheClient(t *testing.T) {
	for _, p := range prefaces(t, "refused_by_client.json") {
		hello := wiretest.Hex(t, p.Hello)
		bridge := &peer{Reader: bytes.NewReader(wiretest.Hex(t, p.Challenge))}
		_, err := wire.Open(bridge, wire.Token(p.Token), wire.RoleEvents, wire.Nonce(hello[16:]))
		var refusal wire.Refusal
		if err == nil || errors.As(err, &refusal) != (p.Refusal != nil) || p.Refusal != nil && uint8(refusal) != *p.Refusal {
			t.Errorf("%s: %v", p.Name, err)
		}
		if bridge.got.Len() != len(hello) {
			t.Errorf("%s: a proof was sent all the same", p.Name)
		}
	}
}

func TestTokensOfFiles(t *testing.T) {
	var vectors []struct {
		Name, File string
		Token      *string
	}
	wiretest.Load(t, "preface/tokens.json", &vectors)
	for _, v := range vectors {
		token, err := wire.ParseToken(wiretest.Hex(t, v.File))
		if (err == nil) != (v.Token != nil) || err == nil && hex.EncodeToString(token) != *v.Token {
			t.Errorf("%s: %x, %v", v.Name, []byte(token), err)
		}
	}
}

func TestT29TokensAreMaskedHoweverTheyArePrinted(t *testing.T) {
	token := wire.Token("planted secret, 16 bytes or more")
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "token", token, "in", struct{ T wire.Token }{token})
	encoded, _ := json.Marshal(map[string]any{"token": token})
	all := log.String() + string(encoded) + fmt.Sprintf("%v %s %q %x %+v %#v %d", token, token, token, token, token, token, token)
	for _, form := range []string{string(token), hex.EncodeToString(token), "112 108 97"} {
		if strings.Contains(all, form) {
			t.Errorf("the token is in %s", all)
		}
	}
}
