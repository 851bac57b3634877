package delivery

import "maps"

// Stats counts what has happened since the core was made.
type Stats struct {
	Offered   uint64
	Settled   [3]uint64 // by Kind
	Frames    uint64
	Leased    uint64 // events in frames
	Retried   uint64 // events that came back
	Returned  uint64 // batches given back by workers
	Discarded uint64 // answers thrown away since the lane has to be scored again
	Overdue   uint64

	Crowded      uint64 // batches that did not fit into a worker's memory
	CrowdedAlone uint64 // those of one event

	Dropped map[string]uint64 // results, by reason
	Deaths  map[string]uint64 // workers, by cause

	Suspects, Cleared uint64 // frames suspected; not reproduced
	Excused           uint64 // deaths held against nobody
	Forgotten         uint64 // events that nobody waited for any more
	Charged           uint64 // deaths that are not excused, without those of a bisection
	Barren            uint64 // deaths that are not excused, those of a bisection too, since a worker answered or a culprit was found
	Relieved          uint64 // lost workers whose place a standby took
	LaneFull          uint64 // events that came for a lane at its cap
	BreakerOpened     uint64
	BreakerClosed     uint64
}

func newStats() Stats {
	return Stats{Dropped: map[string]uint64{}, Deaths: map[string]uint64{}}
}

// Stats returns a copy of the counters.
func (c *Core) Stats() Stats {
	s := c.stats
	s.Dropped, s.Deaths = maps.Clone(s.Dropped), maps.Clone(s.Deaths)
	return s
}

// Gauges is what is, not what has been.
type Gauges struct {
	Live           Room // offered and not settled
	InFlight       Room // with workers
	Window         Room // of all workers but standbys
	Queued         int
	Parked         int
	Held           int // verdicts that the breaker doubts
	Suspicions     int
	InFlightFrames int
	Oldest         int64 // when the oldest event that is not settled came in, 0 for none
	Stopped        int   // partitions that are read no further
	BreakerOpen    bool
	Draining       bool
}

// Gauges looks at everything once; it is for a look now and then, not for each event.
func (c *Core) Gauges() Gauges {
	g := Gauges{
		Live: c.live, Parked: c.parked, Held: len(c.breaker.held), Suspicions: len(c.cases), InFlightFrames: c.out,
		BreakerOpen: c.breaker.open, Draining: c.draining,
		Queued: c.fresh.n + c.again.n + c.free.events,
	}
	for _, w := range c.workers {
		g.InFlight.Events += w.used.Events
		g.InFlight.Bytes += w.used.Bytes
		if !w.held {
			g.Window.Events += w.window.Events
			g.Window.Bytes += w.window.Bytes
		}
		g.Queued += w.mine.events
	}
	for _, p := range c.partitions {
		if p.stopped {
			g.Stopped++
		}
		if p.head != nil && (g.Oldest == 0 || p.head.Offered < g.Oldest) {
			g.Oldest = p.head.Offered
		}
	}
	return g
}

// nextWake is when something is due next.
func (c *Core) nextWake() int64 {
	next := int64(0)
	sooner := func(t int64) {
		if t > c.now && (next == 0 || t < next) {
			next = t
		}
	}
	sooner(c.breaker.wake(c))
	if len(c.timers) > 0 {
		sooner(c.timers[0].at)
	}
	for _, w := range c.workers {
		if len(w.line) > 0 {
			sooner(w.line[0].since + c.cfg.Deadline)
		}
		if w.died != "" {
			sooner(w.judgeBy)
		}
		if len(w.line) == 0 && w.usable() && c.fresh.n > 0 {
			sooner(c.idles(w))
		}
	}
	for _, x := range c.losses {
		sooner(x.until)
	}
	for _, w := range c.parting {
		sooner(w.closeAt)
	}
	for _, s := range c.cases {
		if s.notBefore > c.now {
			sooner(s.notBefore)
		}
	}
	if c.lingers() {
		sooner(c.fresh.head.Offered + c.cfg.Linger)
	}
	return next
}
