// Package server is the coat of sockets around sessions. It listens, admits who proves the token, and runs two goroutines a
// connection: a reader, which feeds a session.Machine and tells the dispatcher what came, and a writer, which empties the
// connection's outbox. The reader never waits for the writer: what it has to say goes into the outbox, and a peer that does
// not read until the outbox overflows is closed.
//
// One lock a connection (conn.mu) guards its machine and its outbox together, so that frames leave in the order in which
// the machine allowed them. It is held for no call to the outside, and no other lock is taken under it. The registry's lock
// is never held together with it.
//
// Whoever dispatches (dispatch.Pool) is called from reader goroutines without a lock held, and calls back from any goroutine.
package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// A Handler answers a call with one msgpack value. Its context ends with the call's deadline or its connection. An error
// that is a *wire.CallError goes to the caller as it is; any other as "internal".
type Handler func(ctx context.Context, hello *wire.Hello, c *wire.Call) ([]byte, error)

// Config is what a server needs. Listen and Token must be set; a nil Pool, Calls or Control refuses connections of that role.
type Config struct {
	Listen []string // tcp://host:port on loopback, or unix:///path
	Token  wire.Token
	UIDs   []uint32 // that may use a Unix socket; empty: whoever may open the file. Linux only

	Pool    func(program, command string) (dispatch.Pool, error)
	Calls   Handler
	Control Handler

	Bridge    string // name and version, for WELCOME
	Nonce     uint64 // of this life of the bridge
	Deadline  time.Duration
	Heartbeat time.Duration

	MaxFrame       uint64        // 16 MiB
	MaxConnections int           // 1024, those in their preface included
	PrefaceTimeout time.Duration // 5 s; again for HELLO
	QueueBytes     int           // 64 MiB a connection
	CallTimeout    time.Duration // 30 s, for calls that name no deadline

	Log      *slog.Logger
	Register prometheus.Registerer
}

func (c Config) withDefaults() Config {
	if c.MaxFrame == 0 {
		c.MaxFrame = wire.DefaultMaxFrame
	}
	c.MaxFrame = max(c.MaxFrame, wire.FirstMaxFrame)
	if c.MaxConnections == 0 {
		c.MaxConnections = 1024
	}
	if c.PrefaceTimeout == 0 {
		c.PrefaceTimeout = 5 * time.Second
	}
	if c.QueueBytes == 0 {
		c.QueueBytes = 64 << 20
	}
	if c.CallTimeout == 0 {
		c.CallTimeout = 30 * time.Second
	}
	if c.Heartbeat == 0 {
		c.Heartbeat = time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// A Server accepts connections from Listen until Shutdown.
type Server struct {
	Config
	metrics   *metrics
	listeners []net.Listener
	names     registry
	ctx       context.Context // ends when the server gives up on waiting
	abandon   context.CancelFunc
	running   sync.WaitGroup // accept loops and connections

	mu       sync.Mutex
	draining bool
	stopped  bool
	conns    map[*conn]struct{} // admitted
	pending  map[net.Conn]struct{}
}

// Listen opens the listeners and starts to accept. The caller ends it with Shutdown.
func Listen(cfg Config) (*Server, error) {
	if len(cfg.Token) < wire.LeastToken {
		return nil, errors.New("server: no token: the wire does not listen without one")
	}
	s := &Server{Config: cfg.withDefaults(), metrics: newMetrics(cfg.Register), conns: map[*conn]struct{}{}, pending: map[net.Conn]struct{}{}}
	s.registerSilence()
	s.ctx, s.abandon = context.WithCancel(context.Background())
	for _, address := range cfg.Listen {
		l, err := listen(address, s.UIDs)
		if err != nil {
			s.closeListeners()
			return nil, err
		}
		s.listeners = append(s.listeners, l)
	}
	for _, l := range s.listeners {
		s.Log.Info("wire listens", "address", address(l))
		s.running.Go(func() { s.accept(l) })
	}
	return s, nil
}

// Addresses are the listeners' addresses as Config.Listen spells them, ports resolved.
func (s *Server) Addresses() []string {
	var list []string
	for _, l := range s.listeners {
		list = append(list, address(l))
	}
	return list
}

// Drain refuses new connections, with a refusal that tells the client to come back. Those that are there go on.
func (s *Server) Drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining = true
}

// Shutdown says goodbye on every connection, waits until all goroutines have ended, and closes the listeners. When ctx ends
// first, sockets are closed without waiting for their peers, and Shutdown returns ctx's error after the goroutines are gone.
// Workers are drained by their dispatcher before this.
func (s *Server) Shutdown(ctx context.Context) error {
	s.Drain()
	for _, c := range s.stop() {
		c.say(wire.ByeDraining, "the bridge is going away")
	}
	done := make(chan struct{})
	go func() { s.running.Wait(); close(done) }()
	defer s.abandon()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		s.abandon()
		s.closeSockets()
		<-done
		return ctx.Err()
	}
}

// stop ends accepting, drops who has not proved the token yet, and gives the connections that are left. None is added after it.
func (s *Server) stop() []*conn {
	s.closeListeners()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	for nc := range s.pending {
		nc.Close()
	}
	list := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		list = append(list, c)
	}
	return list
}

func (s *Server) closeListeners() {
	for _, l := range s.listeners {
		l.Close()
	}
}

func (s *Server) closeSockets() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.socket.Close()
	}
}
