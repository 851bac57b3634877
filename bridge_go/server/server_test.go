package server_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/server"
	"ds-runner.dev/ds-runner/bridge_go/server/servertest"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

var token = wire.Token("planted token of 16 bytes or more")

// A rig is a server on loopback with a pool that remembers, and a log that is searched for the token at its end.
type rig struct {
	t        *testing.T
	server   *server.Server
	pool     *servertest.Pool
	registry *prometheus.Registry
	address  string
}

func start(t *testing.T, change func(*server.Config)) *rig {
	t.Helper()
	r := &rig{t: t, pool: servertest.NewPool(), registry: prometheus.NewRegistry()}
	log := &safeLog{}
	cfg := server.Config{
		Listen: []string{"tcp://127.0.0.1:0"}, Token: token, Nonce: 77, Bridge: "ds-bridge test",
		Pool:     func(string, string) (dispatch.Pool, error) { return r.pool, nil },
		Log:      slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Register: r.registry,
	}
	if change != nil {
		change(&cfg)
	}
	before := runtime.NumGoroutine()
	s, err := server.Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.server, r.address = s, s.Addresses()[0]
	t.Cleanup(func() {
		r.shutdown()
		if log.has(string(token)) {
			t.Errorf("the token is in the log:\n%s", log)
		}
		waitFor(t, "goroutines to end", func() bool { return runtime.NumGoroutine() <= before+2 })
	})
	return r
}

func (r *rig) shutdown() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), servertest.Patience)
	defer cancel()
	if err := r.server.Shutdown(ctx); err != nil {
		r.t.Errorf("shutdown: %v", err)
	}
}

func (r *rig) worker(name string) *servertest.Client {
	r.t.Helper()
	c, _ := servertest.Greeted(r.t, r.address, token, wire.RoleEvents, servertest.Hello("p", "c", name))
	return c
}

func (r *rig) ready(name string, events, bytes uint64) (*servertest.Client, dispatch.Worker) {
	r.t.Helper()
	c := r.worker(name)
	c.Send(&wire.Ready{Events: events, Bytes: bytes})
	return c, r.pool.Wait(r.t, "Ready", name, 1).Handle
}

// metric is the sum of a metric's series that have all the labels, given as name=value.
func (r *rig) metric(name string, labels ...string) float64 {
	r.t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			have := ""
			for _, l := range m.GetLabel() {
				have += "," + l.GetName() + "=" + l.GetValue() + ","
			}
			if containsAll(have, labels) {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

func containsAll(have string, labels []string) bool {
	for _, l := range labels {
		if !strings.Contains(have, ","+l+",") {
			return false
		}
	}
	return true
}

func waitFor(t testing.TB, what string, true func() bool) {
	t.Helper()
	for end := time.Now().Add(servertest.Patience); !true(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited too long for %s", what)
		}
	}
}

type safeLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *safeLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *safeLog) has(s string) bool { return strings.Contains(l.String(), s) }

func (l *safeLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func batch(number uint64, payloads ...string) *wire.Batch {
	b := &wire.Batch{Lease: wire.Lease{Nonce: 77, Batch: number}, Attempt: 1, DeadlineMS: 5000, Stream: "in",
		Positions: []wire.Run{{First: int64(number), N: int64(len(payloads))}}}
	for _, p := range payloads {
		b.Payloads = append(b.Payloads, []byte(p))
	}
	return b
}

func result(b *wire.Batch) *wire.Result {
	n := len(b.Payloads)
	return &wire.Result{Lease: b.Lease, Count: uint64(n), Lines: bytes.Repeat([]byte("1\n"), n)}
}

func TestAWorkerIsGreetedFedAndSeenOff(t *testing.T) {
	r := start(t, func(c *server.Config) { c.Deadline = 3 * time.Second })
	c, welcome := servertest.Greeted(t, r.address, token, wire.RoleEvents, servertest.Hello("p", "c", "w"))
	want := wire.Welcome{Nonce: 77, Bridge: "ds-bridge test", MaxFrame: 16 << 20, DeadlineMS: 3000, HeartbeatMS: 1000}
	if *welcome != want {
		t.Fatalf("%+v, wants %+v", welcome, want)
	}
	c.Send(&wire.Ready{Events: 100, Bytes: 1 << 20})
	w := r.pool.Wait(t, "Ready", "w", 1)
	if w.Events != 100 || w.Bytes != 1<<20 {
		t.Fatalf("window of %d events, %d bytes", w.Events, w.Bytes)
	}
	sent := batch(7, "a", "b")
	w.Handle.Send(sent)
	got := servertest.Expect[*wire.Batch](c)
	if got.Lease != sent.Lease || string(got.Payloads[1]) != "b" {
		t.Fatalf("received %+v", got)
	}
	c.Send(result(got), &wire.Bye{})
	if h := r.pool.Wait(t, "Result", "w", 1); string(h.Result.Lines) != "1\n1\n" {
		t.Fatalf("heard %+v", h.Result)
	}
	if h := r.pool.Wait(t, "Leave", "w", 1); h.Err != nil {
		t.Fatalf("left with %v", h.Err)
	}
	c.ExpectEnd()
	waitFor(t, "metrics", func() bool { return r.metric("ds_wire_connections") == 0 })
	if in, out := r.metric("ds_wire_frames_total", "direction=in"), r.metric("ds_wire_frames_total", "direction=out"); in != 4 || out != 2 {
		t.Errorf("%v frames in, %v out", in, out)
	}
}

func TestTheDispatcherHearsTheLastResultOfADyingWorkerBeforeItLeaves(t *testing.T) {
	r := start(t, nil)
	c, w := r.ready("w", 100, 1<<20)
	b := batch(7, "a")
	w.Send(b)
	servertest.Expect[*wire.Batch](c)
	c.Send(result(b))
	c.Close()
	left := r.pool.Wait(t, "Leave", "w", 1)
	if left.Err == nil || r.pool.Count("Result") != 1 {
		t.Fatalf("left with %v after %d results", left.Err, r.pool.Count("Result"))
	}
}

func TestAWorkerThatDialsAgainReplacesItsOldConnection(t *testing.T) {
	r := start(t, nil)
	old, _ := r.ready("w", 100, 1<<20)
	again := r.worker("w")
	old.ExpectBye(wire.ByeReplaced)
	again.Send(&wire.Ready{Events: 5, Bytes: 5})
	r.pool.Wait(t, "Ready", "w", 2)
	var order []string
	for _, h := range r.pool.Heard() {
		order = append(order, h.Method)
	}
	if got := strings.Join(order, " "); got != "Join Ready Leave Join Ready" {
		t.Fatalf("heard %s", got)
	}
	other := r.worker("other")
	other.Send(&wire.Bye{})
	r.pool.Wait(t, "Leave", "other", 1)
}

func TestARefusedWorkerIsToldWhy(t *testing.T) {
	r := start(t, nil)
	r.pool.Refuse("this bridge runs flights, not trains")
	c, err := servertest.Dial(t, r.address, token, wire.RoleEvents)
	if err != nil {
		t.Fatal(err)
	}
	c.Send(servertest.Hello("trains", "c", "w"))
	if bye := c.ExpectBye(wire.ByeRefused); bye.Reason != "this bridge runs flights, not trains" {
		t.Fatalf("told %q", bye.Reason)
	}
	if len(r.pool.Heard()) != 0 {
		t.Fatalf("heard %+v", r.pool.Heard())
	}
}

func TestTheDispatcherDrainsAWorker(t *testing.T) {
	r := start(t, nil)
	c, w := r.ready("w", 100, 1<<20)
	b := batch(7, "a")
	w.Send(b)
	w.Drain("rolling update")
	servertest.Expect[*wire.Batch](c)
	if d := servertest.Expect[*wire.Drain](c); d.Reason != "rolling update" {
		t.Fatalf("told %q", d.Reason)
	}
	c.Send(result(b), &wire.Bye{})
	if h := r.pool.Wait(t, "Leave", "w", 1); h.Err != nil {
		t.Fatalf("left with %v", h.Err)
	}
}

func TestAWorkerDrainsAndTheBridgeSaysGoodbye(t *testing.T) {
	r := start(t, nil)
	c, w := r.ready("w", 100, 1<<20)
	b := batch(7, "a")
	w.Send(b)
	servertest.Expect[*wire.Batch](c)
	c.Send(&wire.Drain{Reason: "SIGTERM"})
	if h := r.pool.Wait(t, "Ready", "w", 2); h.Events != 0 {
		t.Fatalf("window of %d events", h.Events)
	}
	w.Send(batch(8, "b")) // the dispatcher had not heard yet: the batch is not sent, its lease ends when the worker leaves
	c.Send(result(b))
	c.ExpectBye(wire.ByeDone)
	if h := r.pool.Wait(t, "Leave", "w", 1); h.Err != nil {
		t.Fatalf("left with %v", h.Err)
	}
}

func TestClosingAHungWorkerDoesNotWaitForIt(t *testing.T) {
	r := start(t, nil)
	_, w := r.ready("w", 100, 1<<20)
	w.Send(batch(7, "a"))
	w.Close(wire.ByeDeadline, "batch 7 is over its deadline")
	left := r.pool.Wait(t, "Leave", "w", 1) // though the worker neither reads nor closes
	if left.Err == nil || !strings.Contains(left.Err.Error(), "deadline") {
		t.Errorf("left with %v", left.Err)
	}
}

func TestASupervisorTellsOfDeathsAndIsAskedToCut(t *testing.T) {
	r := start(t, nil)
	c, _ := servertest.Greeted(t, r.address, token, wire.RoleSupervisor, servertest.Hello("p", "c", "parent"))
	s := r.pool.Wait(t, "Supervise", "", 1).Supervisor
	s.Cut("w", "deadline")
	if cut := servertest.Expect[*wire.Cut](c); cut.Worker != "w" {
		t.Fatalf("told %+v", cut)
	}
	c.Send(&wire.Died{Worker: "w", Cause: "signal", Detail: "SIGKILL"}, &wire.Pulse{Seq: 3})
	if h := r.pool.Wait(t, "Died", "w", 1); h.Detail != "signal: SIGKILL" {
		t.Fatalf("heard %+v", h)
	}
	if p := servertest.Expect[*wire.Pulse](c); p.Seq != 3 {
		t.Fatalf("echoed %+v", p)
	}
	c.Close()
	r.pool.Wait(t, "Unsupervise", "", 1)
}

func TestShutdownSaysGoodbyeToAllAndWaits(t *testing.T) {
	r := start(t, nil)
	var clients []*servertest.Client
	for i := range 20 {
		clients = append(clients, r.worker(fmt.Sprint("w", i)))
	}
	silent := servertest.Connect(t, r.address) // in its preface
	done := make(chan struct{})
	go func() { defer close(done); r.shutdown() }()
	for _, c := range clients {
		c.ExpectBye(wire.ByeDraining)
		c.Close()
	}
	<-done
	if n := r.pool.Count("Leave"); n != 20 {
		t.Errorf("%d of 20 left", n)
	}
	if _, err := silent.Read(make([]byte, 1)); err == nil {
		t.Error("a connection without preface was kept")
	}
}

func TestShutdownGivesUpOnPeersWhenItsContextEnds(t *testing.T) {
	took := time.Hour // other load on the machine disturbs the best of some least
	for end := time.Now().Add(servertest.Patience); took > 900*time.Millisecond && time.Now().Before(end); {
		took = min(took, shutdownInTheMidst(t))
	}
	if took > 900*time.Millisecond {
		t.Errorf("shutdown took %v", took)
	}
}

// shutdownInTheMidst is how long a shutdown takes that has 50 ms, with a call that does not end and a worker that says nothing.
func shutdownInTheMidst(t *testing.T) time.Duration {
	r := start(t, func(c *server.Config) {
		c.Control = func(ctx context.Context, _ *wire.Hello, _ *wire.Call) ([]byte, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
	})
	c, _ := servertest.Greeted(t, r.address, token, wire.RoleControl, servertest.Hello("", "", ""))
	c.Send(&wire.Call{ID: 1, DeadlineMS: 60000, Method: "tail", Args: []byte{0x90}})
	r.worker("w")
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	if err := r.server.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("shutdown: %v", err)
	}
	return time.Since(began)
}

func TestADrainingServerSendsNewConnectionsAway(t *testing.T) {
	r := start(t, nil)
	c, w := r.ready("w", 100, 100)
	r.server.Drain()
	if _, err := servertest.Dial(t, r.address, token, wire.RoleEvents); err != wire.RefusedDraining {
		t.Errorf("dialled with %v", err)
	}
	w.Send(batch(1, "a"))
	servertest.Expect[*wire.Batch](c)
}
