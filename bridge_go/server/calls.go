package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tinylib/msgp/msgp"

	"ds-runner.dev/ds-runner/bridge_go/session"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// A callDuty runs each call in a goroutine of its own. The machine bounds their number (wire.MaxCalls); the connection
// cancels them when it ends and waits for them.
type callDuty struct {
	conn   *conn
	handle Handler
}

func newCallDuty(c *conn, h Handler, none error) (duty, error) {
	if h == nil {
		return nil, none
	}
	return &callDuty{c, h}, nil
}

func (d *callDuty) greet() (wire.Welcome, error) { return wire.Welcome{}, nil }

func (d *callDuty) joined() {}

func (d *callDuty) leave(error) {}

func (d *callDuty) hear(e session.Event) {
	if called, ok := e.(session.Called); ok {
		d.conn.calls.Go(func() { d.serve(called.Call) })
	}
}

type connectionKey struct{}

// Connection is the context of the connection on which a call came: it is the same for all of its calls and ends with it.
// What a call leaves behind for later ones lives as long as it. Where there is no connection, as in tests, it is ctx.
func Connection(ctx context.Context) context.Context {
	if of, ok := ctx.Value(connectionKey{}).(context.Context); ok {
		return of
	}
	return ctx
}

func (d *callDuty) serve(call *wire.Call) {
	ctx, cancel := context.WithTimeout(context.WithValue(d.conn.ctx, connectionKey{}, d.conn.ctx), d.deadline(call))
	defer cancel()
	value, err := d.handle(ctx, d.conn.hello, call)
	answer := &wire.Answer{ID: call.ID, OK: err == nil, Value: value}
	switch max := d.conn.max.Load(); {
	case err != nil:
		answer.Value = failure(err).Append(nil)
	case len(value) == 0:
		answer.Value = msgp.AppendNil(nil)
	case uint64(len(value))+frameWeight > max:
		answer.OK = false
		answer.Value = (&wire.CallError{Code: "answer_too_large",
			Reason: fmt.Sprintf("%s: the answer has %d bytes, frames at most %d", call.Method, len(value), max)}).Append(nil)
	}
	d.count(answer)
	d.conn.answer(answer)
}

// maxDeadline is ten years: longer ones would overflow a duration.
const maxDeadline = 10 * 365 * 24 * time.Hour

func (d *callDuty) deadline(call *wire.Call) time.Duration {
	if call.DeadlineMS == 0 {
		return d.conn.server.CallTimeout
	}
	return time.Duration(min(call.DeadlineMS, uint64(maxDeadline.Milliseconds()))) * time.Millisecond
}

func (d *callDuty) count(a *wire.Answer) {
	outcome := "ok"
	if !a.OK {
		outcome = "error"
	}
	d.conn.server.metrics.calls.WithLabelValues(d.conn.role.String(), outcome).Inc()
}

// failure is what the caller is told.
func failure(err error) *wire.CallError {
	var told *wire.CallError
	switch {
	case errors.As(err, &told):
		return told
	case errors.Is(err, context.DeadlineExceeded):
		return &wire.CallError{Code: "deadline", Reason: err.Error(), Retry: true}
	}
	return &wire.CallError{Code: "internal", Reason: err.Error()}
}

// answer waits for room in the outbox: unlike the reader, a call may wait for the writer.
func (c *conn) answer(a *wire.Answer) {
	for {
		room, done := c.tryAnswer(a)
		if done {
			return
		}
		select {
		case <-room:
		case <-c.ctx.Done():
			return
		}
	}
}

func (c *conn) tryAnswer(a *wire.Answer) (room <-chan struct{}, done bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.outbox.bytes > 0 && c.outbox.bytes+weight(a) > c.outbox.limit {
		return c.outbox.room, false
	}
	if step, err := c.machine.Answer(a); err == nil { // else nobody waits for it any more
		c.apply(step)
	}
	return nil, true
}
