package delivery

import "slices"

// Causes of death, as a parent names them, and those that the bridge finds out by itself.
const (
	CauseExit      = "exit"
	CauseSignal    = "signal"
	CauseOOM       = "oom"
	CauseHang      = "hang"
	CauseKilled    = "killed"
	CauseLoad      = "load"
	CauseLink      = "link"      // the connection was lost, the process lives
	CauseUnknown   = "unknown"   // the connection was lost, nobody knows why
	CauseMalformed = "malformed" // it answered what cannot be true
)

// How often a death may be the environment's doing before it is held against the events that were there. A lost
// connection under a living worker says still less of them.
const (
	maxExcuses = 3
	maxLinks   = 16
)

// settleSocket is how long a dead worker's socket may still be read for answers that it sent: something else may hold
// it open.
const settleSocket = int64(200e6)

// memory is how long a lost worker's name is kept for a late word of its parent.
const memory = int64(5e9)

// A departure is a worker that left before its parent said so.
type departure struct {
	id    string
	at    int64
	clean bool // it had said goodbye: that its process has ended is no death
	had   bool // a batch, which has been judged
	held  bool // was a standby without a place
}

// A loss is what a lost worker had begun: one frame, or those that it scored beside each other. It waits for the cause.
type loss struct {
	worker *Worker
	leases []*Lease
	until  int64
}

// alone says that a single frame was with its worker, and nothing else: better evidence there is not.
func (x *loss) alone() bool { return x.leases[0].unit != nil }

// Leave says that a worker's connection has ended and has been read to its end. A clean one is a goodbye.
func (c *Core) Leave(now int64, w *Worker, clean bool) {
	c.now = now
	c.parting = slices.DeleteFunc(c.parting, func(x *Worker) bool { return x == w })
	switch {
	case w.gone:
	case clean:
		c.handBack(w)
	default:
		c.lose(w)
	}
}

// Died is the parent's word on a worker's end. It returns false when that is no death: the worker had said goodbye.
func (c *Core) Died(now int64, id, cause, detail string) bool {
	c.now = now
	left, known := c.departed(id)
	if left.clean {
		return false
	}
	c.stats.Deaths[cause]++
	for _, x := range c.losses {
		if x.worker.ID == id {
			x.worker.detail = detail
			c.convict(x, cause)
			return true
		}
	}
	if known {
		c.chargeIdle(cause, left.had || left.held)
		return true
	}
	for _, w := range c.workers {
		if w.ID == id && w.died == "" {
			w.died, w.detail, w.judgeBy = cause, detail, now+settleSocket
			c.relieve(w)
			c.chargeIdle(cause, len(w.line) > 0 || w.held)
			break
		}
	}
	return true
}

// chargeIdle counts the death of a worker without a batch against its version; those with one are counted when it is judged. That of a standby
// says nothing of those that answer.
func (c *Core) chargeIdle(cause string, exempt bool) {
	switch cause {
	case CauseKilled, CauseLoad, CauseLink:
	default:
		if !exempt {
			c.stats.Charged++
		}
	}
}

// departed finds a worker of this name that left shortly ago: a word on its death is not on that of the one that has its
// name now. It is found once.
func (c *Core) departed(id string) (d departure, found bool) {
	c.left = slices.DeleteFunc(c.left, func(d departure) bool { return c.now-d.at > memory })
	i := slices.IndexFunc(c.left, func(d departure) bool { return d.id == id })
	if i < 0 {
		return departure{}, false
	}
	d = c.left[i]
	c.left = slices.Delete(c.left, i, i+1)
	return d, true
}

// handBack takes all leases of a worker that said goodbye; nobody is to blame.
func (c *Core) handBack(w *Worker) {
	c.remove(w)
	c.left = append(c.left, departure{id: w.ID, at: c.now, clean: true})
	for _, l := range w.line {
		c.blameless(l)
	}
	w.line = nil
}

// lose takes the leases of a lost worker. Only the oldest frame can have been begun, or as many as it scores beside each other; the
// others go back as they were.
func (c *Core) lose(w *Worker) {
	c.remove(w)
	c.relieve(w)
	begun, line := w.begun(), w.line
	w.line = nil
	if len(line) == 0 || w.died != "" && w.judgeBy == 0 {
		c.left = append(c.left, departure{id: w.ID, at: c.now, had: len(line) > 0, held: w.held})
	}
	if len(line) == 0 {
		return
	}
	for _, l := range line[len(begun):] {
		c.blameless(l)
	}
	x := &loss{worker: w, leases: begun, until: c.now + c.cfg.Verdict}
	c.losses = append(c.losses, x)
	if !x.alone() {
		c.storm = append(c.storm, c.now)
	}
	if w.died != "" {
		c.convict(x, w.died)
	}
}

// blameless gives a lease back of which nothing was begun.
func (c *Core) blameless(l *Lease) {
	if l.unit != nil {
		c.unitBack(l, 0)
		return
	}
	c.giveBack(l, 0)
}

// condemn takes a worker out for a cause that is known already.
func (c *Core) condemn(w *Worker, cause, detail string) {
	w.died, w.detail = cause, detail
	c.lose(w)
}

// malformed takes out a worker that answered what cannot be true, of that lease where it is known.
func (c *Core) malformed(w *Worker, of *Lease, err error) {
	for _, l := range w.line {
		l.bystander = of != nil && l != of
	}
	c.stats.Deaths[CauseMalformed]++
	c.condemn(w, CauseMalformed, err.Error())
}

// survived says that a process has dialled again: if it had a connection that was lost, that was all that was lost.
func (c *Core) survived(id string, pid uint64) {
	for _, x := range slices.Clone(c.losses) {
		if x.worker.ID == id && pid != 0 && x.worker.PID == pid {
			c.stats.Deaths[CauseLink]++
			c.convict(x, CauseLink)
		}
	}
}

// forgive holds the time for which this process did not run (it was stopped, starved, or its machine slept) against nobody:
// answers and parents' words of that time wait in sockets to be read. Whoever owes an answer has half of its deadline left at least.
func (c *Core) forgive() {
	late := c.now - c.due
	if c.due == 0 || late < min(seconds, max(100*milliseconds, c.cfg.Deadline/4)) {
		return
	}
	for _, w := range c.workers {
		for _, l := range w.begun() {
			l.since = min(c.now, max(l.since+late, c.now-c.cfg.Deadline/2))
		}
		if w.died != "" {
			w.judgeBy = c.now + settleSocket
		}
	}
	for _, x := range c.losses {
		x.until = c.now + c.cfg.Verdict
	}
}

// expire acts on what has taken too long: frames, causes of death, sockets of the dead, the patience with a cut worker.
func (c *Core) expire() {
	for _, w := range slices.Clone(c.workers) {
		switch {
		case w.died != "" && w.judgeBy <= c.now:
			c.effects.Closes = append(c.effects.Closes, Close{w, CloseDead})
			c.lose(w)
		case len(w.line) > 0 && w.died == "" && w.line[0].since+c.cfg.Deadline <= c.now:
			c.overdue(w)
		}
	}
	for _, x := range slices.Clone(c.losses) {
		if x.until <= c.now {
			c.left = append(c.left, departure{id: x.worker.ID, at: c.now, had: true})
			c.convict(x, c.presumed())
		}
	}
	c.parting = slices.DeleteFunc(c.parting, func(w *Worker) bool {
		if w.closeAt > c.now {
			return false
		}
		c.effects.Closes = append(c.effects.Closes, Close{w, CloseOverdue})
		return true
	})
	if c.shrink > 0 && c.calmAt <= c.now {
		c.shrink = 0
	}
}

// presumed is the cause when nobody has said one. A parent that is there and silent has not lost a child.
func (c *Core) presumed() string {
	cause := CauseUnknown
	if c.supervised {
		cause = CauseLink
	}
	c.stats.Deaths[cause]++
	return cause
}

// overdue takes a worker's leases at its deadline, and asks its parent to end it. The connection is closed when that
// does not happen; without a parent at once. What was begun later and scored beside has time left: it is tried again.
func (c *Core) overdue(w *Worker) {
	c.stats.Overdue++
	w.closeAt = c.now
	if c.supervised {
		w.closeAt += c.cfg.Grace
		c.effects.Cuts = append(c.effects.Cuts, w)
	} else {
		c.stats.Deaths[CauseHang]++ // with a parent, its word is counted
	}
	c.parting = append(c.parting, w)
	for _, l := range w.line {
		l.bystander = l.since+c.cfg.Deadline > c.now
	}
	c.condemn(w, CauseHang, "no answer within the deadline")
}

// convict settles what the death of a worker with frames was. Those that it had begun are suspect alike, but for the ones that it
// cannot have died of, unless such a thing has happened to them too often.
func (c *Core) convict(x *loss, cause string) {
	c.losses = slices.DeleteFunc(c.losses, func(y *loss) bool { return x == y })
	if cause == CauseOOM {
		c.shrink = min(c.shrink+1, 10)
		c.calmAt = c.now + c.cfg.Calm
	}
	innocent := c.environment(x, cause)
	var blamed []*Lease
	for _, l := range x.leases {
		events := l.unanswered()
		for _, e := range events {
			e.Tries++
		}
		if (innocent || l.bystander) && excuse(events, cause) {
			c.blameless(l)
			continue
		}
		blamed = append(blamed, l)
	}
	if len(blamed) == 0 {
		c.stats.Excused++
		return
	}
	c.suspect(x.worker, blamed, cause)
}

// environment says that a death is not the doing of the events that were being scored.
func (c *Core) environment(x *loss, cause string) bool {
	switch cause {
	case CauseKilled, CauseOOM, CauseLoad, CauseLink:
		return true
	case CauseMalformed, CauseHang:
		return false
	}
	if x.alone() {
		return false
	}
	return c.stormy() || c.orphaned != 0 && c.now-c.orphaned <= c.cfg.Storm
}

// stormy says that several workers were lost within a second.
func (c *Core) stormy() bool {
	c.storm = slices.DeleteFunc(c.storm, func(t int64) bool { return c.now-t > c.cfg.Storm+c.cfg.Verdict })
	near := 0
	for _, t := range c.storm {
		if c.storm[len(c.storm)-1]-t <= c.cfg.Storm {
			near++
		}
	}
	return near > 1
}

// excuse counts a death that is not held against events, while they have excuses left.
func excuse(events []*Event, cause string) bool {
	link := cause == CauseLink
	for _, e := range events {
		if link && e.links >= maxLinks || !link && e.excuses >= maxExcuses {
			return false
		}
	}
	for _, e := range events {
		if link {
			e.links++
		} else {
			e.excuses++
		}
	}
	return true
}
