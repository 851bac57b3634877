package load

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func target(t *testing.T, s *httptest.Server, rows ...string) Target {
	t.Helper()
	at, err := url.Parse(s.URL + "/predict")
	if err != nil {
		t.Fatal(err)
	}
	made := Target{URL: at, Connections: 4, Patience: time.Minute, Seed: 1}
	for _, row := range rows {
		made.Rows = append(made.Rows, []byte(row))
	}
	return made
}

// server notes what it was sent and answers with the status that it is told.
type server struct {
	mu      sync.Mutex
	bodies  map[string]int
	tokens  map[string]int
	status  atomic.Int64
	running atomic.Int64
	most    atomic.Int64
	wait    time.Duration
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if n := s.running.Add(1); n > s.most.Load() {
		s.most.Store(n)
	}
	defer s.running.Add(-1)
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	s.bodies[string(body)]++
	s.tokens[r.Header.Get("Authorization")]++
	s.mu.Unlock()
	time.Sleep(s.wait)
	w.WriteHeader(int(s.status.Load()))
	w.Write([]byte(`{"y": 1}`))
}

func newServer() *server {
	s := &server{bodies: map[string]int{}, tokens: map[string]int{}}
	s.status.Store(200)
	return s
}

func TestARunTellsOfEachStageOfTheServersOwnRates(t *testing.T) {
	s := newServer()
	up := httptest.NewServer(s)
	defer up.Close()
	at := target(t, up, `{"x": 1}`, `{"x": 2}`)
	at.Token = "secret"
	var begun, told []string
	found := map[string]*Report{}
	err := Run(context.Background(), at, 6*time.Second, Stages(4), func(s Stage) { begun = append(begun, s.Name) }, func(s Stage, r *Report) {
		told = append(told, s.Name)
		found[s.Name] = r
	})
	if err != nil || len(begun) != 7 || len(told) != 6 || told[0] != "alone" {
		t.Fatalf("%v, begun %v, told %v", err, begun, told)
	}
	for name, r := range found {
		if r.Rate == 0 || r.P50 <= 0 || r.P50 > r.P99 || r.P99 > r.Max || r.Failed != 0 || r.Statuses["200"] != r.Requests {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if asked := found["open 50 %"].Asked; asked != 0.5*found["full"].Rate {
		t.Errorf("asked %v of %v", asked, found["full"].Rate)
	}
	if s.bodies[`{"x": 1}`] == 0 || s.bodies[`{"x": 2}`] == 0 || len(s.bodies) != 2 {
		t.Errorf("%v", s.bodies)
	}
	if len(s.tokens) != 1 || s.tokens["Bearer secret"] == 0 {
		t.Errorf("%v", s.tokens)
	}
}

func TestAnOpenLoopDoesNotWaitForAnswersAndCountsFromWhenRequestsWereDue(t *testing.T) {
	s := newServer()
	s.wait = 200 * time.Millisecond
	up := httptest.NewServer(s)
	defer up.Close()
	at := target(t, up, `{}`)
	r := at.stage(context.Background(), Stage{Connections: 64}, 100, time.Second)
	if s.most.Load() < 5 {
		t.Errorf("%d at once: a rate of 100/s against 0.2 s each has about 20", s.most.Load())
	}
	one := at.stage(context.Background(), Stage{Connections: 1}, 100, 3*time.Second)
	if one.P99 < 2*r.P50 || one.P50 < 200 {
		t.Errorf("one connection cannot keep up, and its latency does not say so: %+v", one)
	}
}

// Those that were still in line at the end were left out, and the latencies of the others looked better than what was asked.
func TestRequestsThatWereDueAndNotSentAreCounted(t *testing.T) {
	s := newServer()
	s.wait = 200 * time.Millisecond
	up := httptest.NewServer(s)
	defer up.Close()
	at := target(t, up, `{}`)
	if r := at.stage(context.Background(), Stage{Connections: 1}, 200, time.Second); r.Unsent == 0 {
		t.Errorf("%+v", r)
	}
	if r := at.stage(context.Background(), Stage{Connections: 64}, 0, 300*time.Millisecond); r.Unsent != 0 {
		t.Errorf("in a closed loop nothing is due: %+v", r)
	}
}

func TestALateScheduleIsTheSendersOwnThoughNobodyWasFree(t *testing.T) {
	due := time.Unix(1000, 0)
	c := &counter{}
	c.give(due, due.Add(3*time.Millisecond))
	free := make(chan ticket, 1)
	if at, waited := c.take(free); !waited || at.due != due || at.calm {
		t.Errorf("%+v, %v", at, waited)
	}
	if _, waited := c.take(free); waited {
		t.Error("nothing waits")
	}
	c.give(due, due.Add(5*time.Millisecond)) // its client says how late it was sent
	late, unsent := c.left()
	if len(late) != 1 || late[0] != 3*time.Millisecond || unsent != 0 || !(<-free).calm {
		t.Errorf("%v, %d", late, unsent)
	}
	for range waiting + 2 {
		c.give(due, due)
	}
	if _, unsent = c.left(); unsent != waiting+2 {
		t.Errorf("%d, of a line of %d", unsent, waiting)
	}
}

func TestRefusalsAndFailuresAreCountedAndNoRate(t *testing.T) {
	s := newServer()
	s.status.Store(429)
	up := httptest.NewServer(s)
	at := target(t, up, `{}`)
	r := at.stage(context.Background(), Stage{Connections: 2}, 0, time.Second)
	if r.Rate != 0 || r.Statuses["429"] == 0 || r.P50 != 0 {
		t.Errorf("%+v", r)
	}
	up.Close()
	r = at.stage(context.Background(), Stage{Connections: 2}, 0, time.Second)
	if r.Requests != 0 || r.Failed == 0 || r.Why == "" {
		t.Errorf("%+v", r)
	}
	told := 0
	err := Run(context.Background(), at, 300*time.Millisecond, Stages(2), func(Stage) {}, func(Stage, *Report) { told++ })
	if err != nil || told != 2 {
		t.Errorf("%v, %d stages of a server that answers nothing", err, told)
	}
}

func TestALateSenderVoidsItsStage(t *testing.T) {
	punctual := tally{late: make([]time.Duration, 1000)}
	if r := report([]tally{punctual}, time.Second); r.Void {
		t.Errorf("%+v", r)
	}
	late := tally{late: make([]time.Duration, 1000)}
	for i := range 20 {
		late.late[i] = 2 * time.Millisecond
	}
	if r := report([]tally{late}, time.Second); !r.Void || r.Late != 2 {
		t.Errorf("%+v", r)
	}
}

func TestServersWithTLSAreAsked(t *testing.T) {
	s := newServer()
	up := httptest.NewTLSServer(s)
	defer up.Close()
	at := target(t, up, `{}`)
	if r := at.stage(context.Background(), Stage{Connections: 2}, 0, time.Second); r.Rate == 0 {
		t.Errorf("%+v", r)
	}
}

func TestARunEndsWithItsContext(t *testing.T) {
	up := httptest.NewServer(newServer())
	defer up.Close()
	ctx, cancel := context.WithCancel(context.Background())
	err := Run(ctx, target(t, up, `{}`), time.Hour, Stages(2), func(s Stage) {
		if s.Name == "warm" {
			cancel()
		}
	}, func(Stage, *Report) {})
	if err != context.Canceled {
		t.Error(err)
	}
}
