package listen

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// net/http tells a connection seven deadlines a request, and hardly any of them is ever met. Telling the runtime each costs more than
// looking at the request's header does. So a connection is told one that is early, and whoever waits and is woken too early finds out
// that it is not the time and waits on.

// soon is how early at most, after a deadline has been used up: nearly all that are asked for later are behind it then.
const soon = 4 * time.Second

// begun is before every deadline that is meant for the future.
var begun = time.Now()

// A deadline is that of one direction of a connection. It may be set while another goroutine waits.
type deadline struct {
	conn  net.Conn
	write bool

	mu    sync.Mutex
	want  time.Time // as its owner has it; zero for none
	armed time.Time // as the connection was told, not behind want; zero for none
	spent bool      // armed is long past: it was to interrupt somebody
	naps  nap
}

// set takes over a deadline. The connection is told of it only if it would be woken too late.
func (d *deadline) set(t time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.want = t
	if past(t) && d.naps.rouse() {
		return nil
	}
	if t.IsZero() || !d.armed.IsZero() && !t.Before(d.armed) {
		return nil
	}
	d.spent = past(t)
	return d.tell(t)
}

func past(t time.Time) bool { return !t.IsZero() && t.Before(begun) }

// ready is called before waiting.
func (d *deadline) ready() {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch interrupted := past(d.want); {
	case d.spent && !interrupted:
		d.again()
	case interrupted && !d.spent: // whoever napped was told, and not the connection
		d.spent = true
		d.tell(d.want)
	}
}

// early says that an error came before its time, and that it is to be waited on. Whoever is woken by a deadline in the past, set
// meanwhile, finds it here: want and what the connection was told change together.
func (d *deadline) early(err error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.want.IsZero() && !time.Now().Before(d.want) {
		return false
	}
	return d.again() == nil
}

// again arms the connection for what is wanted now, or sooner.
func (d *deadline) again() error {
	t := d.want
	if at := time.Now().Add(soon); t.After(at) && d.spent {
		t = at
	}
	d.spent = false
	return d.tell(t)
}

func (d *deadline) tell(t time.Time) error {
	d.armed = t
	if d.write {
		return d.conn.SetWriteDeadline(t)
	}
	return d.conn.SetReadDeadline(t)
}

// Read implements net.Conn.
func (c *slotted) Read(p []byte) (int, error) {
	if len(p) == 1 && !c.reads.sleep() {
		return 0, os.ErrDeadlineExceeded
	}
	c.reads.ready()
	for {
		n, err := c.Conn.Read(p)
		if err == nil || n > 0 || !c.reads.early(err) {
			return n, err
		}
	}
}

// Write implements net.Conn.
func (c *slotted) Write(p []byte) (n int, err error) {
	c.writes.ready()
	for {
		some, err := c.Conn.Write(p[n:])
		if n += some; err == nil || !c.writes.early(err) {
			return n, err
		}
	}
}

// SetReadDeadline implements net.Conn.
func (c *slotted) SetReadDeadline(t time.Time) error { return c.reads.set(t) }

// SetWriteDeadline implements net.Conn.
func (c *slotted) SetWriteDeadline(t time.Time) error { return c.writes.set(t) }

// SetDeadline implements net.Conn.
func (c *slotted) SetDeadline(t time.Time) error { return errors.Join(c.reads.set(t), c.writes.set(t)) }
