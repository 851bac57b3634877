package front

import (
	"math/rand/v2"
	"net/http"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// Trace context of W3C: version, trace id, parent id, flags, as 00-<32 hex>-<16 hex>-<2 hex>. A valid one that a client sends
// goes on with an id of ours as the parent: to the model as a header of each row, and back in the answer. None is made here.
const (
	traceLength = 55
	traceHeader = "Traceparent"
)

// traced is the context to go on with, empty when the client sent none that is valid.
func traced(given []string) string {
	if len(given) != 1 || !validTrace(given[0]) {
		return ""
	}
	own := [traceLength]byte{}
	copy(own[:], given[0])
	copy(own[:2], "00") // of what a later version adds nothing is known
	const digits = "0123456789abcdef"
	for id, i := rand.Uint64()|1, 36; i < 52; i, id = i+1, id>>4 { // |1: all zeros are no id
		own[i] = digits[id&15]
	}
	return string(own[:])
}

func validTrace(t string) bool {
	if len(t) < traceLength || len(t) > traceLength && (t[:2] == "00" || t[traceLength] != '-' || len(t) > maxRequestID) {
		return false
	}
	return lowerHex(t[0:2]) && t[:2] != "ff" && t[2] == '-' &&
		lowerHex(t[3:35]) && !zeros(t[3:35]) && t[35] == '-' &&
		lowerHex(t[36:52]) && !zeros(t[36:52]) && t[52] == '-' && lowerHex(t[53:55])
}

func lowerHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func zeros(s string) bool {
	for i := range len(s) {
		if s[i] != '0' {
			return false
		}
	}
	return true
}

// trace puts the context to go on with into the request, in place of the client's, and into the answer.
func trace(h http.Header, r *http.Request, given []string) {
	t := traced(given)
	if t == "" {
		delete(r.Header, traceHeader)
		return
	}
	value := []string{t}
	r.Header[traceHeader], h[traceHeader] = value, value
}

// rowHeaders are what a model gets to know of a request: the context under which it is asked, if any.
func rowHeaders(r *http.Request) []messaging.Header {
	if t := r.Header[traceHeader]; t != nil {
		return []messaging.Header{{Name: "traceparent", Value: []byte(t[0])}}
	}
	return nil
}
