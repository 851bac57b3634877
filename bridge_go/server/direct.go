package server

import (
	"net"
	"syscall"

	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// maxDirect is about the longest frame that is written from where it was made. Above it, encoding alone would hold up
// whoever sends.
const maxDirect = 512 << 10

// maxParsed is the same of batches that become columns: 64 KiB of JSON take 0.1 ms to parse, which hold up a route and its other
// workers; longer ones are parsed by the writers, beside each other.
const maxParsed = 64 << 10

// A direct writes to a socket as much as the kernel takes without waiting. A frame that goes this way costs no hand-off to
// the writer's goroutine and no wake-up of another processor for it, which is more than writing costs.
type direct struct {
	raw  syscall.RawConn
	buf  []byte
	n    int
	once func(fd uintptr) bool
}

// newDirect is nil for a connection that is no socket.
func newDirect(c net.Conn) *direct {
	s, ok := c.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return nil
	}
	d := &direct{raw: raw}
	d.once = func(fd uintptr) bool {
		d.n, _ = syscall.Write(int(fd), d.buf)
		return true // whatever came of it: never wait
	}
	return d
}

// write returns what the socket has not taken. Why it has not, the writer finds out.
func (d *direct) write() (rest []byte) {
	d.n = 0
	if err := d.raw.Write(d.once); err != nil {
		return d.buf
	}
	return d.buf[max(d.n, 0):]
}

// sendNow writes messages at once if nothing else is to be written before them, and leaves what the socket does not take to the
// writer. It never waits: the writer, which alone may wait for the socket, has nothing to do. The lock is held.
func (c *conn) sendNow(list []wire.Message) bool {
	d := c.direct
	if d == nil || !c.outbox.idle() || c.outbox.last {
		return false
	}
	size := 0
	for _, m := range list {
		size += weight(m)
	}
	if size > maxDirect || c.composer != nil && size > maxParsed {
		return false
	}
	d.buf = d.buf[:0]
	for _, m := range list {
		var err error
		if d.buf, err = c.encode(d.buf, m); err != nil {
			return false // the writer comes to the same, and says so
		}
	}
	rest := d.write()
	c.out.add(len(list), len(d.buf)-len(rest))
	if len(rest) > 0 {
		c.outbox.keep(rest)
	}
	if cap(d.buf) > keepBuffer { // columns of events that leave most fields out
		d.buf = nil
	}
	return true
}
