package delivery

import (
	"slices"

	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// A Worker is one events connection, from its joining to its loss.
type Worker struct {
	ID     string
	PID    uint64 // 0 when unknown
	Model  string // version
	Handle any    // the caller's own

	window  Room // what it is given of what it takes, see size.go
	used    Room
	line    []*Lease // unanswered, oldest first
	abreast int      // that it scores beside each other: so many of the line it may have begun
	rested  int64    // when it answered its oldest last
	mine    laneList // lanes that have events out here and more waiting

	granted Room // what it takes

	gone    bool
	died    string // the parent's word
	detail  string
	judgeBy int64 // when a socket that stays open in spite of it is no longer waited for
	closeAt int64 // when a worker that was cut is closed
	stuck   bool  // had nothing that fits, in this tick
	apart   *suspicion

	ready     bool   // has granted something
	held      bool   // a standby without a place, see standby.go
	standsFor string // the worker whose place it has, as long as that may come back
	relieved  bool   // is lost, and a standby was looked for
}

// Join takes a worker in. A worker of the same name that is still there is replaced: its connection is closed, and its
// leases come back.
func (c *Core) Join(now int64, id string, pid uint64, model string, handle any) *Worker {
	c.now = now
	for _, old := range slices.Clone(c.workers) {
		if old.ID == id {
			c.effects.Closes = append(c.effects.Closes, Close{old, CloseReplaced})
			c.lose(old)
		}
	}
	c.survived(id, pid)
	w := &Worker{ID: id, PID: pid, Model: model, Handle: handle, abreast: 1}
	c.workers = append(c.workers, w)
	return w
}

// Ready sets a worker's window. Leases are given from the first one on, to a standby from the second one on or when it takes another's place.
func (c *Core) Ready(now int64, w *Worker, window Room) {
	c.now = now
	w.granted = window
	w.window = c.windowOf(w)
	if window.Events > 0 {
		c.arrived(w)
	}
}

// Abreast says that a worker scores so many batches beside each other, and answers them in any order. It is given no more than
// that, so whatever it has it may have begun. For events that nothing orders; called before Ready.
func (w *Worker) Abreast(batches int) { w.abreast = max(1, batches) }

// AtOnce is how many batches the ready workers score at a time, all together.
func (c *Core) AtOnce() (n int) {
	for _, w := range c.workers {
		if w.usable() {
			n += w.abreast
		}
	}
	return n
}

// begun are the leases that a worker may be scoring, oldest first; the others of its line wait behind them.
func (w *Worker) begun() []*Lease { return w.line[:min(w.abreast, len(w.line))] }

// Supervised says whether a parent of workers is connected.
func (c *Core) Supervised(now int64, yes bool) {
	c.now = now
	if c.supervised && !yes {
		c.orphaned = now
	}
	c.supervised = yes
}

// Done is how many events of a lease have been answered, if it is one that the worker may have begun.
func (w *Worker) Done(id wire.Lease) (n int, begun bool) {
	for _, l := range w.begun() {
		if l.Batch == id.Batch && l.Epoch == id.Epoch {
			return l.done, true
		}
	}
	return 0, false
}

// InFlight is what the worker has not answered.
func (w *Worker) InFlight() (frames int, used Room) { return len(w.line), w.used }

// Window is what the worker is given at once, of what it takes.
func (w *Worker) Window() Room { return w.window }

// Since is when its oldest unanswered frame became that.
func (w *Worker) Since() int64 {
	if len(w.line) == 0 {
		return w.rested
	}
	return w.line[0].since
}

// Workers are those that are there.
func (c *Core) Workers() []*Worker { return c.workers }

// Ready workers are those that can be given leases, now or when they have answered.
func (c *Core) ReadyWorkers() (n int) {
	for _, w := range c.workers {
		if w.usable() {
			n++
		}
	}
	return n
}

func (w *Worker) usable() bool { return w.able() && !w.held }

// able says that a worker could be given leases if it had a place.
func (w *Worker) able() bool { return w.window.Events > 0 && w.died == "" && !w.gone }

// remove takes a worker out; its leases have been taken back or will be.
func (c *Core) remove(w *Worker) {
	w.gone = true
	c.workers = slices.DeleteFunc(c.workers, func(x *Worker) bool { return x == w })
	if w.apart != nil {
		w.apart.release()
	}
}

// answered takes a frame off the line; the next one that waits is then begun.
func (w *Worker) answered(l *Lease, now int64) {
	i := slices.Index(w.line, l)
	w.line = slices.Delete(w.line, i, i+1)
	w.used.Events -= len(l.events)
	w.used.Bytes -= l.bytes
	if i == 0 {
		w.rested = now
	}
	if i < w.abreast && len(w.line) >= w.abreast {
		w.line[w.abreast-1].since = now
	}
}
