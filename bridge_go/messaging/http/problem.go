package http

import (
	"math/rand/v2"
	nethttp "net/http"
	"strconv"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/plainjson"
)

// A problem is an answer that takes nothing, as application/problem+json: a status, a code for programs, a sentence, and what
// is wrong with single events.
type problem struct {
	Status int          `json:"status"`
	Code   string       `json:"code"`
	Title  string       `json:"title"`
	Detail string       `json:"detail,omitempty"`
	Errors []eventError `json:"errors,omitempty"`
}

var (
	problemPath      = &problem{Status: 404, Code: "not_found", Title: "no stream of this name is received here"}
	problemMethod    = &problem{Status: 405, Code: "method", Title: "events are sent by POST"}
	problemToken     = &problem{Status: 401, Code: "unauthorized", Title: "a bearer token is wanted, and this is not it"}
	problemSignature = &problem{Status: 401, Code: "signature", Title: "the signature is missing or does not fit the body"}
	problemType      = &problem{Status: 415, Code: "content_type", Title: "a body is application/json or application/x-ndjson, in UTF-8"}
	problemEncoding  = &problem{Status: 415, Code: "content_encoding", Title: "a body is sent as it is or with Content-Encoding: gzip"}
	problemZip       = &problem{Status: 400, Code: "malformed", Title: "the body is no gzip"}
	problemSlow      = &problem{Status: 408, Code: "slow_body", Title: "the body did not arrive in time"}
	problemCut       = &problem{Status: 400, Code: "cut", Title: "the body could not be read"}
	problemTooLong   = &problem{Status: 413, Code: "too_large", Title: "the body is too large"}
	problemTooMany   = &problem{Status: 413, Code: "too_many", Title: "too many events in one request"}
	problemEmpty     = &problem{Status: 400, Code: "malformed", Title: "the body is empty"}
	problemMalformed = &problem{Status: 400, Code: "malformed", Title: "the body is not JSON"}
	problemEvents    = &problem{Status: 400, Code: "events", Title: "some events cannot be taken"}
	problemID        = &problem{Status: 400, Code: "id", Title: "an id is at most 255 visible ASCII characters, given once"}
	problemKey       = &problem{Status: 400, Code: "key", Title: "the key cannot be decoded"}
	problemReused    = &problem{Status: 422, Code: "id_reused", Title: "this id was used for another body"}

	problemFull      = &problem{Status: 503, Code: "full", Title: "no more can be taken now; try again later"}
	problemUnread    = &problem{Status: 503, Code: "not_ready", Title: "nobody reads this stream now; try again later"}
	problemEnding    = &problem{Status: 503, Code: "draining", Title: "reading has stopped; send it again later"}
	problemUnsettled = &problem{Status: 503, Code: "unsettled", Title: "no result was stored in time; send it again, with the same id"}
)

// about is the problem with a sentence on this request.
func (p *problem) about(detail string, errors ...eventError) *problem {
	told := *p
	told.Detail, told.Errors = detail, errors
	return &told
}

// tell writes a problem.
func (h *hooks) tell(w nethttp.ResponseWriter, p *problem) {
	head := w.Header()
	switch {
	case p.Status == nethttp.StatusServiceUnavailable:
		h.busy.Inc()
		// jittered, so that senders that were sent away together do not come back together
		head.Set("Retry-After", strconv.Itoa(h.settings.retryFirst+rand.IntN(h.settings.retrySpread)))
	default:
		h.refused.Inc()
	}
	switch p.Status {
	case nethttp.StatusUnauthorized:
		head.Set("WWW-Authenticate", "Bearer")
	case nethttp.StatusMethodNotAllowed:
		head.Set("Allow", nethttp.MethodPost)
	case nethttp.StatusRequestTimeout, nethttp.StatusRequestEntityTooLarge:
		head.Set("Connection", "close") // the rest of the body is not worth reading
	}
	answer(w, p.Status, "application/problem+json", p)
}

// answerTime bounds the writing of an answer to a sender that does not read.
const answerTime = 10 * time.Second

func answer(w nethttp.ResponseWriter, status int, contentType string, body any) {
	nethttp.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTime))
	text, _ := plainjson.Marshal(body) // of our own types: it cannot fail
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(append(text, '\n'))
}
