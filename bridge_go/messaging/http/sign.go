package http

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	nethttp "net/http"
	"strings"
)

// checkToken compares the bearer token in constant time. Hashes are compared, so that the length of the token is no secret that
// time tells either.
func (s *hookSettings) checkToken(head nethttp.Header) *problem {
	if len(s.token) == 0 {
		return nil
	}
	scheme, given, _ := strings.Cut(head.Get("Authorization"), " ")
	want, got := sha256.Sum256(s.token), sha256.Sum256([]byte(strings.TrimSpace(given)))
	if !strings.EqualFold(scheme, "bearer") || subtle.ConstantTimeCompare(want[:], got[:]) != 1 {
		return problemToken
	}
	return nil
}

// checkSignature compares the HMAC-SHA256 of the body as it was sent, compressed or not.
func (s *hookSettings) checkSignature(head nethttp.Header, body []byte) *problem {
	if len(s.secret) == 0 {
		return nil
	}
	text, found := strings.CutPrefix(strings.TrimSpace(head.Get(s.secretHeader)), s.prefix)
	given, err := hex.DecodeString(text)
	mac := hmac.New(sha256.New, s.secret)
	mac.Write(body)
	if !found || err != nil || !hmac.Equal(mac.Sum(nil), given) {
		return problemSignature
	}
	return nil
}
