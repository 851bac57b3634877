package front

import (
	"context"
	"sync/atomic"
	"time"
)

// The end of a pod begins with its workers: their parent is told first, and the bridge when it has gone. Were they to leave at once, what
// the front has accepted, and what it accepts until load balancers have noticed, would have nobody to score it. So the parent
// asks to leave, and its workers serve on until it may.

// A parting is how far that is.
type parting struct {
	stage atomic.Int32
	since atomic.Int64 // of shut, in nanoseconds
}

const (
	staying      int32 = iota
	workersLeave       // unready and "Connection: close", while requests are taken
	shutForNow         // no request is taken
	workersGone        // and the workers have gone
)

// forgotten is how long a front is shut for workers that were to leave and did not.
const forgotten = time.Minute

// PartWithWorkers prepares for the end of all workers, while the front goes on listening: it turns unready and says "Connection: close" on every answer for the
// drain delay, then takes no more requests, and returns when those that it had have their answers, or the context ends. When
// workers are ready again after they had gone, it serves as before.
func (f *Front) PartWithWorkers(ctx context.Context) {
	if !f.draining.Load() {
		if !f.parting.stage.CompareAndSwap(staying, workersLeave) {
			return
		}
		f.cfg.Log.Info("workers are to leave", "delay", f.cfg.DrainDelay)
		wait(ctx, f.cfg.DrainDelay)
	}
	if f.draining.Load() { // the bridge was told to end as well, and needs them until it has drained
		select {
		case <-f.stop:
		case <-ctx.Done():
		}
		return
	}
	f.parting.since.Store(time.Now().UnixNano())
	f.parting.stage.Store(shutForNow)
	f.lanes(func(l *Lane) { l.queue.idle(ctx) })
}

// ending says that no further requests should be sent here.
func (f *Front) ending() bool {
	return f.draining.Load() || f.parting.stage.Load() != staying
}

// shut says that none is taken.
func (p *parting) shut() bool { return p.stage.Load() >= shutForNow }

// look follows the workers: they go, and others come.
func (p *parting) look(ready bool, now time.Time) {
	switch p.stage.Load() {
	case shutForNow:
		if !ready {
			p.stage.Store(workersGone)
		} else if now.UnixNano()-p.since.Load() > int64(forgotten) {
			p.stage.Store(staying)
		}
	case workersGone:
		if ready {
			p.stage.Store(staying)
		}
	}
}
