package front

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

const described = `{
 "input": {"$ref": "#/$defs/Departure", "$defs": {
  "Departure": {"type": "object", "title": "Departure", "required": ["flight_id", "distance", "dep_delay"], "properties": {
    "flight_id": {"type": "string"}, "distance": {"type": "number", "exclusiveMinimum": 0, "description": "miles"},
    "dep_delay": {"anyOf": [{"type": "number"}, {"type": "null"}]},
    "origin": {"enum": ["EWR", "JFK"]}, "seats": {"type": "integer", "default": 0}, "night": {"type": "boolean"},
    "plane": {"$ref": "#/$defs/Plane"}}},
  "Plane": {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#/$defs/Plane"}, {"type": "null"}]}}}}},
 "output": {"$ref": "#/$defs/Estimate", "$defs": {
  "Estimate": {"type": "object", "required": ["arr_delay", "late"], "properties": {
    "arr_delay": {"type": "number"}, "late": {"type": "boolean"}, "gate": {"anyOf": [{"type": "string"}, {"type": "null"}]}}},
  "Plane": {"type": "string"}}},
 "examples": {"input": [{"flight_id": "a", "distance": 1400, "dep_delay": 12}, {"flight_id": "b", "distance": 700, "dep_delay": null}],
  "output": [{"arr_delay": 12, "late": false}]}}`

// A worker answers batches in this process as a model would; it knows the rows by what they ask for:
// {"dep_delay": 5} is scored, and "ask" of reject, fail, many, none or hold says otherwise.
type worker struct {
	route *dispatch.Route
	hello wire.Hello
	hold  chan struct{} // while open, rows that ask for it wait
	died  func()        // the parent's part

	mu      sync.Mutex
	batches []int // sizes
}

func (w *worker) ID() string                                  { return w.hello.Worker }
func (w *worker) Hello() *wire.Hello                          { return &w.hello }
func (w *worker) Drain(string)                                { go w.route.Leave(w, nil) }
func (w *worker) Close(wire.ByeCode, string)                  { go w.route.Leave(w, errors.New("closed")) }
func (w *worker) Send(b *wire.Batch)                          { go w.answer(b) }
func (w *worker) failed(i int, e wire.RowError) wire.RowError { e.Index = uint64(i); return e }

type askedRow struct {
	Ask      string   `json:"ask"`
	DepDelay *float64 `json:"dep_delay"`
}

var errDied = errors.New("connection reset")

func (w *worker) answer(b *wire.Batch) {
	defer func() {
		if recover() != nil {
			w.route.Leave(w, errDied)
			w.died()
		}
	}()
	w.mu.Lock()
	w.batches = append(w.batches, len(b.Payloads))
	w.mu.Unlock()
	r := &wire.Result{Lease: b.Lease, Count: uint64(len(b.Payloads)), Outputs: [][]byte{}, Counts: make([]uint64, len(b.Payloads))}
	for i, payload := range b.Payloads {
		var row askedRow
		if json.Unmarshal(payload, &row) != nil {
			r.Errors = append(r.Errors, w.failed(i, invalidEvent))
			continue
		}
		w.row(r, i, row)
	}
	w.route.Result(w, r)
}

var invalidEvent = wire.RowError{Kind: wire.KindFail, Code: "invalid_event", Reason: "1 field is wrong",
	Detail: []byte(`[{"field":"dep_delay","got":"twelve","expected":"number or null"}]`)}

func (w *worker) row(r *wire.Result, i int, row askedRow) {
	output := []byte(fmt.Sprintf(`{"arr_delay":%v,"late":false,"gate":null}`, deref(row.DepDelay)))
	switch row.Ask {
	case "reject":
		r.Errors = append(r.Errors, w.failed(i, wire.RowError{Kind: wire.KindReject, Reason: "cancelled flight"}))
		return
	case "fail":
		r.Errors = append(r.Errors, w.failed(i, wire.RowError{Kind: wire.KindFail, Code: "exception", Reason: "ValueError: no"}))
		return
	case "none":
		return
	case "many":
		r.Outputs, r.Counts[i] = append(r.Outputs, output, output), 2
		return
	case "die":
		panic(errDied)
	case "hold":
		<-w.hold
	}
	r.Outputs, r.Counts[i] = append(r.Outputs, output), 1
}

func deref(x *float64) float64 {
	if x == nil {
		return -1
	}
	return *x
}

// A rig is a front over a real route with one worker.
type rig struct {
	*testing.T
	front  *Front
	route  *dispatch.Route
	worker *worker
	server *httptest.Server
}

func newRig(t *testing.T, c Config) *rig {
	t.Helper()
	c.Program, c.Command = "flights", "serve-api"
	front, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	route := front.Route(dispatch.Config{
		Program: "flights", Command: "serve-api", Stream: "http", Nonce: 7, Attempts: 1,
		Breaker: dispatch.Breaker{Off: true}, Batch: dispatch.Batch{Events: 64},
	})
	r := &rig{t, front, route, nil, httptest.NewServer(front)}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- route.Run(ctx) }()
	t.Cleanup(func() {
		r.server.Close()
		cancel()
		<-ended
		front.Close()
	})
	return r
}

// ready lets a worker join and waits until requests are taken.
func (r *rig) ready() *rig {
	r.Helper()
	r.worker = r.join(1)
	r.until("the front is ready", func() bool { return r.front.cause() == "" && len(r.front.types.Load().takes) > 0 })
	return r
}

// join adds a worker, and after its death another.
func (r *rig) join(n int) *worker {
	w := &worker{route: r.route, hold: make(chan struct{}), died: func() { r.join(n + 1) },
		hello: wire.Hello{Worker: fmt.Sprintf("w%d", n), Model: "3", Describe: []byte(described)}}
	if _, err := r.route.Join(w); err != nil {
		r.Errorf("worker %d may not join: %v", n, err)
		return w
	}
	r.route.Ready(w, 1024, 4<<20)
	return w
}

func (r *rig) until(what string, holds func() bool) {
	r.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.Fatalf("not within a minute: %s", what)
		}
	}
}

// ask sends a request and returns status, headers and body.
func (r *rig) ask(method, path, body string) (int, http.Header, string) {
	r.Helper()
	request, err := http.NewRequest(method, r.server.URL+path, strings.NewReader(body))
	if err != nil {
		r.Fatal(err)
	}
	answer, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		r.Fatal(err)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		r.Fatal(err)
	}
	if answer.Close { // net/http takes the header out
		answer.Header.Set("Connection", "close")
	}
	return answer.StatusCode, answer.Header, string(data)
}

// expect asks and compares status and JSON.
func (r *rig) expect(method, path, body string, status int, want string) http.Header {
	r.Helper()
	got, header, text := r.ask(method, path, body)
	if got != status || !equalJSON(r.plain(got, header, text), want) {
		r.Errorf("%s %s %s\ngot  %d %swant %d %s", method, path, body, got, text, status, want)
	}
	return header
}

// plain is a problem without the members that all problems have, which must fit: what a row's entry in a list would be.
func (r *rig) plain(status int, header http.Header, text string) string {
	r.Helper()
	if (status >= 400) != (header.Get("Content-Type") == "application/problem+json") {
		r.Errorf("%d with content type %q", status, header.Get("Content-Type"))
	}
	from := strings.LastIndex(text, `,"status":`)
	if status < 400 || from < 0 {
		return text
	}
	var p struct {
		Status                     int
		Title, Detail, Code, Error string
	}
	if err := json.Unmarshal([]byte(text), &p); err != nil || p.Status != status || p.Title != http.StatusText(status) ||
		p.Detail == "" || p.Code == "" || p.Error != "" && p.Error != p.Detail {
		r.Errorf("%v in %s", err, text)
	}
	if strings.HasPrefix(text, `{"errors":`) {
		from = strings.LastIndex(text, `,"code":`)
	}
	return text[:from] + "}\n"
}

func equalJSON(a, b string) bool {
	var x, y bytes.Buffer
	if json.Compact(&x, []byte(a)) != nil || json.Compact(&y, []byte(b)) != nil {
		return a == b
	}
	return x.String() == y.String()
}

func limitOf(rows int) messaging.Limit { return messaging.Limit{Events: rows, Bytes: 1 << 20} }
