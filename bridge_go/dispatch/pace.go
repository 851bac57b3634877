package dispatch

import (
	"sync/atomic"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// A Pace says how fast a route's workers answer, for those who have to guess how long something new would wait.
type Pace struct {
	Batch   time.Duration // average of a batch, 0 before the first
	Batches int           // that the average has seen since the model's version changed
	Age     time.Duration // of the youngest batch in flight, 0 while a worker could take another
	AtOnce  int           // batches that the workers that take events score at a time, all together
	Out     int           // events with workers
}

// pace is what the loop last saw; its parts may be of different turns.
type pace struct{ batch, batches, begun, atOnce, out atomic.Int64 }

// Pace is safe from any goroutine and asks nobody.
func (r *Route) Pace() Pace {
	p := Pace{Batch: time.Duration(r.pace.batch.Load()), Batches: int(r.pace.batches.Load()),
		AtOnce: int(r.pace.atOnce.Load()), Out: int(r.pace.out.Load())}
	if begun := r.pace.begun.Load(); begun > 0 {
		p.Age = max(0, time.Duration(r.clock()-begun))
	}
	return p
}

// showPace tells others of the loop's state.
func (r *Route) showPace() {
	p := r.core.Pace()
	r.pace.batch.Store(p.Batch)
	r.pace.batches.Store(int64(p.Batches))
	r.pace.begun.Store(p.Begun)
	r.pace.out.Store(int64(p.Out))
	r.pace.atOnce.Store(int64(r.core.AtOnce()))
}

// Forget has events dropped that no worker has yet, when nobody waits for them: see [delivery.Core.Forget]. gone is asked on the loop, and
// told afterwards what was dropped: those come to no outlet. Neither blocks.
func (r *Route) Forget(gone func(*messaging.Record) bool, dropped func([]messaging.Position)) {
	r.post(func() { dropped(r.core.Forget(r.now, gone)) })
}
