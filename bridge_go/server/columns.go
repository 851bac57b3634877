package server

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"ds-runner.dev/ds-runner/bridge_go/columns"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// How columns fit in: a batch stays a wire.Batch until it is encoded, and what comes back becomes a wire.Result as soon as it is
// decoded. So sessions, routes, tapes, players and shadows know payloads alone, windows count them to the byte, and an outbox holds
// references to payloads and never a body. Parsing is part of encoding: a batch that is written at once is parsed where it was leased, any other
// by its connection's writer.

// columnsSince is the minor version that brought columns.
const columnsSince = 1

// A composer writes a connection's batches as columns, by the plan of its worker. One goroutine encodes at a time: the writer, or
// who sends while the writer has nothing to do.
type composer struct {
	plan    *columns.Plan
	builder *columns.Builder
	frame   wire.Columns // its slices are used again
}

// readPlan gives a connection its composer if its worker wants columns. A plan that this bridge does not understand, of a later version or
// by a mistake of either side, costs time and nothing else: the worker's events go as payloads, and the log says why.
func (c *conn) readPlan() {
	if c.minor < columnsSince || c.hello.Wants&wire.WantColumns == 0 {
		return
	}
	plan, err := columns.ReadPlan(c.hello.Describe)
	if err != nil {
		c.server.Log.Warn("wire: no columns for this worker, its events go as payloads", c.attrs("reason", err.Error())...)
	}
	if plan == nil || err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.composer = &composer{plan: plan, builder: columns.NewBuilder(plan)}
}

// encode appends a frame. Batches become columns where they can.
func (c *conn) encode(b []byte, m wire.Message) ([]byte, error) {
	batch, leased := m.(*wire.Batch)
	if !leased {
		return wire.AppendFrame(b, m, c.max.Load())
	}
	if c.composer != nil {
		if out, ok := c.composer.append(b, batch, c.max.Load()); ok {
			misfits := len(c.composer.frame.Misfits)
			c.sent.columns.Add(float64(len(batch.Payloads) - misfits))
			c.sent.misfits.Add(float64(misfits))
			return out, nil
		}
	}
	out, err := wire.AppendFrame(b, m, c.max.Load())
	if err == nil {
		c.sent.payloads.Add(float64(len(batch.Payloads)))
	}
	return out, err
}

// append is false when the batch has to go as payloads: no event is a row, or the columns are longer than a frame may be.
func (x *composer) append(b []byte, batch *wire.Batch, limit uint64) ([]byte, bool) {
	defer x.shrink()
	if !x.build(batch) || uint64(x.builder.BodySize()) > limit {
		return b, false
	}
	m := &x.frame
	m.Lease, m.Attempt, m.DeadlineMS, m.Stream = batch.Lease, batch.Attempt, batch.DeadlineMS, batch.Stream
	m.Positions, m.Keys, m.Headers, m.Timestamps = batch.Positions, batch.Keys, batch.Headers, batch.Timestamps
	m.Bytes, m.Rows = uint64(batch.Bytes()), uint64(x.builder.Rows())
	m.Layout = x.builder.Layout(m.Layout[:0])
	m.Body = x.builder.AppendBody(m.Body[:0])
	out, err := wire.AppendFrame(b, m, limit)
	return out, err == nil
}

// build parses the events of a batch; false when none of them is a row.
func (x *composer) build(batch *wire.Batch) bool {
	x.builder.Reset()
	x.frame.Misfits, x.frame.Unknown = x.frame.Misfits[:0], x.frame.Unknown[:0]
	for i, p := range batch.Payloads {
		if !x.builder.Add(p) {
			x.frame.Misfits = append(x.frame.Misfits, wire.Misfit{Index: uint64(i), Payload: p})
		}
	}
	for _, u := range x.builder.Unknown() {
		x.frame.Unknown = append(x.frame.Unknown, wire.Unknown{Name: wire.Text(u.Name, wire.MaxName), N: uint64(u.N)})
	}
	return x.builder.Rows() > 0
}

// shrink lets go of what belongs to the batch, and of the memory of an unusually large one.
func (x *composer) shrink() {
	m := &x.frame
	m.Positions, m.Keys, m.Headers, m.Timestamps = nil, nil, nil, nil
	clear(m.Misfits) // their number stays, which is to be counted
	if cap(m.Body) > keepBuffer {
		m.Body = nil
		x.builder = columns.NewBuilder(x.plan)
	}
}

// A form counts the events that went to one worker, by how they went.
type form struct{ columns, misfits, payloads prometheus.Counter }

func (m *metrics) form(program, command string) form {
	with := func(kind string) prometheus.Counter { return m.events.WithLabelValues(program, command, kind) }
	return form{columns: with("columns"), misfits: with("misfit"), payloads: with("payload")}
}

var errNoOutputs = &wire.Error{Code: wire.ByeOrder, At: "ANSWERS", Why: "the worker's plan has no outputs"}

// render makes of an answer by columns what it would have been without them. The error is the rule that it breaks.
func (w *worker) render(a *wire.Answers) (*wire.Result, *wire.Error) {
	if w.conn.composer == nil || !w.conn.composer.plan.Answers() {
		return nil, errNoOutputs
	}
	outputs, err := w.conn.composer.plan.Render(int(a.Rows), a.Layout, a.Body)
	switch {
	case errors.Is(err, columns.ErrRendered):
		return nil, &wire.Error{Code: wire.ByeLimit, At: "ANSWERS.body", Why: err.Error()}
	case err != nil:
		return nil, &wire.Error{Code: wire.ByeMalformed, At: "ANSWERS.body", Why: err.Error()}
	}
	return a.Result(outputs), nil
}

// answered hands a rendered answer on, or closes the worker: its lease comes back when it leaves.
func (w *worker) answered(a *wire.Answers) {
	r, broken := w.render(a)
	if broken != nil {
		w.conn.server.metrics.malformed.Inc()
		w.conn.say(broken.Code, broken.Reason())
		return
	}
	w.pool.Result(w, r)
}
