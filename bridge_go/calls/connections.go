package calls

import (
	"context"
	"sync"

	"ds-runner.dev/ds-runner/bridge_go/server"
)

// connections know what each connection of the wire has left open.
type connections struct {
	mu   sync.Mutex
	open map[context.Context]*connection
}

// A connection is what one connection of the wire has left open, by number. Numbers are never used twice.
type connection struct {
	ctx context.Context

	mu      sync.Mutex
	closed  bool
	last    int64
	cursors map[int64]*cursor
	uploads map[int64]*upload
}

// of is the connection on which a call came. When that ends, so does all that it has left open.
func (c *connections) of(ctx context.Context) *connection {
	key := server.Connection(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if conn, ok := c.open[key]; ok {
		return conn
	}
	conn := &connection{ctx: key, cursors: map[int64]*cursor{}, uploads: map[int64]*upload{}}
	c.open[key] = conn
	context.AfterFunc(key, func() { c.end(key) })
	return conn
}

func (c *connections) end(key context.Context) {
	c.mu.Lock()
	conn := c.open[key]
	delete(c.open, key)
	c.mu.Unlock()
	if conn != nil {
		conn.close()
	}
}

func (c *connections) endAll() {
	c.mu.Lock()
	all := c.open
	c.open = map[context.Context]*connection{}
	c.mu.Unlock()
	for _, conn := range all {
		conn.close()
	}
}

// close ends what is open. What is added afterwards, by a call that was at work, is refused.
func (c *connection) close() {
	c.mu.Lock()
	c.closed = true
	cursors, uploads := c.cursors, c.uploads
	c.cursors, c.uploads = nil, nil
	c.mu.Unlock()
	for _, cursor := range cursors {
		cursor.close()
	}
	for _, u := range uploads {
		u.drop()
	}
}

// number gives the next number, unless as many are open as may be. It is called with the lock held.
func (c *connection) number(open, most int, what string) (int64, error) {
	switch {
	case c.closed:
		return 0, refusef("deadline", "the connection has ended")
	case open >= most:
		return 0, refusef("too_many", "%d %s are open on this connection, which is all there may be: read them to their end, or close them", open, what)
	}
	c.last++
	return c.last, nil
}

func unknown(what string, number int64) error {
	return refusef("unknown_"+what, "%s %d was read to its end, closed, or idle for too long; or it is another connection's or another batch's", what, number)
}
