package delivery

// paceWeight is the share of the latest batch in the average: the last dozen make it.
const paceWeight = 8

// Limits of the linger that follows the pace: a share of a batch's time, not worth a timer below the one, never above the other.
const (
	lingerShare = 5
	leastLinger = milliseconds / 2
	mostLinger  = 2 * milliseconds
)

// A Pace is how long workers of late took for a batch.
type Pace struct {
	Batch   int64  // average of batches answered whole, nanoseconds; 0 before the first
	Batches int    // that the average has seen since the model changed
	Model   string // version that it is of
	Last    int    // events of the last one
	Begun   int64  // when the youngest batch in flight was sent, 0 while a worker is idle
	Out     int    // events with workers
}

// Pace looks at how fast batches are answered, and what is under way.
func (c *Core) Pace() Pace {
	p, idle := c.pace, false
	for _, w := range c.workers {
		p.Out += w.used.Events
		switch {
		case !w.usable():
		case len(w.line) < w.abreast:
			idle = true
		default:
			p.Begun = max(p.Begun, w.line[w.abreast-1].Sent)
		}
	}
	if idle {
		p.Begun = 0
	}
	return p
}

// paced counts a batch that has been answered whole.
func (c *Core) paced(w *Worker, l *Lease) {
	c.sized(w, l)
	p, took := &c.pace, c.now-l.Sent
	if p.Model != w.Model {
		*p = Pace{Model: w.Model}
	}
	if p.Batches == 0 {
		p.Batch = took
	}
	p.Batch += (took - p.Batch) / paceWeight
	p.Batches++
	p.Last = len(l.events)
}

// idles says until when a worker that has just answered should wait for those to come again whose answers are on their way: clients in a
// closed loop. It pays where a batch of many costs little more than one of few, and costs what a batch takes, so it is a fifth of
// that at most. A batch of one row says that nobody else was there, and of a quick model there is nothing to gain; nor is there of one that
// scores batches beside each other, which waits for others and not for a processor.
func (c *Core) idles(w *Worker) (until int64) {
	linger := min(c.pace.Batch/lingerShare, mostLinger)
	if !c.cfg.Adaptive || linger < leastLinger || c.pace.Last < 2 || w.rested == 0 || w.abreast > 1 || c.again.n > 0 {
		return 0
	}
	if until = w.rested + linger; c.now >= until || c.fresh.n >= min(c.pace.Last, c.batch().Events) {
		return 0
	}
	return until
}
