package wire

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
)

// A Role is what a connection is for. It is part of the preface.
type Role uint8

const (
	RoleEvents     Role = 1
	RoleCalls      Role = 2
	RoleSupervisor Role = 3
	RoleControl    Role = 4
)

var roleNames = [...]string{"", "events", "calls", "supervisor", "control"}

func (r Role) known() bool { return r >= RoleEvents && r <= RoleControl }

// String is the role's name in PROTOCOL.md.
func (r Role) String() string {
	if r.known() {
		return roleNames[r]
	}
	return fmt.Sprintf("role_%d", uint8(r))
}

// A Refusal is the bridge's no, before there are frames.
type Refusal uint8

const (
	Accepted        Refusal = 0
	RefusedProtocol Refusal = 1
	RefusedVersion  Refusal = 2
	RefusedRole     Refusal = 3
	RefusedProof    Refusal = 4
	RefusedTooMany  Refusal = 5
	RefusedDraining Refusal = 6
	RefusedUser     Refusal = 7
)

var refusals = [...]struct{ word, sentence string }{
	{"none", "accepted"},
	{"protocol", "this is not the ds-runner wire protocol"},
	{"version", "no common protocol version; the bridge speaks major version 1"},
	{"role", "the bridge does not know the role"},
	{"proof", "the proof is wrong: both sides need the same token"},
	{"too_many", "too many connections"},
	{"draining", "the bridge is draining"},
	{"user", "the user id is not allowed"},
}

// String is a short word for logs and metrics.
func (r Refusal) String() string {
	if int(r) < len(refusals) {
		return refusals[r].word
	}
	return fmt.Sprintf("refusal_%d", uint8(r))
}

// Error is the sentence that a user sees.
func (r Refusal) Error() string {
	if int(r) < len(refusals) {
		return "wire: refused: " + refusals[r].sentence
	}
	return fmt.Sprintf("wire: refused with %d, which this version does not know", uint8(r))
}

const (
	magic        = "DSWIRE\r\n"
	nonceLen     = 32
	proofLen     = sha256.Size
	helloLen     = len(magic) + 4 + 4 + nonceLen
	headLen      = len(magic) + 3 + 5 + nonceLen
	challengeLen = headLen + proofLen
)

// A Nonce is 32 random bytes, drawn for one connection.
type Nonce [nonceLen]byte

// An Opening is the client's first word.
type Opening struct {
	Lowest, Highest uint8 // major versions
	Minor           uint8 // highest minor version
	Role            Role
	Nonce           Nonce
}

// Bytes is the layout on the wire.
func (o Opening) Bytes() (b [helloLen]byte) {
	copy(b[:], magic)
	b[8], b[9], b[10], b[11] = o.Lowest, o.Highest, o.Minor, uint8(o.Role)
	copy(b[16:], o.Nonce[:])
	return b
}

// parseOpening gives the refusal of what cannot be served.
func parseOpening(b [helloLen]byte) (Opening, Refusal) {
	o := Opening{Lowest: b[8], Highest: b[9], Minor: b[10], Role: Role(b[11]), Nonce: Nonce(b[16:])}
	switch {
	case o.Bytes() != b: // magic and zeros
		return o, RefusedProtocol
	case o.Lowest > Major || o.Highest < Major:
		return o, RefusedVersion
	case !o.Role.known():
		return o, RefusedRole
	}
	return o, Accepted
}

// challengeHead is the first 48 bytes of the bridge's answer, which both proofs cover.
func challengeHead(minor uint8, refusal Refusal, nonce Nonce) (b [headLen]byte) {
	copy(b[:], magic)
	b[8], b[9], b[10] = Major, minor, uint8(refusal)
	copy(b[16:], nonce[:])
	return b
}

// Sides of the exchange, as the text that starts what is proved: one side's proof is of no use to the other.
const (
	bridgeSide = "ds-wire bridge"
	clientSide = "ds-wire client"
)

func proof(token Token, side string, hello [helloLen]byte, head [headLen]byte) []byte {
	mac := hmac.New(sha256.New, token)
	mac.Write([]byte(side))
	mac.Write(hello[:])
	mac.Write(head[:])
	return mac.Sum(nil)
}

// Errors at which a client gives up by its own verdict.
var (
	ErrNotABridge = errors.New("wire: what answers is not a ds-runner bridge")
	ErrVersion    = errors.New("wire: the bridge chose a version that was not offered")
	ErrBridge     = errors.New("wire: the bridge does not know the token")
)

// parseChallenge judges the bridge's answer on the client's side and gives the version chosen.
func parseChallenge(token Token, o Opening, b [challengeLen]byte) (minor uint8, err error) {
	minor, refusal := b[9], Refusal(b[10])
	head := [headLen]byte(b[:headLen])
	plain := challengeHead(minor, refusal, Nonce(b[16:headLen]))
	plain[8] = b[8]
	switch {
	case plain != head:
		return 0, ErrNotABridge
	case refusal != Accepted:
		return 0, refusal
	case b[8] < o.Lowest || b[8] > min(o.Highest, Major) || minor > o.Minor:
		return 0, ErrVersion
	case !hmac.Equal(b[headLen:], proof(token, bridgeSide, o.Bytes(), head)):
		return 0, ErrBridge
	}
	return minor, nil
}
