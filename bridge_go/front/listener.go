package front

import (
	"context"
	"net"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// limit accepts no more connections while most are open; the others wait in the kernel's backlog.
func limit(l net.Listener, most int) *limited {
	return &limited{Listener: l, slots: make(chan struct{}, most), closed: make(chan struct{})}
}

type limited struct {
	net.Listener
	slots  chan struct{}
	closed chan struct{}
	once   sync.Once
}

func (l *limited) Accept() (net.Conn, error) {
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
	return &slotted{Conn: conn, free: func() { <-l.slots }}, nil
}

func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// handshake is how long connections that were half made are given to be whole.
const handshake = 100 * time.Millisecond

// closeEmpty ends listening after every connection that the kernel has made was accepted, or the context has ended. Closing
// alone resets those in the kernel's queue, with the requests that were sent on them.
func (l *limited) closeEmpty(ctx context.Context) error {
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
	wait(ctx, handshake)
	for waiting(raw) && ctx.Err() == nil {
		wait(ctx, time.Millisecond)
	}
	return err
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
	free func()
	once sync.Once
}

func (c *slotted) Close() error {
	err := c.Conn.Close()
	c.once.Do(c.free)
	return err
}
