package shadow_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/delivery"
	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/dispatch/dispatchtest"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/shadow"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// A rig is a route over a bounded log with a shadow beside it.
type rig struct {
	*testing.T
	log     *dispatchtest.Log
	book    *dispatchtest.Book
	primary *dispatch.Route
	shadow  *shadow.Shadow
}

func start(t *testing.T, events int, with func(*shadow.Config)) *rig {
	c := shadow.Config{Program: "p", Command: "c", Stream: "in", Model: "3", Nonce: 7, Deadline: time.Minute,
		Queue: messaging.Limit{Events: 100_000, Bytes: 1 << 30}}
	if with != nil {
		with(&c)
	}
	s, err := shadow.New(c)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{T: t, log: dispatchtest.NewLog(events, 3, 50, true), book: dispatchtest.NewBook(), shadow: s}
	r.primary = dispatch.New(dispatch.Config{Program: "p", Command: "c", Stream: "in", Open: r.log.Open, Outlet: r.book,
		Nonce: 7, Deadline: 5 * time.Second, CommitEvery: time.Millisecond, Bounded: true, Order: delivery.ByKey, Stored: s.Offer})
	go s.Run(context.Background())
	t.Cleanup(s.Drain)
	return r
}

// score has the primary score all of its log, and says how long it took.
func (r *rig) score() time.Duration {
	r.Helper()
	ended, began := make(chan error, 1), time.Now()
	go func() { ended <- r.primary.Run(context.Background()) }()
	dispatchtest.Hire(r.primary, "primary", 1, dispatchtest.Echo)
	select {
	case err := <-ended:
		if err != nil {
			r.Fatal(err)
		}
	case <-time.After(time.Minute):
		r.Fatalf("the primary waits: %+v", r.primary.Status())
	}
	return time.Since(began)
}

// whole says that the primary has stored and committed everything once.
func (r *rig) whole() {
	r.Helper()
	n := len(r.log.Records())
	if got, want := r.book.Audit(r.log.Records()), (dispatchtest.Audit{Scored: n}); got != want {
		r.Fatalf("audit of the primary: %+v, wants %+v", got, want)
	}
	if committed := r.log.Committed(); committed != n {
		r.Fatalf("%d of %d committed", committed, n)
	}
}

func (r *rig) until(what string, holds func(shadow.Status) bool) {
	r.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(r.shadow.Status()); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			r.Fatalf("not within a minute: %s: %+v", what, r.shadow.Status())
		}
	}
}

func hang(*dispatchtest.Worker, *wire.Batch) *wire.Result { return nil }

func crash(w *dispatchtest.Worker, _ *wire.Batch) *wire.Result {
	w.Kill()
	return nil
}

func slow(w *dispatchtest.Worker, b *wire.Batch) *wire.Result {
	time.Sleep(time.Second) // however long the primary takes for its events, this one answers few of them
	return dispatchtest.Echo(w, b)
}

func lie(_ *dispatchtest.Worker, b *wire.Batch) *wire.Result {
	return &wire.Result{Lease: b.Lease, Count: uint64(len(b.Payloads)) + 5, Lines: []byte("\n")}
}

func TestNoShadowKeepsAnEventOfThePrimaryFromBeingCommitted(t *testing.T) {
	for name, score := range map[string]dispatchtest.Score{"absent": nil, "hanging": hang, "crashing": crash, "slow": slow, "lying": lie} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, 20_000, func(c *shadow.Config) { c.Queue.Events = 500 })
			var again atomic.Int64
			if score != nil {
				dispatchtest.Hire(r.shadow.Pool(), "shadow", 100, func(w *dispatchtest.Worker, b *wire.Batch) *wire.Result {
					if n := again.Add(1); score != nil && n < 100 && name != "slow" && name != "hanging" {
						go dispatchtest.Hire(r.shadow.Pool(), fmt.Sprint("shadow-", n), uint64(100+n), score)
					}
					return score(w, b)
				})
			}
			r.score()
			r.whole()
			if s := r.shadow.Status(); s.Dropped < 10_000 || s.Queued > 500 {
				t.Fatalf("a queue for 500 events has taken too many: %+v", s)
			}
		})
	}
}

func TestAnOfferNeverWaitsForTheShadow(t *testing.T) {
	s, err := shadow.New(shadow.Config{Program: "p", Command: "c", Model: "3", Queue: messaging.Limit{Events: 10, Bytes: 1 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	offered := make(chan struct{})
	go func() { // its route does not even run
		defer close(offered)
		for i := range 1_000 {
			s.Offer([]dispatch.Fate{{Kind: dispatch.Scored, Record: &messaging.Record{Offset: int64(i), Value: []byte("{}")}}})
		}
	}()
	select {
	case <-offered:
	case <-time.After(time.Minute):
		t.Fatal("Offer waits")
	}
}

func TestEveryEventIsComparedWhenTheShadowKeepsUp(t *testing.T) {
	r := start(t, 5_000, nil)
	dispatchtest.Hire(r.shadow.Pool(), "shadow", 2, dispatchtest.Echo)
	r.score()
	r.until("all are compared", func(s shadow.Status) bool { return s.Compared == 5_000 })
	s := r.shadow.Status()
	if s.Differing != 0 || s.Dropped != 0 || s.Queued != 0 || s.QueuedBytes != 0 || len(s.Fields) != 0 {
		t.Fatalf("the same answers: %+v", s)
	}
	r.whole()
}

func TestAShadowThatLoadsLateComparesWhatTheQueueHasKept(t *testing.T) {
	r := start(t, 300, nil)
	r.score()
	dispatchtest.Hire(r.shadow.Pool(), "shadow", 2, dispatchtest.Echo)
	r.until("all are compared", func(s shadow.Status) bool { return s.Compared == 300 })
}

func TestEventsThatTheShadowRejectsOrFailsDifferInTheirFate(t *testing.T) {
	r := start(t, 100, nil)
	kinds := map[string]wire.ErrKind{"0/0": wire.KindReject, "0/1": wire.KindFail, "1/0": wire.KindFail}
	dispatchtest.Hire(r.shadow.Pool(), "shadow", 2, dispatchtest.Failing(func(id string) wire.ErrKind { return kinds[id] }))
	r.score()
	r.until("all are compared", func(s shadow.Status) bool { return s.Compared == 100 })
	s := r.shadow.Status()
	want := []shadow.Fates{{"scored", "dead", 2}, {"scored", "rejected", 1}, {"scored", "scored", 97}}
	if fmt.Sprint(s.Fates) != fmt.Sprint(want) || s.Differing != 3 || s.Fields[0].Field != "(fate)" {
		t.Fatalf("fates %+v, want %v; %+v", s.Fates, want, s)
	}
}

func TestAShadowWhoseWorkersDieGoesOnWithTheNext(t *testing.T) {
	r := start(t, 1_000, nil)
	r.score()
	for i := range 3 {
		dead := dispatchtest.Hire(r.shadow.Pool(), fmt.Sprint("dies-", i), uint64(10+i), crash)
		<-dead.Done()
		r.shadow.Pool().Died(dead.ID(), delivery.CauseKilled, "")
	}
	dispatchtest.Hire(r.shadow.Pool(), "shadow", 2, dispatchtest.Echo)
	r.until("all are compared", func(s shadow.Status) bool { return s.Compared == 1_000 && s.Differing == 0 })
	if s := r.shadow.Status(); s.Deaths != 3 {
		t.Fatalf("%d deaths counted, not 3", s.Deaths)
	}
}

func TestWritesOfAShadowAreDroppedAndCounted(t *testing.T) {
	r := start(t, 10, nil)
	applied := func(context.Context) error { t.Error("a write of the shadow was done"); return nil }
	var leases []wire.Lease
	dispatchtest.Hire(r.shadow.Pool(), "shadow", 2, func(w *dispatchtest.Worker, b *wire.Batch) *wire.Result {
		leases = append(leases, b.Lease)
		if !r.shadow.Leases.Alive(b.Lease) {
			t.Error("a lease at work is not alive")
		}
		if err := r.shadow.Leases.Stage(b.Lease, []dispatch.Staged{{What: "put", Apply: applied}, {What: "publish", Apply: applied}}); err != nil {
			t.Error(err)
		}
		return dispatchtest.Echo(w, b)
	})
	r.score()
	r.until("all are compared", func(s shadow.Status) bool { return s.Compared == 10 })
	if s := r.shadow.Status(); s.DroppedWrites != uint64(2*len(leases)) {
		t.Fatalf("%d writes dropped in %d batches", s.DroppedWrites, len(leases))
	}
	if err := r.shadow.Leases.Stage(leases[0], nil); !errors.Is(err, dispatch.ErrStale) || r.shadow.Leases.Alive(leases[0]) {
		t.Fatalf("a lease that was answered: %v", err)
	}
}

func TestTheEndWaitsAMomentForAnswersAndNotForAHangingShadow(t *testing.T) {
	for name, c := range map[string]struct {
		score    dispatchtest.Score
		compared uint64
	}{"quick": {dispatchtest.Echo, 2_000}, "hanging": {hang, 0}, "absent": {nil, 0}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, 2_000, func(c *shadow.Config) {
				c.Deadline = 10 * time.Minute
				if c.Last = time.Second; name == "quick" {
					c.Last = time.Minute // a moment on a machine that has other things to do
				}
			})
			if c.score != nil {
				dispatchtest.Hire(r.shadow.Pool(), "shadow", 2, c.score)
			}
			r.score()
			began := time.Now()
			r.shadow.Drain()
			if took := time.Since(began); took > time.Minute {
				t.Fatalf("the end took %v", took)
			}
			if s := r.shadow.Status(); s.Compared != c.compared || s.Compared+s.Dropped != 2_000 || s.Queued != 0 {
				t.Fatalf("at the end: %+v", s)
			}
		})
	}
}

func TestNamesOfShadowsAreTakenApart(t *testing.T) {
	for name, want := range map[string]string{"score-stream/shadow": "score-stream", "score-stream": "", "shadow": ""} {
		if command, ok := shadow.Of(name); ok != (want != "") || ok && command != want {
			t.Errorf("%s: %s %v", name, command, ok)
		}
	}
}
