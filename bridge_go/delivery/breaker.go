package delivery

import "math/bits"

// A breaker doubts that failures are the events' fault when there are many of them and nothing else: then a dependency
// of the model is down, and to dead-letter what comes would drain the topic.
//
// Closed: verdicts wait while the run of failures lasts. The next success of anything confirms them, or a hold time when
// nothing else is to be scored. Open: nothing is dead, the source pauses, and one small batch at a time probes
// whether anything succeeds again; what does closes the breaker.
type breaker struct {
	cfg BreakerConfig

	run      int    // distinct events that have failed since the last success
	runs     uint32 // number of the run, from 1
	outcomes uint64 // the last 64, one bit each, set for a failure
	seen     int
	held     []verdict

	open    bool
	life    uint32 // raised when it opens: failures counted before do not count after
	probing bool
	next    int64 // when the next probe is due
	backoff int64
	reach   uint // doublings of the probe
}

// A verdict waits for its confirmation.
type verdict struct {
	event *Event
	since int64
}

func (b *breaker) isOpen() bool { return b.open }

// good counts n successes in a row.
func (b *breaker) good(c *Core, n int) {
	b.record(n, 0)
	if b.run == 0 && len(b.held) == 0 && !b.open {
		return
	}
	b.run = 0
	b.runs++
	b.confirm(c, len(b.held))
	if b.open {
		b.open = false
		b.outcomes, b.seen = 0, 0
		c.stats.BreakerClosed++
	}
}

// saw counts the failure of an event, once a run. One whose result is discarded, because its lane waits for an earlier
// event, is as good a witness of an outage as any: with a single key there would be no others.
func (b *breaker) saw(e *Event) {
	if e.run != b.runs+1 {
		e.run = b.runs + 1
		b.run++
	}
	if !e.counted {
		e.counted = true
		b.record(1, 1)
	}
}

// charge counts the failure against the event.
func (b *breaker) charge(e *Event) {
	if e.failLife != b.life {
		e.failLife, e.fails = b.life, 0
	}
	if !b.open && e.fails < 255 {
		e.fails++
	}
}

// returned counts a batch that the surroundings made fail.
func (b *breaker) returned() {
	b.run++
	b.record(1, 1)
}

func (b *breaker) record(n int, bit uint64) {
	n = min(n, 64)
	b.outcomes <<= uint(n)
	b.outcomes |= bit
	b.seen = min(64, b.seen+n)
}

// failures of an event since the breaker last opened.
func (b *breaker) failures(e *Event) uint8 {
	if e.failLife != b.life {
		return 0
	}
	return e.fails
}

// hold keeps a verdict until it is confirmed.
func (b *breaker) hold(now int64, e *Event, f *Failure) {
	e.state, e.failure = held, f
	b.held = append(b.held, verdict{e, now})
}

// confirm makes the first n verdicts fates.
func (b *breaker) confirm(c *Core, n int) {
	for _, v := range b.held[:n] {
		c.finish(v.event, Dead, v.event.failure)
	}
	b.held = append(b.held[:0], b.held[n:]...)
}

// afterFrame opens the breaker when the frame leaves it in doubt. It is asked at the end of a frame and not within it:
// a run of failures that the same frame breaks is no run.
func (b *breaker) afterFrame(c *Core) {
	if b.cfg.Off {
		return
	}
	share := b.seen == 64 && bits.OnesCount64(b.outcomes) > 32
	if !b.open && (b.run >= b.cfg.Run || share) {
		b.trip(c)
	}
}

// trip opens the breaker. What is held goes back to be scored again, and starts from no failures.
func (b *breaker) trip(c *Core) {
	b.open, b.probing, b.reach = true, false, 0
	b.life++
	b.backoff = b.cfg.FirstProbe
	b.next = c.now + b.backoff
	c.stats.BreakerOpened++
	for _, v := range b.held {
		c.unhold(v.event)
	}
	b.held = b.held[:0]
}

// unhold puts an event whose verdict was not confirmed back in line.
func (c *Core) unhold(e *Event) {
	e.failure = nil
	l := e.lane
	if l == nil {
		c.requeue(e, 0)
		return
	}
	e.state = waiting
	if l.busy > 0 {
		c.sendBack(l, e, 0)
		return
	}
	if l.list != nil {
		l.list.remove(l)
	}
	l.waiting.insert(e) // others of the lane may have been put back before it
	c.serve(l)
}

// tick confirms verdicts that nothing speaks against or could.
func (b *breaker) tick(c *Core) {
	n := 0
	for n < len(b.held) && c.now-b.held[n].since >= b.cfg.Hold {
		n++
	}
	if n > 0 && !c.draining && c.quiet() {
		b.confirm(c, n)
	}
}

// quiet says that no event is about to speak for or against the verdicts that are held. While there are some, only a
// success confirms: where each call hangs until its deadline, 2 s without one mean nothing.
func (c *Core) quiet() bool {
	return c.out == 0 && len(c.cases) == 0 && c.fresh.n+c.again.n+c.free.events == 0
}

func (b *breaker) filter(keep func(*Event) bool) {
	kept := b.held[:0]
	for _, v := range b.held {
		if keep(v.event) {
			kept = append(kept, v)
		}
	}
	b.held = kept
}

// wake is when tick or probe has something to do.
func (b *breaker) wake(c *Core) int64 {
	switch {
	case b.open && !b.probing && c.out == 0:
		return b.next
	case len(b.held) > 0:
		return b.held[0].since + b.cfg.Hold
	}
	return 0
}

// probeSize is doubled by each probe that fails: where one lane begins with a long run of events that fail for ever, nothing but what
// is behind them could succeed.
func (c *Core) probeSize() int {
	return max(c.breaker.cfg.Probe, min(c.breaker.cfg.Probe<<c.breaker.reach, c.batch().Events))
}

// failedProbe lets the next one reach further, if this one was answered long before its deadline: a dependency that is slow to fail
// would make a larger one look like a worker that hangs.
func (b *breaker) failedProbe(c *Core, l *Lease) {
	quick, ordered := c.now-l.Sent <= c.cfg.Deadline/8, l.unit == nil && l.events[0].lane != nil
	if quick && ordered && c.probeSize() < c.batch().Events {
		b.reach++
	}
}

// probe gives one small batch to one worker, half of it fresh events, when nothing else is out. Where every lane stands
// still for suspects, they are the probe: nothing else could ever succeed.
func (c *Core) probe() {
	b := &c.breaker
	if b.probing || c.out > 0 || c.now < b.next {
		return
	}
	for _, w := range c.workers {
		if !w.usable() {
			continue
		}
		if c.give(w, Room{c.probeSize(), c.batch().Bytes}, true) || c.probeSuspects(w) {
			b.probing = true
			b.backoff = min(2*b.backoff, b.cfg.LastProbe)
			b.next = c.now + b.backoff
			return
		}
	}
}

func (c *Core) probeSuspects(w *Worker) bool {
	for _, s := range c.cases {
		if s.notBefore > c.now {
			continue
		}
		s.release()
		if w.apart != nil {
			w.apart.release()
		}
		s.reserve(w)
		c.try(s)
		s.out.probe = true
		return true
	}
	return false
}
