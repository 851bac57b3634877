package front

import (
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"ds-runner.dev/ds-runner/bridge_go/listen"
)

// A server of grpc-go sends GOAWAY only when it stops listening. While a front that is to end still accepts, its connections are to be told
// so at once, as those of HTTP are by "Connection: close". So the front accepts by itself, at a door, and gives connections to the server
// behind it, which can be changed: the one before is stopped gracefully (GOAWAY; what it has is answered), and the next one takes
// who comes. Nothing is lost between them: a connection is the next one's until the former has begun with it.

// lastStay is how long a connection stays that comes while the front is to end, before it is sent away in its turn.
const lastStay = 500 * time.Millisecond

// halfMade is how long connections without a handshake may keep the others from being told.
const halfMade = time.Second

// A door gives connections to the server whose turn it is.
type door struct {
	listener *listen.Limited
	count    *atomic.Int64 // of connections that are open
	build    func(leaving bool) *grpc.Server

	mu      sync.Mutex
	now     *room
	rooms   map[*room]bool // that have not ended
	leaving bool           // the one whose turn it is is for clients that are to go elsewhere
	closed  bool
	serving sync.WaitGroup // of servers, and graceful stops that are under way
	ended   chan struct{}  // closed when nothing is accepted any more
}

func newDoor(l *listen.Limited, count *atomic.Int64, build func(leaving bool) *grpc.Server) *door {
	d := &door{listener: l, count: count, build: build, rooms: map[*room]bool{}, ended: make(chan struct{})}
	d.now = d.open(false)
	go d.accept()
	return d
}

// open begins another server.
func (d *door) open(leaving bool) *room {
	r := newRoom(d.listener.Addr(), d.build(leaving))
	d.rooms[r] = true
	d.serving.Go(r.serve)
	return r
}

func (d *door) accept() {
	defer close(d.ended)
	for {
		conn, err := d.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // for now: too many files are open
			wait(context.Background(), 10*time.Millisecond)
			continue
		}
		d.count.Add(1)
		conn = &counted{Conn: conn, count: d.count}
		for handed := false; !handed; {
			d.mu.Lock()
			r := d.now
			d.mu.Unlock()
			handed = r.take(conn)
		}
	}
}

// turn has another server take connections from now on, and the one before say GOAWAY to those that it has.
func (d *door) turn(leaving bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || d.leaving == leaving {
		return
	}
	before := d.now
	d.now, d.leaving = d.open(leaving), leaving
	d.serving.Go(func() {
		before.leave()
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.rooms, before)
	})
}

// stop ends all servers gracefully; nothing is accepted any more. It returns when they have ended.
func (d *door) stop() {
	<-d.ended
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.now.leave()
	d.serving.Wait()
}

// cut ends everything at once.
func (d *door) cut() {
	d.listener.Close()
	<-d.ended
	d.mu.Lock()
	d.closed = true
	rooms := slices.Collect(maps.Keys(d.rooms))
	d.mu.Unlock()
	for _, r := range rooms {
		r.server.Stop()
	}
	d.serving.Wait()
}

// drain stops listening, and then all servers, when every connection that was made has been given to one. When the context ends
// first, what is left is cut off. That connections may be lost which nobody had accepted is for the caller to tell.
func (d *door) drain(ctx context.Context, lastLook func()) (unseen, err error) {
	unseen = d.listener.CloseEmpty(ctx)
	<-d.ended
	lastLook()
	stopped := make(chan struct{})
	go func() {
		d.stop()
		close(stopped)
	}()
	select {
	case <-stopped:
		return unseen, nil
	case <-ctx.Done():
		d.cut()
		<-stopped
		return unseen, ctx.Err()
	}
}

// A room is the listener of one server.
type room struct {
	at     net.Addr
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
	server *grpc.Server
	served chan struct{} // closed when the server accepts no more

	mu     sync.Mutex
	begun  sync.Cond
	handed map[*newcomer]bool // connections without their handshake; whether the server has begun with it
}

func newRoom(at net.Addr, server *grpc.Server) *room {
	r := &room{at: at, server: server, conns: make(chan net.Conn), closed: make(chan struct{}), served: make(chan struct{}), handed: map[*newcomer]bool{}}
	r.begun.L = &r.mu
	return r
}

func (r *room) serve() {
	defer close(r.served)
	_ = r.server.Serve(r) // it ends with the room
}

// leave stops the server gracefully. One that is told to stop resets connections that it has accepted and not begun with, so
// that is waited for; and it waits for handshakes, which are given little time.
func (r *room) leave() {
	r.Close()
	<-r.served
	r.mu.Lock()
	for slices.Contains(slices.Collect(maps.Values(r.handed)), false) {
		r.begun.Wait()
	}
	for a := range r.handed {
		_ = a.Conn.SetDeadline(time.Now().Add(halfMade))
	}
	r.mu.Unlock()
	r.server.GracefulStop()
}

// take hands a connection over. It reports whether the server took it: one that has been closed does not.
func (r *room) take(conn net.Conn) bool {
	a := &newcomer{Conn: conn, room: r}
	r.mu.Lock()
	r.handed[a] = false
	r.mu.Unlock()
	select {
	case r.conns <- a:
		return true
	case <-r.closed:
		a.passed()
		return false
	}
}

// Accept implements net.Listener.
func (r *room) Accept() (net.Conn, error) {
	select {
	case conn := <-r.conns:
		return conn, nil
	case <-r.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (r *room) Close() error {
	r.once.Do(func() { close(r.closed) })
	return nil
}

// Addr implements net.Listener.
func (r *room) Addr() net.Addr { return r.at }

// A counted connection is one less when it is closed.
type counted struct {
	net.Conn
	count *atomic.Int64
	once  sync.Once
}

// Close implements net.Conn.
func (c *counted) Close() error {
	c.once.Do(func() { c.count.Add(-1) })
	return c.Conn.Close()
}

// A newcomer is a connection that tells its room how far its server is with it: the server gives it a deadline when it begins with the
// handshake, and takes that away afterwards.
type newcomer struct {
	net.Conn
	room *room
}

// SetDeadline implements net.Conn.
func (a *newcomer) SetDeadline(t time.Time) error {
	if t.IsZero() {
		a.passed()
		return a.Conn.SetDeadline(t)
	}
	r := a.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, is := r.handed[a]; is {
		r.handed[a] = true
		r.begun.Broadcast()
	}
	return a.Conn.SetDeadline(t)
}

// Close implements net.Conn.
func (a *newcomer) Close() error {
	a.passed()
	return a.Conn.Close()
}

func (a *newcomer) passed() {
	a.room.mu.Lock()
	defer a.room.mu.Unlock()
	delete(a.room.handed, a)
	a.room.begun.Broadcast()
}
