package postgres

import (
	"context"
	"fmt"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// Browse implements messaging.Connection, with the horizon of a source: a cursor that is kept loses no row that commits late.
func (c *connection) Browse(ctx context.Context, topic string, from messaging.Cursor, most int) ([]messaging.Record, messaging.Cursor, error) {
	next, err := from.Single()
	if err != nil {
		return nil, from, err
	}
	p, err := c.browsed(ctx, topic)
	if err != nil {
		return nil, from, err
	}
	if from == messaging.Newest {
		after, err := c.newest(ctx, p)
		return nil, after, err
	}
	r := newReader(p, next-1)
	if from == messaging.Oldest {
		r.last = nowhere
	}
	for wait := time.Millisecond; ; wait = min(2*wait, c.settings.poll) {
		records, err := c.some(ctx, r, most)
		if ctx.Err() != nil || c.isClosed() {
			return nil, from, nil
		}
		if n := len(records); err != nil || n > 0 {
			return records, messaging.CursorAt(r.last + 1), at(topic, "browse", err)
		}
		pause := time.NewTimer(wait)
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
		pause.Stop()
	}
}

// browsed is the plan of a topic that can be read by offset.
func (c *connection) browsed(ctx context.Context, topic string) (*plan, error) {
	t, err := c.table(ctx, topic)
	if err != nil {
		return nil, err
	}
	p, err := c.plan(t)
	if err != nil {
		return nil, fmt.Errorf("%w (%w)", err, messaging.ErrNotSupported)
	}
	ctx, cancel := c.limit(ctx)
	defer cancel()
	return p, c.promise(ctx, p, c.pool)
}

func (c *connection) some(ctx context.Context, r *reader, most int) ([]messaging.Record, error) {
	ctx, cancel := c.limit(ctx)
	defer cancel()
	return r.fetch(ctx, c.pool, most)
}

func (c *connection) newest(ctx context.Context, p *plan) (messaging.Cursor, error) {
	ctx, cancel := c.limit(ctx)
	defer cancel()
	newest := nowhere
	s := &source{reader: newReader(p, nowhere)}
	if err := s.aim(ctx, c.pool); err != nil {
		return messaging.Newest, at(p.t.topic, "browse", err)
	}
	if newest = *s.goal; newest == nowhere {
		return messaging.CursorAt(0), nil
	}
	return messaging.CursorAt(newest + 1), nil
}

// Delete implements messaging.Connection for tables in the raw layout. Rows of other tables are their owners'.
func (c *connection) Delete(ctx context.Context, topic string, records []messaging.Position) error {
	t, err := c.table(ctx, topic)
	if err != nil {
		return err
	}
	if !t.raw {
		return messaging.ErrNotSupported
	}
	ctx, cancel := c.limit(ctx)
	defer cancel()
	_, err = c.pool.Exec(ctx, "delete from "+t.sql()+" where id = any($1)", messaging.Offsets(records))
	if err != nil {
		return at(topic, "delete from", err)
	}
	return nil
}
