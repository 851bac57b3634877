package delivery

// A standby is a worker whose parent keeps it for the loss of another: it has its model loaded and gets nothing. The core lets it into the
// place of a worker of its version in the call that takes that one out, so that between two frames there is no moment without a worker.
// A worker that was sent away (it drains, says goodbye) is nobody's loss: its parent has planned that.
//
// The parent has the last word. It learns of a death by itself, gives the place to its standby, too, and has that one say READY again; what
// takes the place of the dead is then the next standby. So a death that the core did not see as one is made up for, and a worker
// whose link was lost while its process lives finds its own place again when it has dialled: the standby that stood in goes back.

// Standby says that a worker is one. It is called before Ready.
func (w *Worker) Standby() { w.held = true }

// Held says whether a worker is a standby that has nobody's place yet.
func (w *Worker) Held() bool { return w.held }

// HeldWorkers is how many standbys could take a place at once.
func (c *Core) HeldWorkers() (n int) {
	for _, w := range c.workers {
		if w.held && w.able() {
			n++
		}
	}
	return n
}

// places is how many workers there are that are not standbys.
func (c *Core) places() (n int) {
	for _, w := range c.workers {
		if !w.held {
			n++
		}
	}
	return n
}

// relieve gives the place of a worker that is lost to a standby of its version, once.
func (c *Core) relieve(w *Worker) {
	if w.held || w.relieved || w.window.Events == 0 {
		return
	}
	w.relieved = true
	for _, x := range c.workers {
		if x.held && x.able() && x.Model == w.Model {
			x.held, x.standsFor = false, w.ID
			c.stats.Relieved++
			return
		}
	}
}

// arrived tells of a READY that grants something: the first of a worker that is back in its place, or the second of a standby, which has its
// parent's word for it that the place is its own.
func (c *Core) arrived(w *Worker) {
	if w.ready {
		if w.held {
			c.stats.Relieved++ // its parent was sooner than the end of the dead one's socket
		}
		w.held, w.standsFor = false, ""
		return
	}
	w.ready = true
	for _, x := range c.workers {
		if x.standsFor == w.ID {
			x.held, x.standsFor = true, ""
		}
	}
}
