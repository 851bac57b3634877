package dispatch

import (
	"errors"
	"slices"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/delivery"
	"ds-runner.dev/ds-runner/bridge_go/steps"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

var _ Pool = (*Route)(nil)

var errDraining = errors.New("the bridge is draining")

// A member is a worker and what the core knows of it.
type member struct {
	Worker
	core     *delivery.Worker
	joined   time.Time
	answered int
}

// Join implements [Pool].
func (r *Route) Join(w Worker) (wire.Welcome, error) {
	welcome := wire.Welcome{
		Nonce:      r.cfg.Nonce,
		DeadlineMS: uint64(r.cfg.Deadline.Milliseconds()), HeartbeatMS: uint64(r.cfg.HeartbeatEach.Milliseconds()),
	}
	if !r.post(func() { r.join(w) }) {
		return wire.Welcome{}, errDraining
	}
	return welcome, nil
}

func (r *Route) join(w Worker) {
	h := w.Hello()
	m := &member{Worker: w, joined: time.Now()}
	m.core = r.core.Join(r.now, w.ID(), h.PID, h.Model, m)
	if h.Wants&wire.AnyOrder != 0 {
		m.core.Abreast(r.cfg.Concurrency)
	}
	if h.Wants&wire.Standby != 0 {
		m.core.Standby()
	}
	r.members[w] = m
	delete(r.hung, w.ID())
	if r.drain != nil {
		w.Drain(errDraining.Error())
	}
	r.log.Info("worker joined", "worker", w.ID(), "pid", h.PID, "model", h.Model, "sdk", h.SDK, "standby", m.core.Held(), "workers", len(r.members))
}

// Ready implements [Pool].
func (r *Route) Ready(w Worker, events, bytes int) {
	r.post(func() {
		if m := r.members[w]; m != nil {
			r.core.Ready(r.now, m.core, delivery.Room{Events: events, Bytes: bytes})
		}
	})
}

// An answer is a result with its outputs taken apart.
type answer struct {
	model   string
	outputs [][]byte
	routes  []wire.Route // ascending; those of events gone through are cut off
}

// routed are the routes of n outputs from the first on, by their index among these.
func (a *answer) routed(first, n int) (routes []Routed) {
	for len(a.routes) > 0 && a.routes[0].Index < uint64(first+n) {
		if a.routes[0].Index >= uint64(first) {
			routes = append(routes, Routed{int(a.routes[0].Index) - first, a.routes[0].Stream})
		}
		a.routes = a.routes[1:]
	}
	return routes
}

// Result implements [Pool]. The outputs are taken apart here, on the connection's goroutine, not on the loop.
func (r *Route) Result(w Worker, x *wire.Result) {
	outputs, err := x.Split()
	r.post(func() {
		m := r.members[w]
		if m == nil {
			return
		}
		counts := r.recorder != nil && r.core.Alive(x.Nonce, x.Batch, x.Epoch)
		if err == nil {
			err = r.core.Result(r.now, m.core, x, len(outputs))
		}
		if err == nil && counts {
			r.record(x.Lease, x)
		}
		r.collect(&answer{m.core.Model, outputs, x.Routes})
		r.unstage(x.Lease)
		r.serviced()
		if err != nil {
			r.log.Warn("worker answered what cannot be true", "worker", m.ID(), "error", err)
			m.Close(wire.ByeMalformed, err.Error())
			return
		}
		m.answered++
		r.answered = true
	})
}

func (r *Route) serviced() {
	for _, s := range r.core.Served() {
		r.count.stages[stageWorker].Observe(s.Nanos, s.Events)
		if r.cfg.Work != nil {
			r.cfg.Work.Add(s.Nanos)
		}
	}
}

// codeCrowded is the code of a batch that did not fit into its worker's memory.
const codeCrowded = "out_of_memory"

// Return implements [Pool].
func (r *Route) Return(w Worker, x *wire.Return) {
	r.post(func() {
		if m := r.members[w]; m != nil {
			retry := time.Duration(min(x.RetryMS, uint64(time.Hour.Milliseconds()))) * time.Millisecond
			if x.Code == codeCrowded && r.crowded(m, x) {
				return
			}
			counts := r.recorder != nil && r.core.Alive(x.Nonce, x.Batch, x.Epoch)
			r.core.Return(r.now, m.core, x.Lease, int64(retry))
			if counts {
				r.record(x.Lease, x)
			}
			r.log.Warn("batch given back", "worker", m.ID(), "code", x.Code, "reason", x.Reason, "retry", retry)
		}
	})
}

// crowded makes batches smaller, and tells of an event that does not fit even alone: it comes again until somebody helps. Where a
// client waits for each event (there is no breaker) it fails instead, at once: crowded reports that the batch has been answered so.
func (r *Route) crowded(m *member, x *wire.Return) (answered bool) {
	e := r.core.Crowded(r.now, m.core, x.Lease)
	switch {
	case e == nil:
		return false
	case r.cfg.Breaker.Off:
		return r.outgrown(m, x)
	}
	r.log.Error("an event does not fit into a worker's memory even alone, and holds up those behind it",
		"stream", r.cfg.Stream, "partition", e.Record.Partition, "offset", e.Record.Offset, "bytes", len(e.Record.Value), "tries", e.Tries+1)
	return false
}

// outgrown answers for the last event of a batch in its worker's place.
func (r *Route) outgrown(m *member, x *wire.Return) bool {
	done, known := m.core.Done(x.Lease)
	if !known {
		return false
	}
	failed := wire.RowError{Index: uint64(done), Kind: wire.KindFail, Code: codeCrowded, Reason: "the row does not fit into the worker's memory even alone"}
	err := r.core.Result(r.now, m.core, &wire.Result{Lease: x.Lease, First: uint64(done), Count: 1, Counts: []uint64{0}, Errors: []wire.RowError{failed}}, 0)
	r.collect(&answer{m.core.Model, nil, nil})
	r.unstage(x.Lease)
	return err == nil
}

// Leave implements [Pool].
func (r *Route) Leave(w Worker, err error) {
	r.post(func() {
		m := r.members[w]
		if m == nil {
			return
		}
		delete(r.members, w)
		frames, used := m.core.InFlight()
		r.core.Leave(r.now, m.core, err == nil)
		r.log.Info("worker left", "worker", m.ID(), "frames_back", frames, "events_back", used.Events, "reason", reason(err))
	})
}

func reason(err error) string {
	if err == nil {
		return "goodbye"
	}
	return err.Error()
}

// Supervise implements [Pool].
func (r *Route) Supervise(s Supervisor) (leave func()) {
	r.post(func() {
		r.supervisors = append(r.supervisors, s)
		r.core.Supervised(r.now, true)
		for worker := range r.hung {
			s.Cut(worker, r.overdue())
		}
	})
	return func() {
		r.post(func() {
			r.supervisors = slices.DeleteFunc(r.supervisors, func(x Supervisor) bool { return x == s })
			r.core.Supervised(r.now, len(r.supervisors) > 0)
		})
	}
}

// Died implements [Pool].
func (r *Route) Died(worker, cause, detail string) {
	r.post(func() {
		if !r.core.Died(r.now, worker, cause, detail) {
			return
		}
		r.log.Warn("worker died", "worker", worker, "cause", causeText(cause), "detail", detail)
	})
}

func causeText(cause string) string {
	if cause == delivery.CauseOOM {
		return "out of memory"
	}
	return cause
}

// carryOut does what the core wants done.
func (r *Route) carryOut(e delivery.Effects) {
	for _, l := range e.Leases {
		m := l.Worker.Handle.(*member)
		b := r.frame(l, m.Hello().Wants)
		if r.recorder != nil {
			r.recorder.sent(b, l.Events(), m, r.now)
		}
		m.Send(b)
		steps.At(steps.AfterSend)
	}
	for _, w := range e.Cuts {
		r.log.Warn("worker is over its deadline, asking its parent to end it", "worker", w.ID, "deadline", r.cfg.Deadline)
		for _, s := range r.supervisors {
			s.Cut(w.ID, r.overdue())
		}
	}
	for _, c := range e.Closes {
		r.noteHung(c)
		code, why := closeWith(c.Why)
		r.log.Warn("closing worker", "worker", c.Worker.ID, "reason", why)
		c.Worker.Handle.(*member).Close(code, why)
	}
}

func (r *Route) overdue() string { return "no answer within " + r.cfg.Deadline.String() }

// maxHung bounds the names that are kept for a parent that may never come.
const maxHung = 1024

// noteHung keeps the name of a worker that was closed over its deadline and has not dialled again: the process may hang for
// ever, and only a parent can end it. One that connects later is asked to.
func (r *Route) noteHung(c delivery.Close) {
	if c.Why == delivery.CloseOverdue && len(r.hung) < maxHung {
		r.hung[c.Worker.ID] = struct{}{}
	}
}

func closeWith(why delivery.CloseReason) (wire.ByeCode, string) {
	switch why {
	case delivery.CloseOverdue:
		return wire.ByeDeadline, "no answer within the deadline"
	case delivery.CloseReplaced:
		return wire.ByeReplaced, "a worker of the same name has joined"
	}
	return wire.ByeDone, "its parent says that it has ended"
}

// dismiss tells all workers that no more batches come.
func (r *Route) dismiss(why string) {
	for w := range r.members {
		w.Drain(why)
	}
}

// farewell lets workers say goodbye, and closes those that do not within a second, or at once when the time to drain is up.
func (r *Route) farewell() {
	if r.drain == nil {
		r.dismiss("the input has ended")
	}
	patience := time.NewTimer(time.Second)
	if r.drain != nil && r.drain.until != 0 && r.drain.until <= r.now {
		patience.Reset(0)
	}
	defer patience.Stop()
	for len(r.members) > 0 {
		select {
		case f := <-r.box:
			r.tell()
			f()
		case <-patience.C:
			for w := range r.members {
				w.Close(wire.ByeDone, "the route has ended")
			}
			return
		}
	}
}
