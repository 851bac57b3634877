package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/delivery"
	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/dispatch/dispatchtest"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

const nonce = 7

// A rig is a route over a log, with its Run in the background.
type rig struct {
	*testing.T
	*dispatch.Route
	log    *dispatchtest.Log
	book   *dispatchtest.Book
	cancel context.CancelFunc
	ended  chan error
}

func start(t *testing.T, log *dispatchtest.Log, with func(*dispatch.Config)) *rig {
	r := &rig{T: t, log: log, book: dispatchtest.NewBook(), ended: make(chan error, 1)}
	c := dispatch.Config{Program: "p", Command: "c", Stream: "in", Open: log.Open, Outlet: r.book, Nonce: nonce,
		Deadline: 5 * time.Second, CommitEvery: time.Millisecond}
	if with != nil {
		with(&c)
	}
	if b, ok := c.Outlet.(*dispatchtest.Book); ok {
		r.book = b
	}
	r.Route = dispatch.New(c)
	var ctx context.Context
	ctx, r.cancel = context.WithCancel(context.Background())
	go func() { r.ended <- r.Route.Run(ctx) }()
	t.Cleanup(r.cancel)
	return r
}

// Status is what the route says as soon as its loop has the time to: Route.Status waits for a second.
func (r *rig) Status() (s dispatch.Status) {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if s = r.Route.Status(); s.State != "starting" {
			break
		}
	}
	return s
}

// end waits for Run to end.
func (r *rig) end() error {
	r.Helper()
	select {
	case err := <-r.ended:
		return err
	case <-time.After(2 * time.Minute):
		r.Fatalf("the route has not ended: %+v", r.Status())
		return nil
	}
}

func (r *rig) ok() {
	r.Helper()
	if err := r.end(); err != nil {
		r.Fatal(err)
	}
}

// until waits for a condition.
func (r *rig) until(what string, holds func() bool) {
	r.Helper()
	for deadline := time.Now().Add(3 * time.Minute); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			r.Fatalf("not within three minutes: %s: %+v", what, r.Status())
		}
	}
}

func (r *rig) audit(want dispatchtest.Audit) {
	r.Helper()
	if got := r.book.Audit(r.log.Records()); got != want {
		r.Fatalf("audit: %+v, wants %+v", got, want)
	}
}

func bounded(c *dispatch.Config) { c.Bounded = true }

func TestEveryEventOfABoundedSourceIsScoredOnceAndCommitted(t *testing.T) {
	for _, order := range []delivery.Order{delivery.Unordered, delivery.ByPartition, delivery.ByKey} {
		for workers := 1; workers <= 3; workers++ {
			t.Run(fmt.Sprintf("order=%d/workers=%d", order, workers), func(t *testing.T) {
				log := dispatchtest.NewLog(6_000, 3, 100, true)
				r := start(t, log, func(c *dispatch.Config) { c.Bounded, c.Order = true, order })
				for i := range workers {
					dispatchtest.Hire(r, fmt.Sprint("w", i), uint64(i+1), dispatchtest.Echo)
				}
				r.ok()
				want := dispatchtest.Audit{Scored: 6_000}
				if order == delivery.Unordered {
					want.Inversions = r.book.Audit(log.Records()).Inversions
				}
				r.audit(want)
				if n := log.Committed(); n != 6_000 {
					t.Fatalf("%d committed", n)
				}
			})
		}
	}
}

func TestT47TheSourceIsOpenedByTheFirstReadyWorkerAndLeftAfterTheLast(t *testing.T) { // DELIVERY 11
	log := dispatchtest.NewLog(100, 1, 0, false)
	r := start(t, log, func(c *dispatch.Config) { c.LeaveAfter = 30 * time.Millisecond })
	time.Sleep(20 * time.Millisecond)
	if opened, _ := log.Opened(); opened != 0 {
		t.Fatal("the source was opened without a worker")
	}
	w := dispatchtest.Hire(r, "w", 1, dispatchtest.Echo)
	r.until("all is scored", func() bool { return r.book.Events() == 100 })
	w.Drain("")
	r.until("the source is left", func() bool { _, closed := log.Opened(); return closed == 1 })
	if s := r.Status(); s.Ready || s.State != "waiting" {
		t.Fatalf("without a worker it says %+v", s)
	}
	log.Append(50, 1, 0)
	dispatchtest.Hire(r, "v", 2, dispatchtest.Echo)
	r.until("the source is open again", func() bool { return r.book.Events() == 150 })
	r.until("all is committed", func() bool { return log.Committed() == 150 })
	r.audit(dispatchtest.Audit{Scored: 150})
}

func TestAWorkerThatIsKilledLosesNothing(t *testing.T) {
	log := dispatchtest.NewLog(30_000, 2, 50, true)
	r := start(t, log, func(c *dispatch.Config) { c.Bounded, c.Order = true, delivery.ByKey })
	leave := r.Supervise(noCut{})
	defer leave()
	go func() {
		for i := 0; i < 20; i++ {
			w := dispatchtest.Hire(r, fmt.Sprint("w", i), uint64(i+1), dispatchtest.Echo)
			time.Sleep(2 * time.Millisecond)
			r.Died(w.ID(), delivery.CauseKilled, "")
			w.Kill()
		}
		dispatchtest.Hire(r, "last", 99, dispatchtest.Echo)
	}()
	r.ok()
	r.audit(dispatchtest.Audit{Scored: 30_000})
}

type noCut struct{}

func (noCut) Cut(string, string) {}

// A nursery hires a new worker for each that dies, like a parent.
type nursery struct {
	r     *rig
	score dispatchtest.Score
	n     atomic.Int64
}

func (n *nursery) hire() *dispatchtest.Worker {
	i := n.n.Add(1)
	return dispatchtest.Hire(n.r, fmt.Sprint("w", i), uint64(i), n.score)
}

func (n *nursery) Cut(worker, _ string) { n.r.Died(worker, delivery.CauseHang, "stack"); n.hire() }

func TestT8ExactlyThePoisonsAreDeadAndEachCostsAtMostTwentyCalls(t *testing.T) {
	log := dispatchtest.NewLog(20_000, 1, 0, true)
	poison := map[string]bool{"0/77": true, "0/5000": true, "0/5001": true, "0/19999": true}
	r := start(t, log, bounded)
	n := &nursery{r: r}
	n.score = func(w *dispatchtest.Worker, b *wire.Batch) *wire.Result {
		for _, p := range b.Payloads {
			if poison[string(dispatchtest.IDOf(p))] {
				r.Died(w.ID(), delivery.CauseSignal, "SIGSEGV")
				w.Kill()
				n.hire()
				return nil
			}
		}
		return dispatchtest.Echo(w, b)
	}
	defer r.Supervise(n)()
	n.hire()
	n.hire()
	r.ok()
	r.audit(dispatchtest.Audit{Scored: 20_000 - len(poison), Dead: len(poison)})
	for id, code := range r.book.Dead() {
		if !poison[id] || code != "worker_died" {
			t.Errorf("%s is dead of %s", id, code)
		}
	}
	if deaths := n.n.Load() - 2; deaths > int64(20*len(poison)) {
		t.Errorf("%d deaths for %d poisons", deaths, len(poison))
	}
}

func TestT5T13AHangIsCutAtTheDeadlineAndItsLateResultIsDropped(t *testing.T) {
	log := dispatchtest.NewLog(1_000, 1, 0, true)
	// Long enough for a worker that is well to answer on a machine that has other things to do: it would be cut as well.
	r := start(t, log, func(c *dispatch.Config) { c.Bounded, c.Deadline = true, time.Second })
	n := &nursery{r: r}
	var hung atomic.Bool
	release := make(chan struct{})
	n.score = func(w *dispatchtest.Worker, b *wire.Batch) *wire.Result {
		if hung.CompareAndSwap(false, true) {
			<-release
		}
		return dispatchtest.Echo(w, b)
	}
	defer r.Supervise(n)()
	n.hire()
	r.until("it is cut", func() bool { return n.n.Load() >= 2 })
	close(release)
	r.ok()
	r.audit(dispatchtest.Audit{Scored: 1_000})
}

func TestT44ResultsOfAnotherBridgesLeasesAreDropped(t *testing.T) { // T44, DELIVERY 8
	log := dispatchtest.NewLog(1_000, 1, 0, true)
	r := start(t, log, bounded)
	dispatchtest.Hire(r, "w", 1, func(w *dispatchtest.Worker, b *wire.Batch) *wire.Result {
		stale := dispatchtest.Echo(w, b)
		stale.Nonce, stale.Lines = nonce+1, append([]byte("wrong\n"), stale.Lines...)
		r.Result(w, stale)
		good := dispatchtest.Echo(w, b)
		defer r.Result(w, good) // and once more, when it has been answered
		return good
	})
	r.ok()
	r.audit(dispatchtest.Audit{Scored: 1_000})
}

func TestT43AWorkerWhoseResultCannotBeTrueIsClosedAndItsEventsGoToAnother(t *testing.T) {
	log := dispatchtest.NewLog(1_000, 1, 0, true)
	r := start(t, log, bounded)
	liar := dispatchtest.Hire(r, "liar", 1, func(w *dispatchtest.Worker, b *wire.Batch) *wire.Result {
		x := dispatchtest.Echo(w, b)
		x.Lines = append(x.Lines, "one more\n"...)
		return x
	})
	r.until("the liar is closed", func() bool { return liar.Closed() == wire.ByeMalformed })
	dispatchtest.Hire(r, "w", 2, dispatchtest.Echo)
	r.ok()
	r.audit(dispatchtest.Audit{Scored: 1_000})
}

func TestT9RaisingEventsAreDeadRejectedOnesAreNotAndNeighboursAreUntouched(t *testing.T) {
	log := dispatchtest.NewLog(10_000, 1, 0, true)
	r := start(t, log, bounded)
	kind := map[string]wire.ErrKind{"0/3": wire.KindFail, "0/4": wire.KindReject, "0/9999": wire.KindFail}
	dispatchtest.Hire(r, "w", 1, dispatchtest.Failing(func(id string) wire.ErrKind { return kind[id] }))
	r.ok()
	r.audit(dispatchtest.Audit{Scored: 9_997, Rejected: 1, Dead: 2})
}

func TestT42ADependencyThatIsDownPausesTheSourceAndKillsNoEvent(t *testing.T) { // T42, DELIVERY 16
	log := dispatchtest.NewLog(5_000, 1, 0, false)
	r := start(t, log, nil)
	var down atomic.Bool
	down.Store(true)
	dispatchtest.Hire(r, "w", 1, dispatchtest.Failing(func(string) wire.ErrKind {
		if down.Load() {
			return wire.KindFail
		}
		return 0
	}))
	r.until("the breaker opens", func() bool {
		s := r.Status()
		if s.State == "paused" && s.Ready {
			t.Fatal("ready with an open breaker")
		}
		return s.State == "paused"
	})
	time.Sleep(100 * time.Millisecond)
	down.Store(false)
	r.until("all is scored", func() bool { return r.book.Events() == 5_000 })
	r.audit(dispatchtest.Audit{Scored: 5_000})
}

func TestT36DrainFinishesWhatIsInFlightAndCommitsIt(t *testing.T) {
	log := dispatchtest.NewLog(50_000, 1, 0, false)
	book := dispatchtest.NewBook()
	for life := 0; book.Events() < 50_000; life++ {
		r := start(t, log, func(c *dispatch.Config) { c.Outlet = book })
		seen := book.Events()
		dispatchtest.Hire(r, "w", 1, dispatchtest.Echo)
		r.until("something is scored", func() bool { return book.Events() > seen })
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		if err := r.Drain(ctx); err != nil {
			t.Fatal(err)
		}
		cancel()
		r.ok()
		if log.Committed() != book.Events() {
			t.Fatalf("life %d: %d scored, %d committed", life, book.Events(), log.Committed())
		}
	}
	if got := book.Audit(log.Records()); got != (dispatchtest.Audit{Scored: 50_000}) {
		t.Fatalf("%+v", got)
	}
}

func TestDrainHandsBackWhatIsNotAnsweredInTime(t *testing.T) {
	log := dispatchtest.NewLog(1_000, 1, 0, false)
	r := start(t, log, nil)
	var got atomic.Bool
	release := make(chan struct{})
	defer close(release)
	dispatchtest.Hire(r, "slow", 1, func(*dispatchtest.Worker, *wire.Batch) *wire.Result {
		got.Store(true)
		<-release
		return nil
	})
	r.until("it has a batch", got.Load)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := r.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	r.ok()
	if log.Committed() != 0 || r.book.Events() != 0 {
		t.Fatal("something of an unanswered batch was written")
	}
}

func TestT1ABridgeThatIsKilledAgainAndAgainLosesNothing(t *testing.T) {
	log := dispatchtest.NewLog(30_000, 3, 30, false)
	book := dispatchtest.NewBook()
	for kills := 0; book.Events() < 30_000; kills++ {
		r := start(t, log, func(c *dispatch.Config) { c.Outlet, c.Order = book, delivery.ByKey })
		dispatchtest.Hire(r, "w", 1, dispatchtest.Echo)
		time.Sleep(time.Duration(1+kills%10+kills/5) * time.Millisecond) // longer and longer: where the machine is slow, it ends too
		r.cancel()
		if err := r.end(); !errors.Is(err, context.Canceled) && err != nil {
			t.Fatal(err)
		}
	}
	a := book.Audit(log.Records())
	if a.Lost+a.Wrong+a.Dead+a.Unexpected+a.Inversions != 0 {
		t.Fatalf("%+v", a)
	}
}

func TestASourceThatFailsIsOpenedAgain(t *testing.T) {
	log := dispatchtest.NewLog(1_000, 1, 0, false)
	log.Fail(errors.New("no broker"))
	r := start(t, log, nil)
	dispatchtest.Hire(r, "w", 1, dispatchtest.Echo)
	r.until("it is seen", func() bool { s := r.Status(); return s.State == "waiting" && s.Why == "the source cannot be read" })
	log.Fail(nil)
	r.until("all is scored", func() bool { return r.book.Events() == 1_000 })
	log.Fail(errors.New("connection lost"))
	r.until("it is seen again", func() bool { return !r.Status().Ready })
	log.Fail(nil)
	log.Append(10, 1, 0)
	r.until("it goes on", func() bool { return r.book.Events() == 1_010 })
	// What was stored and not yet committed when the source failed came again: at least once.
	r.audit(dispatchtest.Audit{Scored: 1_010, Duplicates: r.book.Audit(log.Records()).Duplicates})
}

// A server that dies closes its connections, which its client may tell as an end of file. That ended the route, and the bridge.
func TestAConnectionThatEndsIsNotTheEndOfItsStream(t *testing.T) {
	log := dispatchtest.NewLog(1_000, 1, 0, false)
	r := start(t, log, nil)
	dispatchtest.Hire(r, "w", 1, dispatchtest.Echo)
	r.until("all is scored", func() bool { return r.book.Events() == 1_000 })
	log.Fail(fmt.Errorf("read numbers: %w", io.EOF))
	r.until("it is seen", func() bool { return !r.Status().Ready })
	log.Fail(nil)
	log.Append(10, 1, 0)
	r.until("it goes on", func() bool { return r.book.Events() == 1_010 })
	r.audit(dispatchtest.Audit{Scored: 1_010, Duplicates: r.book.Audit(log.Records()).Duplicates})
}

func TestABoundedSourceThatFailsEndsTheRoute(t *testing.T) {
	log := dispatchtest.NewLog(10, 1, 0, true)
	log.Fail(errors.New("no such file"))
	r := start(t, log, bounded)
	dispatchtest.Hire(r, "w", 1, dispatchtest.Echo)
	if err := r.end(); err == nil {
		t.Fatal("no error")
	}
}

func TestARevokedPartitionIsLeftToItsNextReader(t *testing.T) { // DELIVERY 9
	log := dispatchtest.NewLog(1_000, 2, 3, false)
	r := start(t, log, func(c *dispatch.Config) { c.Deadline = 5 * time.Minute })
	hold := make(chan struct{})
	var got atomic.Bool
	dispatchtest.Hire(r, "w", 1, func(w *dispatchtest.Worker, b *wire.Batch) *wire.Result {
		got.Store(true)
		<-hold
		return dispatchtest.Echo(w, b)
	})
	r.until("it has a batch", got.Load)
	revoking := make(chan struct{})
	go func() { defer close(revoking); r.Revoke([]int32{0}) }()
	select {
	case <-revoking:
	case <-time.After(time.Minute):
		t.Fatal("revoking waits for the worker")
	}
	close(hold)
	revoked := 0
	for _, x := range log.Records() {
		if x.Partition == 0 {
			revoked++
		}
	}
	r.until("the other partition is scored", func() bool { return r.Status().Unsettled == 0 && r.book.Events() >= 1_000-revoked })
	r.audit(dispatchtest.Audit{Scored: 1_000 - revoked, Lost: revoked})
}
