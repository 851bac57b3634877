package front

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// A shelf is a sink that keeps what is written, as the test lets it.
type shelf struct {
	mu      sync.Mutex
	records []string
	closed  bool
	before  func(n int) error // of the n-th Write
	writes  int
}

func (s *shelf) Write(ctx context.Context, records []messaging.Outgoing) error {
	s.mu.Lock()
	s.writes++
	n, before := s.writes, s.before
	s.mu.Unlock()
	var err error
	if before != nil {
		err = before(n)
	}
	failed := map[int]bool{}
	var some *messaging.WriteError
	if errors.As(err, &some) {
		for _, f := range some.Failed {
			failed[f.Index] = true
		}
	} else if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, r := range records {
		if !failed[i] {
			s.records = append(s.records, string(r.Value))
		}
	}
	return err
}
func (s *shelf) Info() messaging.SinkInfo    { return messaging.SinkInfo{} }
func (s *shelf) Close(context.Context) error { s.closed = true; return nil }
func (s *shelf) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.records...)
}
func (s *shelf) has(n int) func() bool { return func() bool { return len(s.all()) >= n } }

const secretive = `{
 "input": {"type": "object", "properties": {"flight_id": {"type": "string", "x-log": false}, "dep_delay": {"type": "number"}}},
 "output": {"type": "object", "properties": {"arr_delay": {"type": "number"}, "gate": {"type": "string", "x-log": false}}}}`

// logging is a rig with a request log into a shelf.
func logging(t *testing.T, s *shelf, c RequestLog) *rig {
	c.Sink = s
	if c.Requests == 0 {
		c.Requests, c.Bytes = 100, 1<<20
	}
	return newRig(t, Config{RequestLog: &c})
}

// tells has a worker join that describes its events so.
func (r *rig) tells(describe string) *rig {
	r.Helper()
	r.worker = &worker{route: r.route, hold: make(chan struct{}), died: func() {}, hello: wire.Hello{Worker: "w", Model: "3", Describe: []byte(describe)}}
	if _, err := r.route.Join(r.worker); err != nil {
		r.Fatal(err)
	}
	r.route.Ready(r.worker, 1024, 4<<20)
	r.until("the front is ready", func() bool { return r.front.cause() == "" && r.front.first.types.Load() != nil })
	return r
}

func TestARequestIsLoggedWithItsRowsAnswersVersionAndTime(t *testing.T) {
	s := &shelf{}
	r := logging(t, s, RequestLog{Sample: 1}).tells(secretive)
	r.expect("POST", "/predict", `{"flight_id":"top secret","dep_delay":1}`, 200, `{"arr_delay":1,"late":false,"gate":null}`)
	r.until("it is logged", s.has(1))
	status, _, _ := r.ask("POST", "/predict", `[{"dep_delay":2,"flight_id":{"deep":["top secret"]}},{"dep_delay":"top secret"},{"ask":"reject"}]`)
	if status != 200 {
		t.Fatal(status)
	}
	r.until("it is logged", s.has(2))
	for i, want := range []string{
		`"rows_in":1,"rows_scored":1,"rows":[{"flight_id":"(hidden)","dep_delay":1}],"answers":[{"arr_delay":1,"late":false,"gate":"(hidden)"}]}`,
		`"rows_in":3,"rows_scored":1,"rows":[{"dep_delay":2,"flight_id":"(hidden)"},"(hidden)",{"ask":"reject"}],` +
			`"answers":[{"arr_delay":2,"late":false,"gate":"(hidden)"},{"errors":[{"field":"dep_delay","got":"twelve","expected":"number or null"}]},{"rejected":"cancelled flight"}]}`,
	} {
		got := s.all()[i]
		var record struct {
			Time             time.Time
			Request, Version string
			Latency          float64 `json:"latency_ms"`
		}
		if err := json.Unmarshal([]byte(got), &record); err != nil || record.Version != "3" || record.Request == "" || record.Latency <= 0 ||
			time.Since(record.Time).Abs() > time.Minute {
			t.Errorf("%v %+v", err, record)
		}
		if !strings.HasSuffix(got, want) || strings.Contains(got, "top secret") {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestOfAModelThatDoesNotSayWhatItTakesOnlyNumbersAreLogged(t *testing.T) {
	s := &shelf{}
	r := logging(t, s, RequestLog{Sample: 1}).tells(`{}`)
	r.expect("POST", "/predict", `{"dep_delay":1}`, 200, `{"arr_delay":1,"late":false,"gate":null}`)
	r.until("it is logged", s.has(1))
	if got := s.all()[0]; !strings.HasSuffix(got, `"rows_in":1,"rows_scored":1}`) {
		t.Error(got)
	}
}

func TestOfALongListTheFirstRowsAreLogged(t *testing.T) {
	s := &shelf{}
	r := logging(t, s, RequestLog{Sample: 1}).ready()
	rows := strings.Repeat(`{"dep_delay":1},`, 500)
	if status, _, _ := r.ask("POST", "/predict", "["+rows[:len(rows)-1]+"]"); status != 200 {
		t.Fatal(status)
	}
	r.until("it is logged", s.has(1))
	var record struct {
		In      int `json:"rows_in"`
		Scored  int `json:"rows_scored"`
		Rows    []any
		Answers []any
	}
	if err := json.Unmarshal([]byte(s.all()[0]), &record); err != nil || record.In != 500 || record.Scored != 500 || len(record.Rows) != mostLogged || len(record.Answers) != mostLogged {
		t.Errorf("%v %+v", err, record)
	}
}

func TestAPartOfTheRequestsIsDrawn(t *testing.T) {
	l := &requestLog{RequestLog: RequestLog{Sample: 0.25}}
	n := 0
	for range 10_000 {
		if l.takes() {
			n++
		}
	}
	if n < 2200 || n > 2800 {
		t.Errorf("%d of 10,000", n)
	}
	if (*requestLog)(nil).takes() || (&requestLog{}).takes() {
		t.Error("drawn though nothing is to be")
	}
}

func TestWhatDoesNotFitIsDroppedAndCountedAndNobodyWaits(t *testing.T) {
	open := make(chan struct{})
	s := &shelf{before: func(int) error { <-open; return nil }}
	r := logging(t, s, RequestLog{Sample: 1, Requests: 4, Bytes: 1 << 20}).ready()
	ask := func() {
		r.expect("POST", "/predict", `{"dep_delay":1}`, 200, `{"arr_delay":1,"late":false,"gate":null}`)
	}
	ask()
	r.until("the sink is asked", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.writes == 1 })
	for range 10 {
		ask()
	}
	if full := r.front.log.full.Load(); full != 6 {
		t.Errorf("%d dropped", full)
	}
	close(open)
	r.until("the others are written", func() bool { return r.front.log.written.Load() == 5 })
	if left := r.front.log.bytes.Load(); left != 0 {
		t.Errorf("%d bytes are counted still", left)
	}
}

func TestTheLogIsBoundByBytesToo(t *testing.T) {
	s := &shelf{}
	r := logging(t, s, RequestLog{Sample: 1, Requests: 100, Bytes: 1000}).ready()
	big := `{"dep_delay":1,"pad":"` + strings.Repeat("x", 1000) + `"}`
	if status, _, _ := r.ask("POST", "/predict", big); status != 200 {
		t.Fatal(status)
	}
	r.until("it is dropped", func() bool { return r.front.log.full.Load() == 1 })
}

func TestWhatMayPassIsTriedAgainAndWhatIsRefusedCounted(t *testing.T) {
	s := &shelf{before: func(n int) error {
		switch n {
		case 1:
			return errors.New("away")
		case 2:
			return &messaging.WriteError{Failed: []messaging.WriteFailure{{Index: 0, Err: errors.New("busy")}}}
		case 4:
			return &messaging.WriteError{Failed: []messaging.WriteFailure{{Index: 0, Permanent: true, Err: errors.New("too large")}}}
		}
		return nil
	}}
	r := logging(t, s, RequestLog{Sample: 1}).ready()
	for i := range 2 {
		r.expect("POST", "/predict", fmt.Sprintf(`{"dep_delay":%d}`, i), 200, fmt.Sprintf(`{"arr_delay":%d,"late":false,"gate":null}`, i))
		r.until("it is dealt with", func() bool { l := r.front.log; return l.written.Load()+l.failed.Load() == uint64(i+1) })
	}
	if got := s.all(); len(got) != 1 || r.front.log.failed.Load() != 1 {
		t.Errorf("%v, %d refused", got, r.front.log.failed.Load())
	}
}

func TestTheEndWritesWhatWaitsAndClosesTheStream(t *testing.T) {
	s := &shelf{}
	l := newRequestLog(RequestLog{Sink: s, Sample: 1, Requests: 10, Bytes: 1000}, slog.New(slog.DiscardHandler))
	lane := &Lane{}
	lane.types.Store(&types{})
	for range 5 {
		l.note("id", &request{body: []byte(`{}`), rows: []span{{0, 2}}, answers: []answer{{fate: scored}}, lane: lane}, time.Now())
	}
	l.close()
	if len(s.all()) != 5 || !s.closed {
		t.Errorf("%d records, closed %v", len(s.all()), s.closed)
	}
}

func TestHiddenFieldsAreFoundWhereverTheyStand(t *testing.T) {
	h := hiddenOf(json.RawMessage(`{"properties":{"a":{"x-log":false},"b":{"type":"string"},"x-log":{"type":"boolean"}},
		"$defs":{"C":{"properties":{"pin":{"x-log":false}}}}}`))
	for in, want := range map[string]string{
		`{"a":1,"b":"a"}`:                 `{"a":"(hidden)","b":"a"}`,
		` {"b" : "a:" , "a" : {"b":[1]}}`: ` {"b" : "a:" , "a" : "(hidden)"}`,
		`{"\u0061":1}`:                    `{"\u0061":"(hidden)"}`,
		`[{"c":{"pin":"\"1,2"}},"pin"]`:   `[{"c":{"pin":"(hidden)"}},"pin"]`,
		`{"a":{"a":{"pin":1}},"a":2}`:     `{"a":"(hidden)","a":"(hidden)"}`,
		`{"a":`:                           `"(hidden)"`,
		`7`:                               `7`,
		``:                                `"(hidden)"`,
	} {
		if got := string(h.redact(nil, []byte(in))); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
	if hiddenOf(json.RawMessage(`{"properties":{"a":{}}}`)) != nil {
		t.Error("nothing is hidden here")
	}
}

func FuzzRedact(f *testing.F) {
	f.Add([]byte(`{"a":1,"b":{"a":"x"}}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		out := hidden{"a": true}.redact(nil, value)
		if !json.Valid(out) {
			t.Errorf("%q is no JSON, of %q", out, value)
		}
	})
}
