package front

import (
	"net/http"
	"strconv"
	"time"
)

// A problem is an answer that is no prediction, as application/problem+json (RFC 9457): a status, a code for programs, and a
// sentence, which stands twice: as `detail` for readers of the RFC, as `error` for those of the Open Inference Protocol.
type problem struct {
	status     int
	code, text string
}

func (p *problem) Error() string { return p.text }

var (
	problemFull    = &problem{http.StatusTooManyRequests, "queue_full", "the queue is full; try again later"}
	problemLate    = &problem{http.StatusTooManyRequests, "overloaded", "what waits would take longer than this request may; try again later"}
	problemTimeout = &problem{http.StatusGatewayTimeout, "deadline", "the model did not answer in time"}
	problemEnding  = &problem{http.StatusServiceUnavailable, "draining", "the server is shutting down"}
	problemBody    = &problem{http.StatusRequestTimeout, "slow_body", "the body did not arrive in time"}
	problemCut     = &problem{http.StatusBadRequest, "bad_body", "the body could not be read"}
	problemLost    = &problem{http.StatusNotFound, "not_found", "no such page. See /docs"}
	problemToken   = &problem{http.StatusUnauthorized, "unauthorized", "a bearer token is wanted, and there is none here that is known"}
	problemCoding  = &problem{http.StatusUnsupportedMediaType, "content_encoding", "a body is sent as it is, or with Content-Encoding gzip or deflate"}
	problemZip     = &problem{http.StatusBadRequest, "bad_body", "the body is not what its Content-Encoding says"}
)

func malformed(err *syntaxError) *problem {
	return &problem{http.StatusBadRequest, "malformed", err.Error()}
}

func notReady(cause string) *problem {
	return &problem{http.StatusServiceUnavailable, "not_ready", cause}
}

func bodyTooLarge(limit int) *problem {
	return &problem{http.StatusRequestEntityTooLarge, "body_too_large", "the body is larger than " + strconv.Itoa(limit) + " bytes"}
}

func tooManyRows(rows, bytes int) *problem {
	return &problem{http.StatusRequestEntityTooLarge, "too_many_rows",
		"more rows or bytes than the queue ever takes: " + strconv.Itoa(rows) + " rows, " + strconv.Itoa(bytes) + " bytes"}
}

// Codes of fates that have a status of their own; every other failure is ours or the model's: 500.
var failureStatus = map[string]int{
	"invalid_event":   http.StatusUnprocessableEntity,
	"event_too_large": http.StatusRequestEntityTooLarge,
	"worker_hung":     http.StatusGatewayTimeout,
	"deadline":        http.StatusGatewayTimeout,
}

func reasonOf(a *answer) string {
	if a.reason == "" {
		return "the model failed on this row"
	}
	return a.reason
}

func statusOf(code string) int {
	if status, known := failureStatus[code]; known {
		return status
	}
	return http.StatusInternalServerError
}

// fail writes a problem.
func (f *Front) fail(w http.ResponseWriter, p *problem) int {
	if p.status == http.StatusTooManyRequests || p.status == http.StatusServiceUnavailable {
		w.Header()["Retry-After"] = []string{f.again(time.Now())}
	}
	if p.status == http.StatusUnauthorized {
		w.Header()["Www-Authenticate"] = bearerValue
	}
	if p.status == http.StatusRequestTimeout || p.status == http.StatusRequestEntityTooLarge {
		w.Header()["Connection"] = closeValue // the rest of the body is not worth reading
	}
	buffer := takeBuffer()
	defer buffer.put()
	buffer.problem(p)
	return buffer.send(w, p.status)
}
