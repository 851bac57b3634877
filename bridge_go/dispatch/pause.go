package dispatch

import (
	"context"
	"errors"
)

// A pause is somebody's wish that a route reads nothing for a while.
type pause struct {
	over bool            // what was out is not waited for any longer
	told []chan struct{} // closed when the source is left
}

var errResumed = errors.New("resumed before the pause was complete")

// Pause stops the intake, lets what was read be scored, stored and committed, and leaves the source. It returns when that is
// done. When the context ends first, the source is left all the same: what was not settled is read again after Resume. A
// route that has ended, or is being drained, is paused for good.
func (r *Route) Pause(ctx context.Context) error {
	told := make(chan struct{})
	if !r.post(func() { r.beginPause(told) }) {
		return nil
	}
	select {
	case <-told:
	case <-r.done:
	case <-ctx.Done():
		r.post(func() {
			if r.paused != nil {
				r.paused.over = true
			}
		})
		select {
		case <-told:
		case <-r.done:
		}
	}
	if !r.Paused() {
		return errResumed
	}
	return nil
}

// Resume opens the source again. It returns at once; a route that was not paused is left as it is.
func (r *Route) Resume() { r.post(r.endPause) }

// Paused says whether the route has been paused and not resumed. One that has ended counts as paused.
func (r *Route) Paused() bool {
	paused := true
	r.ask(reachable, func() { paused = r.paused != nil })
	return paused
}

func (r *Route) beginPause(told chan struct{}) {
	if r.paused == nil {
		r.paused = &pause{}
		r.log.Info("paused by the operator", "stream", r.cfg.Stream, "unsettled", r.core.Live())
	}
	r.paused.told = append(r.paused.told, told)
	r.tellPaused()
}

func (r *Route) endPause() {
	if r.paused == nil {
		return
	}
	for _, told := range r.paused.told {
		close(told)
	}
	r.paused, r.retryOpen, r.failures = nil, 0, 0
	r.log.Info("resumed by the operator", "stream", r.cfg.Stream)
}

// rest leaves the source when all that was read from it has been settled. A read that is still open is given up then: what
// it returns has no fate and no position yet.
func (r *Route) rest(ctx context.Context) {
	idle := len(r.pending) == 0 && r.writing == 0 && r.core.Live() == 0
	if f := r.feed; f != nil && !f.leaving && (idle || r.paused.over) {
		r.leaveFeed(ctx)
	}
}

// tellPaused wakes those that wait for a pause, once the source has been left.
func (r *Route) tellPaused() {
	if r.paused == nil || r.feed != nil {
		return
	}
	for _, told := range r.paused.told {
		close(told)
	}
	r.paused.told = nil
}
