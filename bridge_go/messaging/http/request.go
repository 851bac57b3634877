package http

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	nethttp "net/http"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// What a request says of its record beside the body. Keys are percent-encoded where they are not visible ASCII.
const (
	headerID   = "Idempotency-Key"
	headerKey  = "Ds-Key"
	headerTime = "Ds-Time" // RFC 3339 with nanoseconds
	headerNull = "Ds-Null" // the value is null, and the body empty
)

// traced are record headers that are always sent: what joins an answer to its event and its model.
var traced = []string{"ds-source", "ds-model"}

// one makes the request of a single record.
func (s *sink) one(ctx context.Context, r *messaging.Outgoing) (*nethttp.Request, error) {
	q, err := s.request(ctx, r.Value, s.e.contentType("application/json"))
	if err != nil {
		return nil, err
	}
	h := q.Header
	if r.ID != "" {
		h.Set(headerID, escaped(r.ID))
	}
	if r.Key != nil {
		h[headerKey] = []string{escaped(string(r.Key))}
	}
	if r.Time != 0 {
		h.Set(headerTime, time.Unix(0, r.Time).UTC().Format(time.RFC3339Nano))
	}
	if r.Value == nil {
		h.Set(headerNull, "true")
	}
	for _, given := range r.Headers {
		if s.e.passes(given.Name) && httpguts.ValidHeaderFieldValue(string(given.Value)) {
			h.Add(given.Name, string(given.Value))
		}
	}
	return q, nil
}

// many makes the request of a batch: its records have their ids and keys in no header, since there is one for all.
func (s *sink) many(ctx context.Context, records []*messaging.Outgoing) (*nethttp.Request, error) {
	if s.e.settings.body == bodyLines {
		return s.request(ctx, joined(records, "", "\n", "\n"), s.e.contentType("application/x-ndjson"))
	}
	return s.request(ctx, joined(records, "[", ",", "]"), s.e.contentType("application/json"))
}

func joined(records []*messaging.Outgoing, before, between, after string) []byte {
	var b bytes.Buffer
	b.WriteString(before)
	for i, r := range records {
		if i > 0 {
			b.WriteString(between)
		}
		if r.Value == nil {
			b.WriteString("null")
		}
		if bytes.IndexByte(r.Value, '\n') >= 0 {
			json.Compact(&b, r.Value) // it is valid, as unfit has found
			continue
		}
		b.Write(r.Value)
	}
	b.WriteString(after)
	return b.Bytes()
}

func (s *sink) request(ctx context.Context, body []byte, contentType string) (*nethttp.Request, error) {
	q, err := nethttp.NewRequestWithContext(ctx, s.e.settings.method, s.url, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("http: %s is no address: %w", messaging.Mask(s.url), err)
	}
	q.Header = s.e.settings.header.Clone()
	q.Header.Set("Content-Type", contentType)
	if u := s.e.user; u != nil {
		password, _ := u.Password()
		q.SetBasicAuth(u.Username(), password)
	}
	return q, nil
}

func (e *endpoint) contentType(byDefault string) string {
	if e.settings.contentType != "" {
		return e.settings.contentType
	}
	return byDefault
}

func (e *endpoint) passes(name string) bool {
	for _, list := range [][]string{traced, e.settings.pass} {
		for _, known := range list {
			if strings.EqualFold(known, name) {
				return true
			}
		}
	}
	return false
}

// escaped writes text as a header can hold it. Percent signs are encoded too, so that decoding gives the same text back.
func escaped(text string) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(text) {
		if c := text[i]; c > ' ' && c < 0x7f && c != '%' {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', digits[c>>4], digits[c&15]})
		}
	}
	return b.String()
}

// drain reads what is left of an answer, within bounds, so that its connection can be used again.
func drain(body io.ReadCloser) {
	io.Copy(io.Discard, io.LimitReader(body, 64<<10))
	body.Close()
}
