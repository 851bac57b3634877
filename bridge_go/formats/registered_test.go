package formats

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/sr"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/providers"
)

func registryAt(t *testing.T, url string, settings map[string]string) *Registry {
	t.Helper()
	r, err := NewRegistry(messaging.Options{Name: "registry", URL: url, Settings: settings})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func register(t *testing.T, r *Registry, subject string, s sr.Schema) int {
	t.Helper()
	id, err := r.client.RegisterSchema(t.Context(), subject, s, -1, -1)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func opened(t *testing.T, c Config) *Stream {
	t.Helper()
	s, err := NewRegistered(c)
	if err != nil {
		t.Fatal(err)
	}
	s.first = time.Millisecond
	return s
}

// once is a context that ends when a stream would wait for its registry for the first time: what it was told by then is in the error.
func once(t *testing.T, s *Stream) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	s.sleep = func(context.Context, time.Duration) bool { cancel(); return false }
	return ctx
}

const number = `{"type":"record","name":"N","fields":[{"name":"n","type":"int"}]}`

// A second bridge reads what a first has written, whatever the format and whether the schema is registered or found.
func TestEachFormatOverARealRegistry(t *testing.T) {
	r := registryAt(t, providers.URL(t, "registry"), nil)
	for format, x := range map[string]struct{ schema, message, json string }{
		Avro:       {number, "", `{"n":5}`},
		Protobuf:   {`syntax = "proto3"; package p; message M { message N { int64 n = 1; } N inner = 1; }`, "M.N", `{"n":5}`},
		JSONSchema: {`{"type":"object","properties":{"n":{"type":"integer"}}}`, "", `{"n":5}`},
	} {
		topic := rand.Text()
		unregistered := opened(t, Config{Stream: "s", Format: format, Registry: r, Topic: topic, Schema: x.schema, Message: x.message})
		if _, err := unregistered.Encode(once(t, unregistered), []byte(x.json)); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "set register_schema: true") {
			t.Errorf("%s: %v", format, err)
		}
		writer := opened(t, Config{Stream: "s", Format: format, Registry: r, Topic: topic, Schema: x.schema, Register: true, Message: x.message})
		payload, err := writer.Encode(t.Context(), []byte(x.json))
		if err != nil {
			t.Fatal(err)
		}
		if again, err := unregistered.Encode(t.Context(), []byte(x.json)); err != nil || !bytes.Equal(again, payload) {
			t.Errorf("%s: % x, % x, %v", format, again, payload, err)
		}
		latest := opened(t, Config{Stream: "s", Format: format, Registry: r, Topic: topic, Message: x.message})
		if again, err := latest.Encode(t.Context(), []byte(x.json)); err != nil || !bytes.Equal(again, payload) {
			t.Errorf("%s: % x, % x, %v", format, again, payload, err)
		}
		records := []messaging.Record{{Value: payload}, {Value: nil}, {Value: []byte{1, 2}}}
		if err := opened(t, Config{Stream: "s", Format: format, Registry: r, Topic: topic}).Decode(t.Context(), records); err != nil {
			t.Fatal(err)
		}
		if string(records[0].Value) != x.json || !bytes.Equal(records[0].Stored(), payload) || records[0].Fault != nil {
			t.Errorf("%s: %+v", format, records[0])
		}
		if records[1].Value != nil || records[1].Fault != nil {
			t.Errorf("%s: a null value became %+v", format, records[1])
		}
		if f := records[2].Fault; f == nil || f.Code != codeUndecodable || !bytes.Equal(records[2].Stored(), []byte{1, 2}) {
			t.Errorf("%s: %+v", format, records[2])
		}
	}
}

func TestSchemasOfARegistryMayLeadToOthers(t *testing.T) {
	r := registryAt(t, providers.URL(t, "registry"), nil)
	name := "R" + strings.ToLower(rand.Text())
	register(t, r, name+"-inner", sr.Schema{Schema: strings.Replace(number, `"N"`, `"`+name+`"`, 1)})
	outer := sr.Schema{
		Schema:     `{"type":"record","name":"Outer` + name + `","fields":[{"name":"inner","type":"` + name + `"}]}`,
		References: []sr.SchemaReference{{Name: name, Subject: name + "-inner", Version: 1}},
	}
	register(t, r, name+"-value", outer)
	s := opened(t, Config{Stream: "s", Format: Avro, Registry: r, Topic: name})
	payload, err := s.Encode(t.Context(), []byte(`{"inner":{"n":1}}`))
	if err != nil {
		t.Fatal(err)
	}
	records := []messaging.Record{{Value: payload}}
	if err := s.Decode(t.Context(), records); err != nil || string(records[0].Value) != `{"inner":{"n":1}}` {
		t.Errorf("%+v, %v", records[0], err)
	}
}

func TestASchemaOfAnotherLanguageIsThePayloadsMistake(t *testing.T) {
	r := registryAt(t, providers.URL(t, "registry"), nil)
	id := register(t, r, rand.Text(), sr.Schema{Schema: `{"type":"object"}`, Type: sr.TypeJSON})
	payload := binary.BigEndian.AppendUint32([]byte{0}, uint32(id))
	records := []messaging.Record{{Value: append(payload, "{}"...)}}
	if err := opened(t, Config{Stream: "s", Format: Avro, Registry: r}).Decode(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	if f := records[0].Fault; f == nil || !strings.Contains(f.Reason, "it is JSON, and the stream's format is avro") {
		t.Errorf("%+v", records[0])
	}
}

func TestARegistryIsAskedOnceForEachSchemaAndWithItsCredentials(t *testing.T) {
	var asked atomic.Int32
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		asked.Add(1)
		if user, password, _ := q.BasicAuth(); user != "reader" || password != "a/b" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Write([]byte(`{"schema":"\"int\""}`))
	}))
	defer service.Close()
	for _, at := range []struct {
		url      string
		settings map[string]string
	}{
		{strings.Replace(service.URL, "//", "//reader:a%2Fb@", 1), nil},
		{service.URL, map[string]string{"user": "reader", "password": "a/b"}},
	} {
		asked.Store(0)
		s := opened(t, Config{Stream: "s", Format: Avro, Registry: registryAt(t, at.url, at.settings)})
		for range 3 {
			records := []messaging.Record{{Value: []byte{0, 0, 0, 0, 7, 2}}, {Value: []byte{0, 0, 0, 0, 7, 4}}}
			if err := s.Decode(t.Context(), records); err != nil || string(records[1].Value) != "2" {
				t.Errorf("%+v, %v", records, err)
			}
		}
		if n := asked.Load(); n != 1 {
			t.Errorf("asked %d times", n)
		}
	}
	s := opened(t, Config{Stream: "s", Format: Avro, Registry: registryAt(t, service.URL, map[string]string{"user": "reader", "password": "hunter2"})})
	err := s.Decode(once(t, s), []messaging.Record{{Value: []byte{0, 0, 0, 0, 7, 2}}})
	if err == nil || !strings.Contains(err.Error(), "Correct user, password or token") || strings.Contains(err.Error(), "hunter2") {
		t.Error(err)
	}
}

func TestARegistryThatAnswersWithoutEndIsCutOff(t *testing.T) {
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		w.Write([]byte(`{"schema":"`))
		for q.Context().Err() == nil {
			if _, err := w.Write(bytes.Repeat([]byte("x"), 1<<20)); err != nil {
				return
			}
		}
	}))
	defer service.Close()
	_, err := registryAt(t, service.URL, nil).byNumber(t.Context(), 1)
	if err == nil || !strings.Contains(err.Error(), "too large") {
		t.Error(err)
	}
}

func TestManyPayloadsInARowThatDoNotDecodeSlowTheReaderDown(t *testing.T) {
	s := newStream("s", &fixed{s: compiled(t, Avro, `"int"`)}, nil)
	waited := 0
	s.sleep = func(_ context.Context, d time.Duration) bool {
		waited++
		return d == s.last
	}
	read := s.Reader(3)
	waits := func(payloads ...byte) int {
		var records []messaging.Record
		for _, p := range payloads {
			records = append(records, messaging.Record{Value: bytes.Repeat([]byte{2}, int(p))})
		}
		waited = 0
		if err := read(t.Context(), records); err != nil {
			t.Fatal(err)
		}
		for i, r := range records {
			if (r.Fault == nil) != (payloads[i] == 1) {
				t.Errorf("%d: %+v", i, r)
			}
		}
		return waited
	}
	if n := waits(2, 2, 2); n != 0 {
		t.Errorf("three waited %d times", n)
	}
	if n := waits(2, 2); n != 2 {
		t.Errorf("two more waited %d times", n)
	}
	if n := waits(1, 2, 2, 1, 2, 2, 2); n != 0 {
		t.Errorf("after one that decodes they waited %d times", n)
	}
	s.sleep = sleep
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := read(ctx, []messaging.Record{{Value: []byte{2, 2}}}); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// fixed is a codec without a registry.
type fixed struct{ s schema }

func (f *fixed) decode(_ context.Context, value []byte) ([]byte, error) { return f.s.decode(value) }
func (f *fixed) encode(_ context.Context, json []byte) ([]byte, error)  { return f.s.encode(nil, json) }

func TestMistakesOfSettings(t *testing.T) {
	for url, want := range map[string]string{
		"kafka://broker":        "its URL begins with http:// or https://",
		"http://":               "is no schema registry",
		"http://h?colour=red":   `no setting "colour"`,
		"http://h?timeout=soon": "timeout",
		"http://h?tls_ca=/none": "tls_ca",
	} {
		if _, err := NewRegistry(messaging.Options{Name: "registry", URL: url}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", url, err)
		}
	}
	r := registryAt(t, "http://127.0.0.1:1", nil)
	if _, err := NewRegistered(Config{Stream: "s", Format: Avro, Registry: r, Schema: "{"}); err == nil || !strings.Contains(err.Error(), "stream s: schema") {
		t.Error(err)
	}
	if _, err := NewRegistered(Config{Stream: "s", Format: "xml", Registry: r}); err == nil {
		t.Error("a format that there is not")
	}
}

func TestRawIsAnyBytes(t *testing.T) {
	s := NewRaw("frames")
	records := []messaging.Record{{Value: []byte{0, 1, 255}}, {Value: []byte{}}, {}}
	if err := s.Decode(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	if string(records[0].Value) != `{"value":"AAH/"}` || string(records[1].Value) != `{"value":""}` || records[2].Value != nil {
		t.Errorf("%v", records)
	}
	if got, err := s.Encode(t.Context(), records[0].Value); err != nil || !bytes.Equal(got, []byte{0, 1, 255}) {
		t.Errorf("% x, %v", got, err)
	}
	for _, bad := range []string{`{}`, `[]`, `{"value":"*"}`, `{"value":"","more":1}`, `{"value":null}`} {
		var mistake *Mistake
		if _, err := s.Encode(t.Context(), []byte(bad)); !errors.As(err, &mistake) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// A connection that stores what it is given, and refuses the value "refuse".
type shelf struct {
	messaging.Connection
	kept []messaging.Record
}

func (c *shelf) Sink(context.Context, messaging.SinkConfig) (messaging.Sink, error) {
	return shelfSink{c: c}, nil
}

func (c *shelf) Browse(context.Context, string, messaging.Cursor, int) ([]messaging.Record, messaging.Cursor, error) {
	return c.kept, "", nil
}

type shelfSink struct {
	messaging.Sink
	c *shelf
}

func (s shelfSink) Write(_ context.Context, records []messaging.Outgoing) error {
	var failed []messaging.WriteFailure
	for i, r := range records {
		if string(r.Value) == "refuse" {
			failed = append(failed, messaging.WriteFailure{Index: i, Permanent: true, Err: errors.New("no")})
			continue
		}
		s.c.kept = append(s.c.kept, r.Record)
	}
	if failed != nil {
		return &messaging.WriteError{Failed: failed}
	}
	return nil
}

func TestWhoPublishesAndLooksSpeaksJSON(t *testing.T) {
	below := &shelf{}
	conn := NewRaw("frames").Spoken(below)
	sink, err := conn.Sink(t.Context(), messaging.SinkConfig{})
	if err != nil {
		t.Fatal(err)
	}
	var records []messaging.Outgoing
	for _, value := range []string{`{"value":"AA=="}`, `{"wrong":1}`, `{"value":"AQ=="}`, `{"value":"cmVmdXNl"}`} {
		records = append(records, messaging.Outgoing{Record: messaging.Record{Value: []byte(value)}})
	}
	var partial *messaging.WriteError
	if err := sink.Write(t.Context(), records); !errors.As(err, &partial) || len(partial.Failed) != 2 ||
		partial.Failed[0].Index != 1 || partial.Failed[1].Index != 3 {
		t.Errorf("%+v", err)
	}
	if len(below.kept) != 2 || !bytes.Equal(below.kept[1].Value, []byte{1}) {
		t.Errorf("%v", below.kept)
	}
	shown, _, err := conn.Browse(t.Context(), "", "", 10)
	if err != nil || string(shown[0].Value) != `{"value":"AA=="}` || !bytes.Equal(below.kept[0].Value, []byte{0}) {
		t.Errorf("%v, %v", shown, err)
	}
}
