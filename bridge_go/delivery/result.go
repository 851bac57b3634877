package delivery

import (
	"fmt"

	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// Back-off of events that come again without a time of their own, and the most that a worker may ask for: its lane
// stands still meanwhile.
const (
	firstBackoff = int64(100e6)
	lastBackoff  = int64(30e9)
	maxRetry     = int64(300e9)
)

// Result settles the events that r answers; outputs is the number of outputs in it. A result of a lease that is not
// known is counted and dropped. An error says that r cannot be true (counts that do not add up, answers out of order):
// nothing of it is used, the worker has been taken out and its leases are back, and its connection is to be closed.
func (c *Core) Result(now int64, w *Worker, r *wire.Result, outputs int) error {
	c.now = now
	l, err := c.find(w, r.Lease, true)
	if l == nil && err == nil {
		return nil
	}
	if err == nil {
		err = check(l, r, outputs)
	}
	if err != nil {
		c.malformed(w, l, err)
		return err
	}
	c.served = append(c.served, Service{now - l.Sent, int(r.Count)})
	c.stats.Barren = 0
	c.settle(l, r)
	c.breaker.afterFrame(c)
	if l.done == len(l.events) {
		if l.unit == nil {
			c.paced(w, l)
		}
		c.answered(l)
	}
	return nil
}

// Return gives a batch back: nobody's fault, it comes again after retry nanoseconds.
func (c *Core) Return(now int64, w *Worker, lease wire.Lease, retry int64) {
	c.now = now
	l, _ := c.find(w, lease, false)
	if l == nil {
		return
	}
	c.stats.Returned++
	tries := 0
	for _, e := range l.unanswered() {
		e.Tries++
		tries = max(tries, e.Tries)
	}
	c.breaker.returned()
	w.answered(l, now)
	notBefore := now + pause(retry, tries)
	if l.unit != nil {
		c.unitBack(l, notBefore)
	} else {
		c.giveBack(l, notBefore)
	}
	c.breaker.afterFrame(c)
}

// Crowded says that a batch that is about to be given back was too large for its worker's memory: batches are smaller than it for
// a while, or it would come again for ever. An event that does so alone cannot be helped from here, and is never a verdict
// (memory is the surroundings'): it is returned, so that somebody is told.
func (c *Core) Crowded(now int64, w *Worker, id wire.Lease) (alone *Event) {
	c.now = now
	for _, l := range w.line {
		if l.Batch != id.Batch || l.Epoch != id.Epoch || id.Nonce != c.cfg.Nonce {
			continue
		}
		left := l.unanswered()
		for len(left) > 1 && c.batch().Events >= len(left) {
			c.shrink++
		}
		c.calmAt = now + c.cfg.Calm
		c.stats.Crowded++
		if len(left) == 1 {
			c.stats.CrowdedAlone++
			alone = left[0]
		}
	}
	return alone
}

// find looks a lease up in its worker's line; (nil, nil) is one that has ended. In order means that only one that it
// may have begun will do.
func (c *Core) find(w *Worker, id wire.Lease, inOrder bool) (*Lease, error) {
	if id.Nonce != c.cfg.Nonce {
		c.stats.Dropped["other_bridge"]++
		return nil, nil
	}
	for i, l := range w.line {
		if l.Batch != id.Batch {
			continue
		}
		if l.Epoch != id.Epoch {
			c.stats.Dropped["epoch"]++
			return nil, nil
		}
		if i >= w.abreast && inOrder {
			return nil, fmt.Errorf("batch %d was answered before batch %d", id.Batch, w.line[0].Batch)
		}
		return l, nil
	}
	c.stats.Dropped["ended"]++
	return nil, nil
}

// check says what cannot be true of a result.
func check(l *Lease, r *wire.Result, outputs int) error {
	switch {
	case r.First != uint64(l.done):
		return fmt.Errorf("result starts at event %d, expected %d", r.First, l.done)
	case r.Count == 0 || r.Count > uint64(len(l.events)-l.done):
		return fmt.Errorf("result covers %d events, %d are not answered", r.Count, len(l.events)-l.done)
	}
	if err := checkErrors(r); err != nil {
		return err
	}
	if err := checkRoutes(r, outputs); err != nil {
		return err
	}
	if r.Counts == nil {
		if want := int(r.Count) - len(r.Errors); want != outputs {
			return fmt.Errorf("%d outputs for %d events with %d errors", outputs, r.Count, len(r.Errors))
		}
		return nil
	}
	return checkCounts(r, outputs)
}

func checkErrors(r *wire.Result) error {
	next := r.First
	for i := range r.Errors {
		e := &r.Errors[i]
		if e.Index < next || e.Index >= r.First+r.Count {
			return fmt.Errorf("error %d is of event %d, outside of the result or not in order", i, e.Index)
		}
		if e.Kind < wire.KindReject || e.Kind > wire.KindRetry {
			return fmt.Errorf("error %d has unknown kind %d", i, e.Kind)
		}
		next = e.Index + 1
	}
	return nil
}

func checkRoutes(r *wire.Result, outputs int) error {
	next := uint64(0)
	for _, route := range r.Routes {
		if route.Index < next || route.Index >= uint64(outputs) {
			return fmt.Errorf("route to %q is of output %d, outside of the result or not in order", route.Stream, route.Index)
		}
		next = route.Index + 1
	}
	return nil
}

func checkCounts(r *wire.Result, outputs int) error {
	if uint64(len(r.Counts)) != r.Count {
		return fmt.Errorf("%d counts for %d events", len(r.Counts), r.Count)
	}
	left, errs := uint64(outputs), r.Errors
	for i, n := range r.Counts {
		if n > left {
			return fmt.Errorf("counts add up to more than %d outputs", outputs)
		}
		if len(errs) > 0 && errs[0].Index == r.First+uint64(i) {
			errs = errs[1:]
			if n != 0 {
				return fmt.Errorf("event %d has an error and %d outputs", r.First+uint64(i), n)
			}
		}
		left -= n
	}
	if left != 0 {
		return fmt.Errorf("counts add up to %d, outputs are %d", uint64(outputs)-left, outputs)
	}
	return nil
}

// settle goes through the events of a checked result. This is the hot path: nothing here allocates or looks anything up.
func (c *Core) settle(l *Lease, r *wire.Result) {
	errs, output := r.Errors, 0
	if len(errs) == 0 {
		c.breaker.good(c, int(r.Count))
	}
	for i := range int(r.Count) {
		e := l.events[l.done]
		l.done++
		n := 1
		if r.Counts != nil {
			n = int(r.Counts[i])
		}
		if len(errs) > 0 && errs[0].Index == r.First+uint64(i) {
			c.erred(l.Worker, e, &errs[0])
			errs = errs[1:]
			if r.Counts == nil {
				continue
			}
		} else {
			if len(r.Errors) > 0 {
				c.breaker.good(c, 1)
			}
			c.scored(e, output, n)
		}
		output += n
	}
}

// scored gives an event its fate, unless something before it in its lane has yet to be scored again.
func (c *Core) scored(e *Event, first, n int) {
	if e.lane != nil {
		if c.overtakes(e) {
			return
		}
		c.release(e.lane)
	}
	if e.part.revoked {
		c.drop(e)
		return
	}
	e.state = fated
	c.fates = append(c.fates, Fate{Event: e, Kind: Scored, First: first, N: n})
}

// overtakes puts an answered event behind the one of its lane that has to be scored again first, if there is one.
func (c *Core) overtakes(e *Event) bool {
	if e.part.revoked || !e.lane.passed(e) {
		return false
	}
	c.stats.Discarded++
	c.goBack(e, 0)
	return true
}

// erred deals with an event that came back with an error.
func (c *Core) erred(w *Worker, e *Event, x *wire.RowError) {
	if e.part.revoked {
		c.dropLeased(e)
		return
	}
	if x.Kind == wire.KindFail {
		c.breaker.saw(e)
	}
	if e.lane != nil && c.overtakes(e) {
		return
	}
	switch x.Kind {
	case wire.KindReject:
		c.breaker.good(c, 1)
		if e.lane != nil {
			c.release(e.lane)
		}
		c.finish(e, Rejected, failureOf(w, x))
	case wire.KindRetry:
		e.Tries++
		c.goBack(e, c.now+pause(int64(x.RetryMS)*1e6, e.Tries))
	default:
		e.Tries++
		c.failed(e, failureOf(w, x))
	}
}

func failureOf(w *Worker, x *wire.RowError) *Failure {
	return &Failure{Code: x.Code, Reason: x.Reason, Detail: x.Detail, Model: w.Model}
}

// failed counts a failure that the model puts down to a leased event: once more, then a verdict.
func (c *Core) failed(e *Event, f *Failure) {
	c.breaker.charge(e)
	if int(c.breaker.failures(e)) < c.cfg.Attempts {
		c.goBack(e, 0)
		return
	}
	c.verdict(e, f)
}

// verdict says that a leased event is dead, as far as the breaker believes it.
func (c *Core) verdict(e *Event, f *Failure) {
	if c.breaker.isOpen() {
		c.goBack(e, 0)
		return
	}
	if e.lane != nil {
		c.release(e.lane)
	}
	if c.cfg.Breaker.Off {
		c.finish(e, Dead, f)
		return
	}
	c.breaker.hold(c.now, e, f)
}

// answered ends a lease that is complete.
func (c *Core) answered(l *Lease) {
	l.Worker.answered(l, c.now)
	if l.unit != nil {
		c.passed(l)
	}
	c.close(l)
}

// pause is how long something waits before it comes again.
func pause(asked int64, tries int) int64 {
	if asked > 0 {
		return min(asked, maxRetry)
	}
	return min(lastBackoff, firstBackoff<<min(max(tries-1, 0), 16))
}
