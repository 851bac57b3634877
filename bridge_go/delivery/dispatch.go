package delivery

// A Lease is one batch with one worker.
type Lease struct {
	Batch, Epoch uint64
	Worker       *Worker
	Attempt      int
	Sent         int64

	events []*Event
	bytes  int
	heads  int // headers
	done   int // events that have been answered
	unit   *unit
	probe  bool

	since     int64 // when it came among those that its worker has begun
	bystander bool  // its worker was lost of another one beside it
}

// Events are those of the batch, in order. The caller does not keep the slice.
func (l *Lease) Events() []*Event { return l.events }

// Alive says whether a lease may still be answered: calls made under it are served, its result will settle events.
func (c *Core) Alive(nonce, batch, epoch uint64) bool {
	if nonce != c.cfg.Nonce {
		return false
	}
	for _, w := range c.workers {
		for _, l := range w.line {
			if l.Batch == batch {
				return l.Epoch == epoch
			}
		}
	}
	return false
}

// dispatch gives leases to workers with room. A worker that is idle takes what is queued at once; one that is busy only
// a full batch, so that batches grow while workers are busy, and not by a timer.
func (c *Core) dispatch() {
	for _, w := range c.workers {
		w.stuck = false
	}
	c.cautious()
	if c.breaker.isOpen() {
		c.probe()
		return
	}
	c.isolate()
	for w := c.pick(); w != nil; w = c.pick() {
		if !c.give(w, c.batch(), false) {
			w.stuck = true
		}
	}
}

// batch is the size of a frame now (size.go): smaller for a while after a worker ran out of memory.
func (c *Core) batch() Room {
	size := c.sizing.frame
	return Room{Events: max(1, size.Events>>c.shrink), Bytes: max(1, size.Bytes>>c.shrink)}
}

// pick finds the worker with the fewest frames among those that should be given one.
func (c *Core) pick() (best *Worker) {
	for _, w := range c.workers {
		if (best == nil || len(w.line) < len(best.line)) && c.deserves(w) {
			best = w
		}
	}
	return best
}

func (c *Core) deserves(w *Worker) bool {
	if w.stuck || w.apart != nil || !w.usable() {
		return false
	}
	queued := c.fresh.n + c.again.n + c.free.events + w.mine.events
	if queued == 0 {
		return false
	}
	b := c.batch()
	full := queued >= b.Events || c.waitingBytes() >= b.Bytes
	if len(w.line) < w.abreast {
		return full || !c.lingers() && c.idles(w) == 0
	}
	return full && w.abreast == 1 && !c.cfg.OneInFlight &&
		w.window.Events-w.used.Events >= b.Events && w.window.Bytes-w.used.Bytes >= b.Bytes
}

// waitingBytes estimates the bytes that wait from the average: it only decides whether a batch is worth sending.
func (c *Core) waitingBytes() int {
	if c.live.Events == 0 {
		return 0
	}
	return c.live.Bytes / c.live.Events * (c.fresh.n + c.again.n + c.free.events)
}

// lingers says that an idle worker should wait for more to come.
func (c *Core) lingers() bool {
	return c.cfg.Linger > 0 && c.again.n == 0 && c.free.events == 0 && c.fresh.head != nil &&
		c.now < c.fresh.head.Offered+c.cfg.Linger
}

// give makes a lease of what is queued, oldest first, and says whether there was anything that fits.
func (c *Core) give(w *Worker, size Room, probe bool) bool {
	l := c.newLease(w)
	events := min(size.Events, w.window.Events-w.used.Events)
	for len(l.events) < events {
		e := c.peek(w, probe && len(l.events)%2 == 1)
		if e == nil || !c.fits(l, e, size.Bytes) {
			break
		}
		c.takeOut(e, w)
		l.add(e)
	}
	if len(l.events) == 0 {
		c.recycle(l)
		return false
	}
	l.probe = probe
	c.send(l)
	return true
}

// fits says whether one more event goes into the frame. The first one is bound by the window alone, and on an empty
// window by nothing: an event above the byte credit would wait for ever.
func (c *Core) fits(l *Lease, e *Event, size int) bool {
	w := l.Worker
	room := w.window.Bytes - w.used.Bytes
	if len(l.events) == 0 {
		return e.size <= room || len(w.line) == 0
	}
	return l.bytes+e.size <= min(size, room) && l.heads+len(e.Record.Headers) <= maxBatchHeaders
}

// peek finds the oldest event that w may take. Events on the way whose lane is not free for w are put into their lanes.
func (c *Core) peek(w *Worker, newest bool) *Event {
	best := c.oldest(w)
	for e := c.fresh.head; e != nil; e = c.fresh.head {
		if best != nil && best.seq < e.seq && !newest {
			return best
		}
		if e.lane == nil || e.lane.open(w, c.now) {
			return e
		}
		c.fresh.pop()
		c.queueInLane(e.lane, e)
		if !newest {
			best = c.oldest(w)
		}
	}
	return c.oldest(w)
}

// oldest is the oldest event that w may take of those that are not fresh.
func (c *Core) oldest(w *Worker) *Event {
	best := c.again.head
	if l := w.mine.head; l != nil && (best == nil || l.waiting.head.seq < best.seq) {
		best = l.waiting.head
	}
	if l := c.free.head; l != nil && (best == nil || l.waiting.head.seq < best.seq) {
		best = l.waiting.head
	}
	return best
}

// takeOut removes a peeked event from where it waits.
func (c *Core) takeOut(e *Event, w *Worker) {
	switch e {
	case c.fresh.head:
		c.fresh.pop()
		if e.lane != nil {
			e.lane.occupy(w)
		}
	case c.again.head:
		c.again.pop()
	default:
		c.takeFromLane(e.lane, w)
	}
}

func (l *Lease) add(e *Event) {
	e.state = leased
	l.events = append(l.events, e)
	l.bytes += e.size
	l.heads += len(e.Record.Headers)
	l.Attempt = max(l.Attempt, e.Tries+1)
}

// send puts a filled lease into its worker's line.
func (c *Core) send(l *Lease) {
	w := l.Worker
	c.leases++
	l.Batch, l.Epoch, l.Sent = c.leases, c.epoch, c.now
	w.line = append(w.line, l)
	if len(w.line) <= w.abreast {
		l.since = c.now
	}
	w.used.Events += len(l.events)
	w.used.Bytes += l.bytes
	c.out++
	c.stats.Frames++
	c.stats.Leased += uint64(len(l.events))
	c.effects.Leases = append(c.effects.Leases, l)
}

func (c *Core) newLease(w *Worker) *Lease {
	if n := len(c.spare); n > 0 {
		l := c.spare[n-1]
		c.spare = c.spare[:n-1]
		l.Worker = w
		return l
	}
	return &Lease{Worker: w}
}

func (c *Core) recycle(l *Lease) {
	clear(l.events)
	*l = Lease{events: l.events[:0]}
	c.spare = append(c.spare, l)
}

// unanswered are the events of a lease without an answer.
func (l *Lease) unanswered() []*Event { return l.events[l.done:] }

// giveBack returns what a lease has not answered to where it can be taken from.
func (c *Core) giveBack(l *Lease, notBefore int64) {
	for _, e := range l.unanswered() {
		c.goBack(e, notBefore)
	}
	c.close(l)
}

// goBack returns one leased event, not to be delivered before the time given.
func (c *Core) goBack(e *Event, notBefore int64) {
	c.stats.Retried++
	switch l := e.lane; {
	case e.part.revoked:
		c.dropLeased(e)
	case l != nil:
		e.state = waiting
		c.sendBack(l, e, notBefore)
		c.release(l)
	default:
		c.requeue(e, notBefore)
	}
}

// requeue puts an event that nothing orders where it will be taken from again.
func (c *Core) requeue(e *Event, notBefore int64) {
	e.state = waiting
	if notBefore <= c.now {
		c.again.push(e)
		return
	}
	c.parked++
	c.timers.push(timer{at: notBefore, event: e})
}

// dropLeased ends an event of a revoked partition that was with a worker.
func (c *Core) dropLeased(e *Event) {
	if e.lane != nil {
		c.release(e.lane)
	}
	c.drop(e)
}

// close ends a lease of which all has been dealt with.
func (c *Core) close(l *Lease) {
	c.out--
	if l.probe {
		c.breaker.probing = false
		c.breaker.failedProbe(c, l)
	}
	c.recycle(l)
}
