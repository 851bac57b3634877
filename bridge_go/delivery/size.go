package delivery

// How large frames are. Where the configuration says one size, that is it. Where it lets the size grow, frames are doubled while workers
// are busy and quick: what a model, and the wire, cost for each batch is then paid for more events, and nobody waits longer, since a
// batch takes what is queued and is bound by this size only when more is queued than it takes. It is judged by batches that were at
// least half full, several at a time:
//
//	twice the time they took is still quick   ->  twice the size
//	they took more than twice what is quick   ->  half of it, and half again until they would be quick; never below the first
//	several took less than a quarter of it    ->  half of it: the worker is not that busy, and others may share what comes
//
// It is the first size again when the model changes, and when a worker has died of a batch or had no memory for it: what is to be
// bisected, or may go wrong again, is small. With the size go the part of a worker's window that is used, four frames, and what a lane may have out.
//
// Time is counted from when a frame became the oldest of its worker, so that a full window does not look slow.

// framesAhead is how many frames of a size that grows a worker is given at once: one is scored, one is on its way, two balance
// bridge and model.
const framesAhead = 4

// enoughFrames is how many frames say that a size is too small or too large.
const enoughFrames = 4

// A sizing is the size of frames, and what is known of it since it was last changed.
type sizing struct {
	frame  Room
	after  uint64 // frames with later numbers are of this size
	model  string // version
	full   int    // frames answered that were at least half full
	took   int64  // all of those, nanoseconds
	light  int    // frames in a row that were less than a quarter full
	deaths uint64 // and lack of memory, as counted when last looked at
}

// grows says that the size follows the workers.
func (c *Core) grows() bool { return c.cfg.Most.Events > 0 }

// sized learns from a frame that has been answered whole.
func (c *Core) sized(w *Worker, l *Lease) {
	if !c.grows() || l.probe || c.shrink > 0 {
		return
	}
	if s := &c.sizing; s.model != w.Model {
		c.resize(c.cfg.Batch)
		s.model = w.Model
	}
	switch {
	case l.Batch <= c.sizing.after:
	case c.filled(l, 2):
		c.judge(c.now - w.Since())
	case !c.filled(l, 4):
		c.lighten()
	}
}

// filled says that a frame took at least this part of the size, by events or by bytes.
func (c *Core) filled(l *Lease, part int) bool {
	return part*len(l.events) >= c.sizing.frame.Events || part*l.bytes >= c.sizing.frame.Bytes
}

// judge counts a full frame and doubles or halves the size when enough is known; at once when one has taken the time of all.
func (c *Core) judge(took int64) {
	s := &c.sizing
	s.light = 0
	s.full++
	s.took += took
	each := s.took / enoughFrames
	switch {
	case each > 2*c.cfg.Quick:
		size := s.frame
		for ; each > c.cfg.Quick && size != c.cfg.Batch; each /= 2 {
			size = c.halved(size)
		}
		c.resize(size)
	case s.full < enoughFrames:
	case 2*each <= c.cfg.Quick:
		c.resize(c.doubled(s.frame))
	default:
		c.resize(s.frame)
	}
}

// lighten counts a frame that had little in it.
func (c *Core) lighten() {
	s := &c.sizing
	s.full, s.took = 0, 0
	if s.light++; s.light == enoughFrames {
		c.resize(c.halved(s.frame))
	}
}

func (c *Core) doubled(size Room) Room {
	most := c.most()
	if 2*size.Events > most.Events {
		return size
	}
	return Room{2 * size.Events, min(2*size.Bytes, max(size.Bytes, most.Bytes))}
}

func (c *Core) halved(size Room) Room {
	return Room{max(size.Events/2, c.cfg.Batch.Events), max(size.Bytes/2, c.cfg.Batch.Bytes)}
}

// most is the largest size: of what may be read and not settled, each worker can have its four frames, and each takes as much.
func (c *Core) most() Room {
	n := framesAhead * max(1, c.ReadyWorkers())
	most := Room{min(c.cfg.Most.Events, c.cfg.Intake.Events/n), min(c.cfg.Most.Bytes, c.cfg.Intake.Bytes/n)}
	for _, w := range c.workers {
		if w.usable() {
			most.Events = min(most.Events, w.granted.Events/framesAhead)
			most.Bytes = min(most.Bytes, w.granted.Bytes/framesAhead)
		}
	}
	return most
}

// cautious goes back to the first size when a worker has died of a frame, or had no memory for it, since it was last asked.
func (c *Core) cautious() {
	s := &c.sizing
	if deaths := c.stats.Suspects + c.stats.Crowded; s.deaths != deaths {
		s.deaths = deaths
		c.resize(c.cfg.Batch)
	}
}

// resize sets the size and forgets what was known of the one before.
func (c *Core) resize(size Room) {
	s := &c.sizing
	changed := s.frame != size
	*s = sizing{frame: size, after: s.after, model: s.model, deaths: s.deaths}
	if !changed || !c.grows() {
		return
	}
	s.after = c.leases
	for _, w := range c.workers {
		w.window = c.windowOf(w)
	}
	if c.cfg.laneFollows {
		for _, l := range c.lanes {
			l.cap = lanesShare * size.Events
		}
	}
}

// windowOf is what a worker is given at once, of what it takes.
func (c *Core) windowOf(w *Worker) Room {
	if !c.grows() {
		return w.granted
	}
	size := c.sizing.frame
	return Room{min(w.granted.Events, framesAhead*size.Events), min(w.granted.Bytes, framesAhead*size.Bytes)}
}
