package delivery

import "slices"

// A suspicion is a frame whose worker died of it, as far as anybody can tell, or the frames that it scored beside each other, one of
// which it died of. Their events are scored alone until the one
// that kills is found: the whole once more, then by halves, on a worker that has nothing else in
// flight. What passes is kept. For a batch of 256 that is 18 calls at most: the whole, two a level of the bisection, and the
// culprit once more, since an event is dead only after two deaths alone. Where the cause may be the environment's (killed, out of
// memory), the excuses of the culprit come on top.
//
// Where lanes have an order the halves go from left to right, each to its end. Where there is none they go level by level: the half beside
// one that has killed is tried next, so that most innocents have their answers early, and after three deaths in a row there has
// been an answer, unless more than one event kills.
//
// The lanes of its events stand still meanwhile, since they count as out.
type suspicion struct {
	units     []*unit // to be tried, the next one last
	levels    bool    // level by level
	out       *Lease
	worker    *Worker // that is kept free for it, or has it
	last      string  // name of the worker that died last
	notBefore int64
	died      bool // again, while it was alone
}

// A unit is a part of a suspicion that is tried together.
type unit struct {
	events []*Event
	deaths int // alone with a worker
}

// newUnit makes a unit. An event that is alone for the first time has all its excuses again: so far they were used up by
// deaths that any of its neighbours may have caused.
func newUnit(events []*Event) *unit {
	if len(events) == 1 {
		events[0].excuses = 0
	}
	return &unit{events: events}
}

// suspect opens a suspicion of what a lost worker had begun, or goes on with the one that it belongs to.
func (c *Core) suspect(w *Worker, leases []*Lease, cause string) {
	c.stats.Barren++
	if leases[0].unit == nil {
		c.openCase(w, leases)
		return
	}
	l := leases[0]
	events := c.living(l)
	s := c.caseOf(l)
	s.out, s.last, s.died = nil, w.ID, true
	deaths := l.unitDeaths(len(events))
	c.close(l)
	c.diedAgain(s, events, deaths, failureOfDeath(w, cause))
}

// openCase begins a suspicion: one death, however many frames there were.
func (c *Core) openCase(w *Worker, leases []*Lease) {
	s := &suspicion{last: w.ID, levels: c.cfg.Order == Unordered}
	for _, l := range leases {
		if events := c.living(l); len(events) > 0 {
			s.units = append(s.units, newUnit(events))
		}
		c.close(l)
	}
	if len(s.units) == 0 {
		return
	}
	slices.Reverse(s.units) // the next one last
	c.stats.Suspects += uint64(len(s.units))
	c.stats.Charged++
	c.cases = append(c.cases, s)
}

// living are the unanswered events of a lost lease that are still ours and whose turn it is in their lanes, now suspects.
func (c *Core) living(l *Lease) []*Event {
	var events []*Event
	for _, e := range l.unanswered() {
		switch {
		case e.part.revoked:
			c.dropLeased(e)
		case e.lane != nil && e.lane.passed(e):
			c.goBack(e, 0)
		default:
			e.state = suspect
			events = append(events, e)
		}
	}
	return events
}

// diedAgain narrows a suspicion down after a worker died of one of its units.
func (c *Core) diedAgain(s *suspicion, events []*Event, deaths int, f *Failure) {
	switch n := len(events); {
	case n == 0:
	case n > 1:
		s.then(newUnit(events[:n/2]), newUnit(events[n/2:]))
	case deaths >= 2:
		e := events[0]
		e.state = leased
		c.breaker.saw(e)
		c.breaker.charge(e)
		c.verdict(e, f)
		c.stats.Barren = 0 // they were its doing
		c.breaker.afterFrame(c)
	default:
		s.then(&unit{events: events, deaths: deaths})
	}
	c.closeCase(s)
}

// then puts units in line after one that killed: behind all others, or before them.
func (s *suspicion) then(units ...*unit) {
	slices.Reverse(units)
	if s.levels {
		s.units = append(units, s.units...)
	} else {
		s.units = append(s.units, units...)
	}
}

// isolate gives suspects to workers that have nothing else in flight, or keeps workers from getting more until they
// have not. At most half of the workers are used for it, so that the others go on.
func (c *Core) isolate() {
	most := max(1, c.places()/2)
	for _, s := range c.cases {
		if s.worker != nil {
			most--
		}
	}
	for _, s := range c.cases {
		if s.out != nil {
			continue
		}
		if s.worker != nil && (s.notBefore > c.now || !s.worker.usable()) {
			s.release()
			most++
		}
		if s.notBefore > c.now {
			continue
		}
		if s.worker == nil && most > 0 {
			if w := c.forSuspects(s.last); w != nil {
				s.reserve(w)
				most--
			}
		}
		if w := s.worker; w != nil && len(w.line) == 0 && w.usable() {
			c.try(s)
		}
	}
}

// reserve keeps a worker for the suspicion, release lets it take other events again.
func (s *suspicion) reserve(w *Worker) { s.worker, w.apart = w, s }

func (s *suspicion) release() {
	if s.worker != nil {
		s.worker.apart, s.worker = nil, nil
	}
}

// forSuspects chooses a worker for suspects: rather one that did not just die, with as little in flight as may be.
func (c *Core) forSuspects(last string) (best *Worker) {
	worse := func(a, b *Worker) bool {
		if (a.ID == last) != (b.ID == last) {
			return a.ID == last
		}
		return len(a.line) > len(b.line)
	}
	for _, w := range c.workers {
		if w.usable() && w.apart == nil && (best == nil || worse(best, w)) {
			best = w
		}
	}
	return best
}

// try leases the next unit of a suspicion, as much of it as the worker's window takes.
func (c *Core) try(s *suspicion) {
	u := s.units[len(s.units)-1]
	s.units = s.units[:len(s.units)-1]
	l := c.newLease(s.worker)
	for i, e := range u.events {
		if i >= s.worker.window.Events || i > 0 && !c.fits(l, e, s.worker.window.Bytes) {
			s.units = append(s.units, &unit{events: u.events[i:]})
			u = &unit{events: u.events[:i]}
			break
		}
		l.add(e)
	}
	l.unit, s.out = u, l
	c.send(l)
}

// unitDeaths counts one more death of an event alone: it was alone only if the unit was no more than it.
func (l *Lease) unitDeaths(left int) int {
	if left != 1 || len(l.events) != 1 {
		return 0
	}
	return l.unit.deaths + 1
}

// passed ends a unit that was answered.
func (c *Core) passed(l *Lease) {
	s := c.caseOf(l)
	s.out = nil
	c.closeCase(s)
}

// unitBack takes a unit back that was not tried to its end.
func (c *Core) unitBack(l *Lease, notBefore int64) {
	s := c.caseOf(l)
	s.out, s.notBefore = nil, notBefore
	if events := c.living(l); len(events) > 0 {
		s.units = append(s.units, &unit{events: events, deaths: l.unit.deaths})
	}
	c.close(l)
	c.closeCase(s)
}

// closeCase ends a suspicion of which nothing is left, and lets its worker take other events again.
func (c *Core) closeCase(s *suspicion) {
	if len(s.units) > 0 || s.out != nil {
		return
	}
	if !s.died {
		c.stats.Cleared++
	}
	s.release()
	c.cases = slices.DeleteFunc(c.cases, func(x *suspicion) bool { return x == s })
}

func (c *Core) caseOf(l *Lease) *suspicion {
	for _, s := range c.cases {
		if s.out == l {
			return s
		}
	}
	panic("delivery: a unit without its suspicion")
}

// filterCases lets go of the suspects that keep does not hold for.
func (c *Core) filterCases(keep func(*Event) bool) {
	for _, s := range slices.Clone(c.cases) {
		for _, u := range s.units {
			u.events = slices.DeleteFunc(u.events, func(e *Event) bool {
				if keep(e) {
					return false
				}
				if e.lane != nil {
					c.release(e.lane)
				}
				return true
			})
		}
		s.units = slices.DeleteFunc(s.units, func(u *unit) bool { return len(u.events) == 0 })
		c.closeCase(s)
	}
}

// failureOfDeath is why an event is dead of which workers died.
func failureOfDeath(w *Worker, cause string) *Failure {
	f := &Failure{Reason: w.detail, Model: w.Model}
	switch cause {
	case CauseHang:
		f.Code = "worker_hung"
	case CauseOOM:
		f.Code = "out_of_memory"
	case CauseMalformed:
		f.Code = "malformed_result"
	case CauseKilled:
		f.Code = "worker_killed"
	default:
		f.Code = "worker_died"
	}
	if f.Reason == "" {
		f.Reason = "the worker that scored it alone was lost twice: " + cause
	}
	return f
}
