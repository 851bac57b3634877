package front

import (
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
)

// SERVING 11.

// queueOf is a queue with so many rows of ten bytes in it, and a pace.
func queueOf(rows int, p dispatch.Pace) *queue {
	q := newQueue(100_000, 64<<20, 16)
	q.batchBytes = 256 << 10
	q.follow(func() dispatch.Pace { return p }, nil)
	for range rows {
		q.admit(requestOf(1, time.Hour))
	}
	return q
}

func requestOf(rows int, patience time.Duration) *request {
	return &request{body: make([]byte, 10*rows), rows: make([]span, rows), deadline: time.Now().Add(patience), done: make(chan struct{}, 1)}
}

func TestWhatWouldComeTooLateIsRefusedAtOnce(t *testing.T) {
	quick := dispatch.Pace{Batch: 2 * time.Second, Batches: 1000, AtOnce: 1}
	with := func(change func(p *dispatch.Pace)) dispatch.Pace { p := quick; change(&p); return p }
	for _, c := range []struct {
		name     string
		waiting  int
		pace     dispatch.Pace
		rows     int
		patience time.Duration
		want     refusal
	}{
		{"three batches and its own in 10 s", 3 * 16, quick, 1, 15 * time.Second, admitted},
		{"five batches of 2 s are more than 0.8 x 12 s", 4 * 16, quick, 1, 12 * time.Second, late},
		{"two workers are twice as quick", 4 * 16, with(func(p *dispatch.Pace) { p.AtOnce = 2 }), 1, 12 * time.Second, admitted},
		{"rows with workers wait no more", 4 * 16, with(func(p *dispatch.Pace) { p.Out = 48 }), 1, 12 * time.Second, admitted},
		{"the batch under way takes long", 16, with(func(p *dispatch.Pace) { p.Age = time.Minute }), 1, time.Minute, late},
		{"an empty queue refuses nothing", 0, with(func(p *dispatch.Pace) { p.Age = time.Minute }), 1, time.Second, admitted},
		{"nor one of which all is with workers", 16, with(func(p *dispatch.Pace) { p.Age, p.Out = time.Minute, 16 }), 1, time.Second, admitted},
		{"19 batches say nothing", 1600, with(func(p *dispatch.Pace) { p.Batches, p.Batch = 19, 20*time.Millisecond }), 1, time.Millisecond, admitted},
		{"20 do", 1600, with(func(p *dispatch.Pace) { p.Batches, p.Batch = 20, 20*time.Millisecond }), 1, time.Millisecond, late},
		{"nor do five quick ones", 1600, with(func(p *dispatch.Pace) { p.Batches, p.Batch = 5, 20*time.Millisecond }), 1, time.Millisecond, admitted},
		{"five that took a second do", 1600, with(func(p *dispatch.Pace) { p.Batches, p.Batch = 5, 200*time.Millisecond }), 1, time.Second, late},
		{"four do not", 1600, with(func(p *dispatch.Pace) { p.Batches, p.Batch = 4, time.Second }), 1, time.Second, admitted},
		{"a list is as long as its last row", 1, quick, 160, 20 * time.Second, late},
		{"without live workers the estimate is of one", 16, with(func(p *dispatch.Pace) { p.AtOnce = 0 }), 1, 100 * time.Second, admitted},
	} {
		if got := queueOf(c.waiting, c.pace).admit(requestOf(c.rows, c.patience)); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestBatchesAreBoundByBytesToo(t *testing.T) {
	q := queueOf(0, dispatch.Pace{Batch: 2 * time.Second, Batches: 1000, AtOnce: 1})
	for range 8 {
		r := requestOf(1, time.Hour)
		r.body = make([]byte, 200<<10) // one a batch
		q.admit(r)
	}
	if got := q.admit(requestOf(1, 12*time.Second)); got != late {
		t.Errorf("%v", got)
	}
}

func TestWhoIsRefusedIsToldWhenToComeAgain(t *testing.T) {
	f, err := New(Config{Program: "flights"})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	now := time.Now()
	for _, c := range []struct {
		batch    time.Duration
		until    time.Duration // of the breaker
		from, to int
	}{{0, 0, 1, 2}, {8 * time.Second, 0, 8, 13}, {time.Hour, 0, 30, 46}, {0, 20 * time.Second, 20, 31}} {
		f.queue.follow(func() dispatch.Pace { return dispatch.Pace{Batch: c.batch, Batches: 20, AtOnce: 1} }, nil)
		f.first.seen.Store(&state{until: now.Add(c.until)})
		seen := map[int]bool{}
		for range 200 {
			n, err := strconv.Atoi(f.again(now))
			if err != nil || n < c.from || n > c.to {
				t.Fatalf("%v: %d seconds, want %d to %d, %v", c.batch, n, c.from, c.to, err)
			}
			seen[n] = true
		}
		if len(seen) < 2 {
			t.Errorf("%v: always %v", c.batch, seen)
		}
	}
}

// leave sends a request and hangs up when so many rows are counted.
func (r *rig) leave(body string, rows int) {
	r.Helper()
	conn, err := net.Dial("tcp", r.server.Listener.Addr().String())
	if err != nil {
		r.Fatal(err)
	}
	begin(conn, len(body))
	fmt.Fprint(conn, body)
	r.until("it waits", func() bool { n, _ := r.front.load(); return n == rows })
	conn.Close()
	r.until("it is gone", func() bool { n, _ := r.front.load(); return n < rows })
}

func TestRowsOfClientsThatHaveGoneCostNoPythonTime(t *testing.T) {
	r := newRig(t, Config{}).ready()
	var held sync.WaitGroup
	held.Go(func() { _, _, _ = r.ask("POST", "/predict", `{"ask":"hold","dep_delay":1}`) })
	r.until("the worker is busy", func() bool { r.worker.mu.Lock(); defer r.worker.mu.Unlock(); return len(r.worker.batches) == 1 })
	r.leave(`[{"dep_delay":1},{"dep_delay":2},{"dep_delay":3}]`, 4)
	r.until("the route has let go of them", func() bool { return r.route.Status().Queued == 0 })
	r.until("so has the queue", func() bool {
		r.front.queue.mu.Lock()
		defer r.front.queue.mu.Unlock()
		return len(r.front.queue.sent) == 1
	})
	close(r.worker.hold)
	held.Wait()
	r.expect("POST", "/predict", `{"dep_delay":5}`, 200, `{"arr_delay":5,"late":false,"gate":null}`)
	r.worker.mu.Lock()
	defer r.worker.mu.Unlock()
	if got := fmt.Sprint(r.worker.batches); got != "[1 1]" {
		t.Errorf("batches %s", got)
	}
}

// SERVING 14 and 15.

func TestWhileAWorkerIsReplacedRequestsWait(t *testing.T) {
	r := newRig(t, Config{RequestTimeout: 30 * time.Second}).ready()
	r.worker.route.Leave(r.worker, errDied)
	r.until("it is not ready", func() bool { return r.front.cause() != "" })
	if status, _, _ := r.ask("GET", "/readyz", ""); status != 503 {
		t.Errorf("ready without a worker: %d", status)
	}
	answered := make(chan int, 1)
	go func() { status, _, _ := r.ask("POST", "/predict", `{"dep_delay":1}`); answered <- status }()
	r.until("the row waits", func() bool { rows, _ := r.front.load(); return rows == 1 })
	r.join(2)
	if status := <-answered; status != 200 {
		t.Errorf("status %d", status)
	}
}

func TestButNotForEver(t *testing.T) {
	l := &Lane{}
	at := time.Unix(1000, 0)
	gone := &dispatch.Status{State: "waiting", Why: "no worker is ready"}
	for _, c := range []struct {
		cause string
		after time.Duration
		want  string
	}{{gone.Why, 0, gone.Why}, {"", 0, ""}, {gone.Why, restart, ""}, {gone.Why, restart + 1, gone.Why}, {"", time.Minute, ""}, {gone.Why, time.Minute + 1, ""}} {
		is := &state{cause: c.cause}
		l.judge(is, gone, at.Add(c.after))
		if is.refuse != c.want {
			t.Errorf("%q after %v: refused %q, want %q", c.cause, c.after, is.refuse, c.want)
		}
	}
}

func TestAVersionThatKeepsDyingIsRefusedAtOnce(t *testing.T) {
	r := newRig(t, Config{RequestTimeout: 30 * time.Second}).ready()
	for n := range 4 {
		r.until("a worker is there", func() bool { return r.front.cause() == "" || strings.Contains(r.front.cause(), "breaker") })
		if status, _, text := r.ask("POST", "/predict", `{"ask":"die"}`); status != 500 {
			t.Errorf("row %d: %d %s", n, status, text)
		}
	}
	r.until("the breaker is open", func() bool { return strings.Contains(r.front.cause(), "breaker") })
	status, h, text := r.ask("POST", "/predict", `{"dep_delay":1}`)
	if status != http.StatusServiceUnavailable || !strings.Contains(text, "breaker") {
		t.Errorf("%d %s", status, text)
	}
	if after, err := strconv.Atoi(h.Get("Retry-After")); err != nil || after < 25 {
		t.Errorf("retry after %q", h.Get("Retry-After"))
	}
	if status, _, _ := r.ask("GET", "/readyz", ""); status != 503 {
		t.Errorf("ready with an open breaker: %d", status)
	}
}

// The breaker opened only for new requests: those that the version had, 31 of 32, were kept until their deadline.
func TestRequestsOfAVersionThatDiesOfEveryRowAreAnsweredWhenItsBreakerOpens(t *testing.T) {
	r := newRig(t, Config{RequestTimeout: 10 * time.Minute}).ready()
	var statuses [600]atomic.Int64
	var asked sync.WaitGroup
	for n := range 32 {
		body := `{"ask":"die"}`
		if n%4 == 0 {
			body = `[{"ask":"die"},{"ask":"die"},{"ask":"die"}]`
		}
		asked.Go(func() { status, _, _ := r.ask("POST", "/predict", body); statuses[status].Add(1) })
	}
	asked.Wait()
	if told, failed := statuses[503].Load(), statuses[500].Load(); told+failed != 32 || told < 24 {
		t.Errorf("503 %d times, 500 %d times", told, failed)
	}
	r.until("nothing is kept", func() bool { n, _ := r.front.load(); return n == 0 && r.route.Status().Unsettled == 0 })
}

func TestInnocentsBesideARowThatKillsAreAnsweredRightlyAndItsVersionGoesOn(t *testing.T) {
	for _, at := range []int{0, 17, 39} {
		r := newRig(t, Config{RequestTimeout: 10 * time.Minute}).ready()
		rows := make([]string, 40)
		for i := range rows {
			rows[i] = fmt.Sprintf(`{"dep_delay":%d}`, i)
		}
		rows[at] = `{"ask":"die"}`
		status, _, text := r.ask("POST", "/predict", "["+strings.Join(rows, ",")+"]")
		if status != 200 || strings.Count(text, `"arr_delay"`) != 39 || strings.Count(text, "worker_died") != 1 {
			t.Errorf("killer at %d: %d %s", at, status, text)
		}
		if cause := r.front.cause(); strings.Contains(cause, "breaker") {
			t.Errorf("killer at %d: %s", at, cause)
		}
	}
}

func TestWhatAWorkerHasWhenTheBreakerOpensMayBeAnswered(t *testing.T) {
	r := newRig(t, Config{RequestTimeout: 10 * time.Minute}).ready()
	held := make(chan int, 1)
	go func() { status, _, _ := r.ask("POST", "/predict", `{"ask":"hold","dep_delay":1}`); held <- status }()
	r.until("the worker has it", func() bool { return r.route.Status().InFlight == 1 })
	waits := make(chan int, 1)
	go func() { status, _, _ := r.ask("POST", "/predict", `{"dep_delay":1}`); waits <- status }()
	r.until("another waits", func() bool { n, _ := r.front.load(); return n == 2 })
	r.front.queue.refuse(notReady("the breaker is open"))
	if status := <-waits; status != 503 {
		t.Errorf("what waits: %d", status)
	}
	close(r.worker.hold)
	if status := <-held; status != 200 {
		t.Errorf("what is being scored: %d", status)
	}
}

func TestOfASlowModelTheRouteGetsNoMoreThanItsWorkersScore(t *testing.T) {
	for batch, want := range map[time.Duration]int{time.Millisecond: 2 * 3 * 16, 50 * time.Millisecond: 3 * 16} {
		q := queueOf(1000, dispatch.Pace{Batch: batch, Batches: 20})
		q.lend(3)
		if rows, err := q.take(limitOf(1000)); len(rows) != want || err != nil {
			t.Errorf("%v: %d rows lent, %v", batch, len(rows), err)
		}
	}
}
