package server

import (
	"errors"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/session"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

var (
	errNoPool    = errors.New("this bridge runs no commands")
	errNoCalls   = errors.New("this bridge answers no calls")
	errNoControl = errors.New("this bridge has no control methods")
)

// newDuty finds what serves a connection's role, or says why nothing does.
func (s *Server) newDuty(c *conn) (duty, error) {
	switch c.role {
	case wire.RoleCalls:
		return newCallDuty(c, s.Calls, errNoCalls)
	case wire.RoleControl:
		return newCallDuty(c, s.Control, errNoControl)
	}
	if s.Pool == nil {
		return nil, errNoPool
	}
	pool, err := s.Pool(c.hello.Program, c.hello.Command)
	if err != nil {
		return nil, err
	}
	if c.role == wire.RoleSupervisor {
		return &supervisor{conn: c, pool: pool}, nil
	}
	return &worker{conn: c, pool: pool}, nil
}

// A worker is an events connection, as the dispatcher sees it and as it sees the dispatcher.
type worker struct {
	conn *conn
	pool dispatch.Pool
}

var _ dispatch.Worker = (*worker)(nil)

func (w *worker) ID() string { return w.conn.hello.Worker }

// Hello is the worker's, with MaxFrame lowered to what both sides take.
func (w *worker) Hello() *wire.Hello { return w.conn.hello }

func (w *worker) Drain(reason string) {
	w.conn.mu.Lock()
	defer w.conn.mu.Unlock()
	w.conn.apply(w.conn.machine.Drain(reason))
}

func (w *worker) Close(code wire.ByeCode, reason string) { w.conn.say(code, reason) }

// Send drops a batch when the worker takes no more: its lease returns when the worker leaves.
func (w *worker) Send(b *wire.Batch) {
	c := w.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	step, err := c.machine.Send(b)
	switch {
	case errors.Is(err, session.ErrClosed):
	case err != nil:
		c.server.Log.Error("wire: a batch cannot be sent", c.attrs("error", err.Error())...)
		c.apply(c.machine.Close(wire.ByeInternal, err.Error()))
	default:
		c.apply(step)
	}
}

func (w *worker) greet() (wire.Welcome, error) {
	w.conn.readPlan()
	w.conn.sent = w.conn.server.metrics.form(w.conn.hello.Program, w.conn.hello.Command)
	return w.pool.Join(w)
}

func (w *worker) joined() {}

func (w *worker) leave(err error) { w.pool.Leave(w, err) }

func (w *worker) hear(e session.Event) {
	switch e := e.(type) {
	case session.Window:
		events, bytes := w.window(e)
		w.pool.Ready(w, events, bytes)
	case session.WorkerDrains:
		w.pool.Ready(w, 0, 0)
	case session.Settled:
		w.pool.Result(w, e.Result)
	case session.DroppedResult:
		w.pool.Result(w, e.Result)
	case session.Answered:
		w.answered(e.Answers)
	case session.DroppedAnswers:
		w.pool.Result(w, e.Answers.Result(nil)) // counted there, whatever is in it
	case session.Returned:
		w.pool.Return(w, e.Return)
	case session.DroppedReturn:
		w.pool.Return(w, e.Return)
	}
}

// window cuts what a worker grants to what the bridge is ready to hold for one worker, so that batches alone can never
// overflow the outbox, and for a worker that takes short frames to what fits into one.
func (w *worker) window(e session.Window) (events, bytes int) {
	half := uint64(w.conn.server.QueueBytes / 2)
	bytes = int(min(e.Bytes, half))
	if frame := w.conn.hello.MaxFrame; frame < w.conn.server.MaxFrame {
		bytes = min(bytes, int(frame/2))
	}
	return int(min(e.Events, half/eventWeight)), bytes
}

// A supervisor is the connection of a parent of workers.
type supervisor struct {
	conn *conn
	pool dispatch.Pool
	gone func()
}

var _ dispatch.Supervisor = (*supervisor)(nil)

func (s *supervisor) Cut(worker, reason string) {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	cut := &wire.Cut{Worker: worker, Reason: wire.Text(reason, wire.MaxReason)}
	if step, err := s.conn.machine.Cut(cut); err == nil {
		s.conn.apply(step)
	}
}

func (s *supervisor) greet() (wire.Welcome, error) { return wire.Welcome{}, nil }

// joined is where the dispatcher learns of the supervisor: after WELCOME, or a CUT could overtake it.
func (s *supervisor) joined() { s.gone = s.pool.Supervise(s) }

func (s *supervisor) hear(e session.Event) {
	if died, ok := e.(session.Died); ok {
		s.pool.Died(died.Worker, died.Cause, died.Detail)
	}
}

func (s *supervisor) leave(error) { s.gone() }
