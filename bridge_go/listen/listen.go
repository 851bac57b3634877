// Package listen bounds how many connections a server has, and ends listening without resetting those that nobody has accepted yet.
package listen

import (
	"context"
	"net"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Limit accepts no more connections while most are open; the others wait in the kernel's backlog.
func Limit(l net.Listener, most int) *Limited {
	return &Limited{Listener: l, slots: make(chan struct{}, most), closed: make(chan struct{})}
}

// A Limited is a listener with a bound.
type Limited struct {
	net.Listener
	slots  chan struct{}
	closed chan struct{}
	once   sync.Once
}

// Accept implements net.Listener.
func (l *Limited) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return slot(conn, func() { <-l.slots }), nil
}

// Close implements net.Listener.
func (l *Limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// handshake is how long connections that were half made are given to be whole.
const handshake = 100 * time.Millisecond

// CloseEmpty ends listening after every connection that the kernel has made was accepted, or the context has ended. Closing
// alone resets those in the kernel's queue, with the requests that were sent on them.
func (l *Limited) CloseEmpty(ctx context.Context) error {
	defer l.Close()
	socket, ok := l.Listener.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	if controlErr := raw.Control(func(fd uintptr) { err = deafen(int(fd)) }); controlErr != nil {
		return controlErr
	}
	pause(ctx, handshake)
	for waiting(raw) && ctx.Err() == nil {
		pause(ctx, time.Millisecond)
	}
	return err
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// waiting says whether the kernel holds connections that were not accepted yet.
func waiting(raw syscall.RawConn) bool {
	n := 0
	_ = raw.Control(func(fd uintptr) {
		var err error = unix.EINTR
		for err == unix.EINTR {
			n, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		}
	})
	return n > 0
}

// A slotted connection gives its slot back once.
type slotted struct {
	net.Conn
	free          func()
	once          sync.Once
	reads, writes deadline
}

func slot(conn net.Conn, free func()) *slotted {
	return &slotted{Conn: conn, free: free, reads: deadline{conn: conn}, writes: deadline{conn: conn, write: true}}
}

// Close implements net.Conn.
func (c *slotted) Close() error {
	err := c.Conn.Close()
	c.once.Do(c.free)
	return err
}
