package calls

import (
	"context"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/data/sql"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// A cursor is a query that has more pages. Its goroutine reads one page, waits until somebody takes it, and reads the next: so one
// page is read ahead, and no more is in memory. It ends with its last page, an error, or its context, and closes the pages.
type cursor struct {
	con    string
	lease  *wire.Lease
	cancel context.CancelFunc
	ready  chan page
	idle   *time.Timer
	wait   time.Duration
}

// A page is what one read of a query gave.
type page struct {
	data []byte
	done bool
	err  error
}

// keep makes a cursor of pages whose first has been read.
func (h *Handler) keep(c *connection, con string, lease *wire.Lease, pages sql.Pages) (int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	number, err := c.number(len(c.cursors), h.c.MaxCursors, "cursors")
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancel(c.ctx)
	cur := &cursor{con: con, lease: lease, cancel: cancel, ready: make(chan page), wait: h.c.CursorIdle}
	cur.idle = time.AfterFunc(cur.wait, func() { c.closeCursor(number) })
	c.cursors[number] = cur
	go cur.read(ctx, pages)
	return number, nil
}

func (c *cursor) read(ctx context.Context, pages sql.Pages) {
	defer close(c.ready)
	defer pages.Close()
	for {
		data, done, err := pages.Next(ctx)
		select {
		case c.ready <- page{data, done, err}:
		case <-ctx.Done():
			return
		}
		if done || err != nil {
			return
		}
	}
}

// next waits for a page. A cursor whose page does not come in time cannot go on: its statement is cancelled.
func (c *cursor) next(ctx context.Context) (p page, open bool) {
	c.idle.Stop()
	defer c.idle.Reset(c.wait)
	select {
	case p, open = <-c.ready:
		return p, open
	case <-ctx.Done():
		return page{err: context.Cause(ctx)}, true
	}
}

func (c *cursor) close() {
	c.idle.Stop()
	c.cancel()
}

// cursor is an open cursor of this connection, if the request may see it.
func (c *connection) cursor(r *request, number int64) (*cursor, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cur := c.cursors[number]
	if cur == nil || !r.same(cur.lease) {
		return nil, unknown("cursor", number)
	}
	return cur, nil
}

func (c *connection) closeCursor(number int64) {
	c.mu.Lock()
	cur := c.cursors[number]
	delete(c.cursors, number)
	c.mu.Unlock()
	if cur != nil {
		cur.close()
	}
}

// closeStale closes the cursors of batches that are done with. It is asked at each call under a lease: a worker that has gone on to
// its next batch reads no more of the last one's.
func (c *connection) closeStale(r *request) {
	for number, lease := range c.leased() {
		if !r.leases.Alive(lease) {
			c.closeCursor(number)
		}
	}
}

// leased are the leases of cursors.
func (c *connection) leased() map[int64]wire.Lease {
	c.mu.Lock()
	defer c.mu.Unlock()
	found := map[int64]wire.Lease{}
	for number, cur := range c.cursors {
		if cur.lease != nil {
			found[number] = *cur.lease
		}
	}
	return found
}
