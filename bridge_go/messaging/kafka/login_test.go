package kafka

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"maps"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// cluster starts a stand-in, which logs in and speaks TLS.
func cluster(t testing.TB, o ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(1, "here")}, o...)...)
	must(t, err)
	t.Cleanup(c.Close)
	return c
}

// try opens a connection and asks it for a topic, without waiting for brokers that are away.
func try(t *testing.T, url string, settings map[string]string) error {
	t.Helper()
	settings = maps.Clone(settings)
	if settings == nil {
		settings = map[string]string{}
	}
	settings["start_wait"] = "0s"
	c, err := messaging.Open(context.Background(), messaging.Options{Name: "events", URL: url, Settings: settings})
	if err != nil {
		return err
	}
	defer c.Close(context.Background())
	_, err = c.Incarnation(within(t), "here")
	return err
}

func TestLogins(t *testing.T) {
	c := cluster(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "ann", "se:cret@"), kfake.Superuser("SCRAM-SHA-256", "bob", "b"), kfake.Superuser("SCRAM-SHA-512", "cy", "c"))
	at := c.ListenAddrs()[0]
	for _, k := range []struct {
		name, url string
		settings  map[string]string
		problem   string
	}{
		{"in the URL", "kafka://ann:se%3Acret%40@" + at, nil, ""},
		{"by settings", "kafka://" + at, map[string]string{"user": "ann", "password": "se:cret@"}, ""},
		{"SCRAM-SHA-256", "kafka://bob:b@" + at, map[string]string{"sasl": "scram-sha-256"}, ""},
		{"SCRAM-SHA-512", "kafka://cy:c@" + at, map[string]string{"sasl": "scram-sha-512"}, ""},
		{"with a wrong password", "kafka://ann:no@" + at, nil, "a login (sasl), or another one"},
		{"with a wrong password for SCRAM", "kafka://bob:no@" + at, map[string]string{"sasl": "scram-sha-256"}, "a login (sasl), or another one"},
		{"with none", "kafka://" + at, map[string]string{"connect_timeout": "1s"}, "login"},
	} {
		t.Run(k.name, func(t *testing.T) {
			err := try(t, k.url, k.settings)
			if k.problem == "" {
				must(t, err)
			} else if err == nil || !strings.Contains(err.Error(), k.problem) {
				t.Errorf("got %v, want something of %q", err, k.problem)
			}
			if err != nil && strings.Contains(err.Error(), "se:cret") {
				t.Errorf("tells the password: %v", err)
			}
		})
	}
}

func TestTheTokenIsReadAtEachLogin(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	s := saslSettings{mechanism: "oauthbearer", tokenFile: path}
	for _, want := range []string{"one", "two"} {
		must(t, os.WriteFile(path, []byte(want+"\n"), 0o600))
		if got, err := s.token(context.Background()); err != nil || got.Token != want {
			t.Errorf("got %q, %v, want %q", got.Token, err, want)
		}
	}
	must(t, os.WriteFile(path, nil, 0o600))
	if _, err := s.token(context.Background()); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("an empty file: %v", err)
	}
}

func TestEncryptedConnections(t *testing.T) {
	certificate, ca := selfSigned(t)
	c := cluster(t, kfake.TLS(&tls.Config{Certificates: []tls.Certificate{certificate}}))
	at := c.ListenAddrs()[0]
	must(t, try(t, "kafka+tls://"+at, map[string]string{"tls_ca": ca}))
	must(t, try(t, "kafka://"+at, map[string]string{"tls": "true", "tls_insecure": "true"}))
	if err := try(t, "kafka+tls://"+at, nil); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate that nobody vouches for: %v", err)
	}
	if err := try(t, "kafka+tls://"+at, map[string]string{"tls_ca": ca, "tls_server_name": "elsewhere"}); err == nil || !strings.Contains(err.Error(), "elsewhere") {
		t.Errorf("a certificate of another name: %v", err)
	}
	if err := try(t, "kafka://"+at, map[string]string{"connect_timeout": "1s"}); err == nil || !strings.Contains(err.Error(), "TLS") {
		t.Errorf("a plain connection to it: %v", err)
	}
}

func selfSigned(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "broker"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}, DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(t, err)
	path := filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, path
}

func TestAnUnreachableClusterIsNamed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	at := l.Addr().String()
	must(t, l.Close())
	if err := try(t, "kafka://"+at, nil); err == nil || !strings.Contains(err.Error(), at) || !strings.Contains(err.Error(), "Is the address right?") {
		t.Errorf("got %v", err)
	}
}

func TestSettingsThatDoNotFitAreRefused(t *testing.T) {
	for _, k := range []struct {
		url, problem string
		settings     map[string]string
	}{
		{"kafka://:9092", "no broker's address", nil},
		{"kafka://a b", "no broker's address", nil},
		{"kafka://x:%zz@host", "escape", nil},
		{"kafka://host", "revoke_wait is", map[string]string{"revoke_wait": "3m"}},
		{"kafka://host", "write_timeout is", map[string]string{"write_timeout": "1h"}},
		{"kafka://host", "token_file", map[string]string{"sasl": "oauthbearer"}},
		{"kafka://host", "tls_cert and tls_key", map[string]string{"tls": "true", "tls_cert": "a"}},
		{"kafka://host", "TLS is off", map[string]string{"tls_ca": "a"}},
		{"kafka://host", "tls_ca:", map[string]string{"tls": "true", "tls_ca": "/no/such"}},
		{"kafka://host", "gap is", map[string]string{"gap": "maybe"}},
	} {
		if err := try(t, k.url, k.settings); err == nil || !strings.Contains(err.Error(), k.problem) || !strings.Contains(err.Error(), "connection events") {
			t.Errorf("%s %v: got %v, want something of %q", k.url, k.settings, err, k.problem)
		}
	}
}

func TestAddresses(t *testing.T) {
	for given, want := range map[string]string{
		"": "127.0.0.1:9092", "//a": "a:9092", "//a:1,b:2,c": "a:1 b:2 c:9092", "//[::1]:7": "[::1]:7", "//::1": "[::1]:9092", "//u:p@a:1/": "a:1",
	} {
		if got, _, _, err := addresses(given); err != nil || strings.Join(got, " ") != want {
			t.Errorf("%q: got %v, %v, want %s", given, got, err, want)
		}
	}
}
