package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/session"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// How long a connection that has ended may still take: to write its goodbye, to wait for the peer to read it, and to find
// out that a peer which does not read any more has nothing more to say.
const (
	goodbyeGrace  = 2 * time.Second
	goodbyeLinger = time.Second
	lastWords     = time.Second
)

// A conn is one admitted connection. run is its reader; it ends the writer and all calls before it returns.
type conn struct {
	server *Server
	socket net.Conn
	role   wire.Role
	minor  uint8
	reader *wire.Reader
	in     flow
	out    flow
	hello  *wire.Hello               // set by the reader before anyone else knows the connection
	duty   duty                      // likewise
	sent   form                      // likewise
	max    atomic.Uint64             // bytes of a frame
	pulsed atomic.Pointer[time.Time] // the last PULSE, or the beginning

	ctx    context.Context // ends with the connection
	cancel context.CancelFunc
	calls  sync.WaitGroup
	left   chan struct{} // closed when the dispatcher knows that the connection has ended

	mu       sync.Mutex // guards what follows
	machine  *session.Machine
	outbox   outbox
	direct   *direct
	composer *composer // nil: batches go as payloads. What it holds is used by who encodes, with the lock or as the writer
	end      *session.End
}

// A duty is what a connection's role is about. All methods are called by the connection's reader.
type duty interface {
	// greet takes the connection on, or refuses it with a reason for the peer; then nothing else is called.
	greet() (wire.Welcome, error)
	joined() // WELCOME is on its way
	hear(session.Event)
	leave(err error)
}

func newConn(s *Server, socket net.Conn, g wire.Greeting) *conn {
	c := &conn{server: s, socket: socket, role: g.Role, minor: g.Minor, reader: wire.NewReader(socket), in: s.metrics.flow("in"),
		out: s.metrics.flow("out"), direct: newDirect(socket), left: make(chan struct{}), machine: session.NewMachine(g.Role), outbox: newOutbox(s.QueueBytes)}
	c.max.Store(wire.FirstMaxFrame)
	c.pulse()
	c.ctx, c.cancel = context.WithCancel(s.ctx)
	return c
}

func (c *conn) name() name { return name{c.role, c.hello.Program, c.hello.Command, c.hello.Worker} }

func (c *conn) run() {
	connected := c.server.metrics.connections.WithLabelValues(c.role.String())
	connected.Inc()
	defer connected.Dec()
	var writing sync.WaitGroup
	w := &writer{conn: c}
	writing.Go(w.run)
	c.socket.SetReadDeadline(time.Now().Add(c.server.PrefaceTimeout))
	c.depart(c.read())
	c.cancel()
	writing.Wait()
	if c.end.By == session.ByBridge {
		linger(c.socket, goodbyeLinger)
	}
	c.socket.Close()
	c.calls.Wait()
}

// read feeds the machine until the session or the stream ends.
func (c *conn) read() error {
	for {
		frame, err := c.reader.Next()
		var rule *wire.Error
		if err != nil && !errors.As(err, &rule) {
			return err
		}
		c.in.add(1, len(frame)+4)
		var m wire.Message
		if err == nil {
			m, err = wire.Decode(frame, c.minor)
		}
		if err != nil {
			c.server.metrics.malformed.Inc()
		}
		if _, ok := m.(*wire.Pulse); ok {
			c.pulse()
		}
		if c.receive(m, err) {
			return nil
		}
	}
}

// receive is true when the session has ended.
func (c *conn) receive(m wire.Message, err error) bool {
	c.mu.Lock()
	step := c.machine.Receive(m, err)
	c.apply(step)
	ended := c.end != nil
	c.mu.Unlock()
	switch e := step.Event.(type) {
	case nil, session.Ignored:
	case session.Hello:
		c.greet(e.Hello)
	default:
		c.duty.hear(e)
	}
	return ended
}

// apply does what a step asks for. The lock is held.
func (c *conn) apply(step session.Step) {
	if len(step.Write) > 0 && !c.sendNow(step.Write) && !c.outbox.put(step.Write) {
		c.outbox.clear()
		if step.End == nil {
			step = c.machine.Close(wire.ByeLimit, fmt.Sprintf("the peer reads too slowly: more than %d bytes wait for it", c.outbox.limit))
		}
		c.outbox.put(step.Write)
	}
	if step.End == nil {
		return
	}
	c.end = step.End
	if c.end.By != session.ByBridge {
		c.outbox.clear() // nobody reads it
	}
	c.outbox.finish()
	c.socket.SetWriteDeadline(time.Now().Add(goodbyeGrace))
	c.socket.SetReadDeadline(time.Now()) // the reader may be waiting for a frame that nobody needs any more
}

// greet answers HELLO. A worker that dials again replaces the connection it had: only when the dispatcher knows that the
// old one has ended is it told of the new one, or it would see one worker twice.
func (c *conn) greet(hello *wire.Hello) {
	hello.MaxFrame = min(hello.MaxFrame, c.server.MaxFrame)
	c.hello = hello
	d, err := c.server.newDuty(c)
	if err == nil && c.role != wire.RoleControl {
		err = c.replace()
	}
	if err != nil {
		c.say(wire.ByeRefused, err.Error())
		return
	}
	welcome, err := d.greet()
	if err != nil {
		c.server.Log.Warn("wire: refused", c.attrs("reason", err.Error())...)
		c.say(wire.ByeRefused, err.Error())
		return
	}
	c.duty = d
	c.welcome(&welcome)
	d.joined()
}

var errReplaced = errors.New("the worker's name is still connected")

func (c *conn) replace() error {
	old := c.server.names.replace(c)
	if old == nil {
		return c.alive()
	}
	old.say(wire.ByeReplaced, "the same worker dialled again")
	select {
	case <-old.left:
		return c.alive()
	case <-time.After(goodbyeGrace):
		return errReplaced
	}
}

// alive is an error when this connection was itself replaced, or the server stopped, while it waited.
func (c *conn) alive() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.end != nil {
		return c.end
	}
	return nil
}

func (c *conn) welcome(w *wire.Welcome) {
	s := c.server
	w.Nonce, w.Bridge, w.MaxFrame = s.Nonce, s.Bridge, c.hello.MaxFrame
	w.HeartbeatMS = uint64(s.Heartbeat.Milliseconds())
	if w.DeadlineMS == 0 {
		w.DeadlineMS = uint64(s.Deadline.Milliseconds())
	}
	c.reader.SetLimit(w.MaxFrame)
	c.max.Store(w.MaxFrame)
	c.log(slog.LevelInfo, "wire: connected", "model", c.hello.Model, "pid", c.hello.PID)
	c.mu.Lock()
	defer c.mu.Unlock()
	step, err := c.machine.Welcome(w)
	if err != nil {
		return // closed meanwhile; the reader is about to find out
	}
	c.socket.SetReadDeadline(time.Time{})
	c.apply(step)
}

// say closes the session with a reason. It does not block and does nothing on a closed one.
func (c *conn) say(code wire.ByeCode, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.apply(c.machine.Close(code, reason))
}

// depart ends the session if the stream ended first, and tells the dispatcher.
func (c *conn) depart(err error) {
	c.mu.Lock()
	c.apply(c.machine.EOF(c.streamEnd(err)))
	end := c.end
	c.mu.Unlock()
	if c.duty != nil {
		c.duty.leave(end.Err())
		c.log(levelOf(end), "wire: disconnected", "end", end.Error(), "unanswered", len(end.Leases))
	}
	if c.hello != nil {
		c.server.names.remove(c)
	}
	close(c.left)
	c.server.metrics.ended.WithLabelValues(endLabels(end)...).Inc()
}

func (c *conn) streamEnd(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, io.EOF):
		return "end of file"
	case isTimeout(err) && c.duty == nil:
		return "no HELLO in time"
	case isTimeout(err):
		return "the peer cannot be written to"
	}
	return err.Error()
}

func endLabels(e *session.End) []string {
	switch e.By {
	case session.ByBridge:
		return []string{"bridge", e.Code.String()}
	case session.ByWorker:
		return []string{"worker", e.Code.String()}
	}
	return []string{"nobody", "lost"}
}

func levelOf(e *session.End) slog.Level {
	if e.Err() == nil {
		return slog.LevelInfo
	}
	return slog.LevelWarn
}

// log tells of supervisors alone at the level asked for: of workers the dispatcher tells, and the other connections come and
// go with every command.
func (c *conn) log(level slog.Level, text string, attrs ...any) {
	if c.role != wire.RoleSupervisor {
		level = slog.LevelDebug
	}
	c.server.Log.Log(c.ctx, level, text, c.attrs(attrs...)...)
}

func (c *conn) attrs(more ...any) []any {
	return append([]any{"role", c.role.String(), "program", c.hello.Program, "command", c.hello.Command, "worker", c.hello.Worker}, more...)
}
