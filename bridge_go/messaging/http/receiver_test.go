package http

import (
	"context"
	"encoding/json"
	"io"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	nethttp "net/http"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	_ "ds-runner.dev/ds-runner/bridge_go/messaging/memory"
)

// A receiver is an endpoint that stores what it gets in topics that can be read: /<topic>.
type receiver struct {
	t     testing.TB
	url   string
	store messaging.Connection
	// judge, when not nil, answers first: a status other than 0 is the answer.
	judge func(q *nethttp.Request, body []byte, w nethttp.ResponseWriter) int
}

func newReceiver(t testing.TB) *receiver {
	t.Helper()
	store, err := messaging.Open(context.Background(), messaging.Options{Name: "store", URL: "memory:"})
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{t: t, store: store}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

func (r *receiver) ServeHTTP(w nethttp.ResponseWriter, q *nethttp.Request) {
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return
	}
	if r.judge != nil {
		if status := r.judge(q, body, w); status != 0 {
			w.WriteHeader(status)
			return
		}
	}
	topic, err := url.PathUnescape(strings.TrimPrefix(q.URL.EscapedPath(), "/"))
	if err != nil {
		r.t.Error(err)
	}
	sink, err := r.store.Sink(q.Context(), messaging.SinkConfig{Topic: topic})
	if err == nil {
		err = sink.Write(q.Context(), r.received(q, body))
	}
	if err != nil {
		r.t.Error(err)
	}
}

// received reads a request as its documentation says.
func (r *receiver) received(q *nethttp.Request, body []byte) (all []messaging.Outgoing) {
	var values []json.RawMessage
	switch q.Header.Get("Content-Type") {
	case "application/x-ndjson":
		for line := range strings.Lines(string(body)) {
			values = append(values, json.RawMessage(strings.TrimSuffix(line, "\n")))
		}
	case "application/array":
		if err := json.Unmarshal(body, &values); err != nil {
			r.t.Errorf("%q: %v", body, err)
		}
	default:
		return []messaging.Outgoing{r.single(q, body)}
	}
	for _, v := range values {
		all = append(all, messaging.Outgoing{Record: messaging.Record{Value: v}})
	}
	return all
}

func (r *receiver) single(q *nethttp.Request, body []byte) messaging.Outgoing {
	o := messaging.Outgoing{Record: messaging.Record{Value: body}}
	if q.Header.Get(headerNull) != "" {
		o.Value = nil
	}
	if key, given := q.Header[headerKey]; given {
		text, err := url.PathUnescape(key[0])
		if err != nil {
			r.t.Error(err)
		}
		o.Key = []byte(text)
	}
	if at := q.Header.Get(headerTime); at != "" {
		when, err := time.Parse(time.RFC3339Nano, at)
		if err != nil {
			r.t.Error(err)
		}
		o.Time = when.UnixNano()
	}
	return o
}

// A paired connection writes through HTTP, and reads what the receiver has stored.
type paired struct {
	messaging.Connection
	sinks messaging.Connection
}

func (p *paired) Sink(ctx context.Context, c messaging.SinkConfig) (messaging.Sink, error) {
	return p.sinks.Sink(ctx, c)
}

func (p *paired) Close(ctx context.Context) error {
	if err := p.Connection.Close(ctx); err != nil {
		return err
	}
	return p.sinks.Close(ctx)
}

// values are what the receiver has, in order.
func (r *receiver) values(topic string) (all []string) {
	r.t.Helper()
	records, _, err := r.store.Browse(soon(r.t), topic, messaging.Oldest, 1<<20)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, one := range records {
		all = append(all, string(one.Value))
	}
	return all
}

func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

func dial(t testing.TB, url string, settings map[string]string) messaging.Connection {
	t.Helper()
	c, err := messaging.Open(context.Background(), messaging.Options{Name: "out", URL: url, Settings: settings})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

func sinkTo(t testing.TB, c messaging.Connection, topic string) messaging.Sink {
	t.Helper()
	s, err := c.Sink(context.Background(), messaging.SinkConfig{Topic: topic})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func outgoing(values ...string) (all []messaging.Outgoing) {
	for _, v := range values {
		all = append(all, messaging.Outgoing{Record: messaging.Record{Value: []byte(v)}})
	}
	return all
}
