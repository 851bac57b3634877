package wire

import (
	"crypto/hmac"
	"crypto/rand"
	"io"
)

// A Greeting is what a completed preface has agreed on.
type Greeting struct {
	Role  Role
	Minor uint8
}

// NewNonce draws a nonce.
func NewNonce() (n Nonce) {
	rand.Read(n[:]) // never fails: the runtime ends the process when there is no randomness
	return n
}

// Greet is the bridge's side of the preface over rw, which the caller has given a deadline. refusal, when not Accepted,
// is told to the client after its hello. A Refusal comes back as the error when the client was refused.
func Greet(rw io.ReadWriter, token Token, nonce Nonce, refusal Refusal) (Greeting, error) {
	var hello [helloLen]byte
	if _, err := io.ReadFull(rw, hello[:]); err != nil {
		return Greeting{}, err
	}
	o, broken := parseOpening(hello)
	if broken == Accepted {
		broken = refusal
	}
	g := Greeting{Role: o.Role, Minor: min(o.Minor, Minor)}
	if broken != Accepted {
		return g, refuse(rw, broken)
	}
	return g, prove(rw, token, hello, challengeHead(g.Minor, Accepted, nonce))
}

func refuse(w io.Writer, r Refusal) error {
	head := challengeHead(Minor, r, Nonce{})
	if _, err := w.Write(append(head[:], make([]byte, proofLen)...)); err != nil {
		return err
	}
	return r
}

// prove sends the bridge's proof, takes the client's and sends the verdict.
func prove(rw io.ReadWriter, token Token, hello [helloLen]byte, head [headLen]byte) error {
	if _, err := rw.Write(append(head[:], proof(token, bridgeSide, hello, head)...)); err != nil {
		return err
	}
	var theirs [proofLen]byte
	if _, err := io.ReadFull(rw, theirs[:]); err != nil {
		return err
	}
	verdict := Accepted
	if !hmac.Equal(theirs[:], proof(token, clientSide, hello, head)) {
		verdict = RefusedProof
	}
	if _, err := rw.Write([]byte{uint8(verdict)}); err != nil {
		return err
	}
	if verdict != Accepted {
		return verdict
	}
	return nil
}

// Open is the client's side of the preface over rw. The error is a Refusal when the bridge refused.
func Open(rw io.ReadWriter, token Token, role Role, nonce Nonce) (Greeting, error) {
	o := Opening{Lowest: Major, Highest: Major, Minor: Minor, Role: role, Nonce: nonce}
	hello := o.Bytes()
	if _, err := rw.Write(hello[:]); err != nil {
		return Greeting{}, err
	}
	var challenge [challengeLen]byte
	if _, err := io.ReadFull(rw, challenge[:]); err != nil {
		return Greeting{}, err
	}
	minor, err := parseChallenge(token, o, challenge)
	if err != nil {
		return Greeting{}, err
	}
	if _, err := rw.Write(proof(token, clientSide, hello, [headLen]byte(challenge[:headLen]))); err != nil {
		return Greeting{}, err
	}
	var verdict [1]byte
	if _, err := io.ReadFull(rw, verdict[:]); err != nil {
		return Greeting{}, err
	}
	if r := Refusal(verdict[0]); r != Accepted {
		return Greeting{}, r
	}
	return Greeting{Role: role, Minor: minor}, nil
}
