package front

import (
	"net/http"
	"strconv"
	"time"
)

// Headers in which a client says how long it will wait, beside which the server's own limit stands: its answer comes in time or is of use
// to nobody. Request-Timeout is in seconds, as 0.25, or with a unit, as 250ms; grpc-timeout is up to eight digits and one of H M S m u n.
const (
	timeoutHeader     = "Request-Timeout"
	grpcTimeoutHeader = "Grpc-Timeout"
)

var problemDeadlineHeader = &problem{http.StatusBadRequest, "bad_timeout",
	"Request-Timeout is a number of seconds above 0, as 0.25, or with a unit, as 250ms; grpc-timeout is as 250m"}

// deadline is when the answer to a request is of no use any more; its body's time counts.
func (f *Front) deadline(h http.Header, start time.Time) (time.Time, *problem) {
	limit := f.cfg.RequestTimeout
	for _, given := range h[timeoutHeader] {
		d, ok := secondsOf(given)
		if !ok {
			return start, problemDeadlineHeader
		}
		limit = min(limit, d)
	}
	for _, given := range h[grpcTimeoutHeader] {
		d, ok := grpcTimeout(given)
		if !ok {
			return start, problemDeadlineHeader
		}
		limit = min(limit, d)
	}
	return start.Add(limit), nil
}

// longest bounds what a header may say, so that no sum overflows.
const longest = 365 * 24 * time.Hour

func secondsOf(text string) (time.Duration, bool) {
	if len(text) > 32 {
		return 0, false
	}
	if d, err := time.ParseDuration(text); err == nil {
		return min(d, longest), d > 0
	}
	s, err := strconv.ParseFloat(text, 64)
	if err != nil || !(s > 0) {
		return 0, false
	}
	return max(1, time.Duration(min(s, longest.Seconds())*float64(time.Second))), true
}

var grpcUnits = map[byte]time.Duration{
	'H': time.Hour, 'M': time.Minute, 'S': time.Second, 'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond,
}

func grpcTimeout(text string) (time.Duration, bool) {
	n := len(text) - 1
	if n < 1 || n > 8 {
		return 0, false
	}
	unit, known := grpcUnits[text[n]]
	count, err := strconv.ParseUint(text[:n], 10, 32)
	if !known || err != nil || count == 0 {
		return 0, false
	}
	if count > uint64(longest/unit) {
		return longest, true
	}
	return time.Duration(count) * unit, true
}
