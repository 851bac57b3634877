package kafka

import (
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// headers is one block for the headers of many records.
type headers []messaging.Header

func headersOf(records []*kgo.Record) *headers {
	n := 0
	for _, r := range records {
		n += len(r.Headers)
	}
	h := make(headers, 0, n)
	return &h
}

func (h *headers) of(r *kgo.Record) []messaging.Header {
	if len(r.Headers) == 0 {
		return nil
	}
	from := len(*h)
	for _, header := range r.Headers {
		*h = append(*h, messaging.Header{Name: header.Key, Value: header.Value})
	}
	return (*h)[from:len(*h):len(*h)]
}

// timeOf is 0 for a record of a broker that keeps no times.
func timeOf(r *kgo.Record) int64 {
	if ms := r.Timestamp.UnixMilli(); ms > 0 {
		return ms * int64(time.Millisecond)
	}
	return 0
}
