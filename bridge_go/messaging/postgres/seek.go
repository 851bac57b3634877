package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// Seek implements messaging.Seeker for tables that are read by a column.
func (c *connection) Seek(ctx context.Context, topic, name string, to messaging.Target, dry bool) ([]messaging.Move, error) {
	p, err := c.browsed(ctx, topic)
	if err != nil {
		return nil, err
	}
	if err := c.ensureOwn(ctx); err != nil {
		return nil, err
	}
	key := p.t.schema + "." + p.t.name
	s := c.session(key, name) // its lock says whether somebody reads
	if dry {
		s = c.session(key, "")
	}
	defer s.close(ctx)
	var moved messaging.Move
	err = s.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		g, err := c.group(ctx, name, key, p.t.incarnation(), conn)
		if err != nil {
			return err
		}
		if moved, err = p.target(ctx, conn, to); err != nil {
			return err
		}
		if moved.From = -1; g.position != nowhere {
			moved.From = g.position + 1
		}
		if dry {
			return nil
		}
		return g.seek(ctx, conn, moved)
	})
	if err != nil {
		return nil, at(topic, "seek in", err)
	}
	return []messaging.Move{moved}, nil
}

// target finds the offset that is read next, and the end.
func (p *plan) target(ctx context.Context, q querier, to messaging.Target) (m messaging.Move, err error) {
	column := quote(p.column)
	if p.times {
		return m, fmt.Errorf("a column of times cannot be sought in: %w", messaging.ErrNotSupported)
	}
	var oldest int64
	if err = q.QueryRow(ctx, "select coalesce(min("+column+")::bigint, 1), coalesce(max("+column+")::bigint, 0) + 1 from "+p.t.sql()).
		Scan(&oldest, &m.End); err != nil {
		return m, err
	}
	oldest = min(oldest, m.End)
	switch to.Kind {
	case messaging.TargetOldest:
		m.To = oldest
	case messaging.TargetNewest:
		m.To = m.End
	case messaging.TargetOffset:
		m.To = min(max(to.Offset, oldest), m.End)
	case messaging.TargetTime:
		if !p.t.raw {
			return m, fmt.Errorf("a table of columns says nothing of when its rows came: %w", messaging.ErrNotSupported)
		}
		err = q.QueryRow(ctx, "select coalesce(min(id), $2) from "+p.t.sql()+" where time >= $1", to.Time.Truncate(time.Microsecond), m.End).Scan(&m.To)
	default:
		err = fmt.Errorf("no such target: %d", to.Kind)
	}
	return m, err
}

// seek moves a group. Moving back raises the generation.
func (g *group) seek(ctx context.Context, q querier, m messaging.Move) error {
	if m.From >= 0 && m.To < m.From {
		g.generation++
	}
	_, err := q.Exec(ctx, `insert into `+g.c.ownTable("ds_groups")+` (grp, topic, incarnation, position, generation) values ($1, $2, $3, $4, $5)
		on conflict (grp, topic) do update set incarnation = excluded.incarnation, position = excluded.position, generation = excluded.generation`,
		g.name, g.topic, g.incarnation, m.To-1, g.generation)
	return err
}

// Generation implements messaging.Seeker.
func (c *connection) Generation(ctx context.Context, topic, name string) (int, error) {
	t, err := c.table(ctx, topic)
	if err != nil {
		return 0, err
	}
	if err := c.ensureOwn(ctx); err != nil {
		return 0, err
	}
	ctx, cancel := c.limit(ctx)
	defer cancel()
	var generation int
	err = c.pool.QueryRow(ctx, "select coalesce(max(generation), 0) from "+c.ownTable("ds_groups")+" where grp = $1 and topic = $2",
		name, t.schema+"."+t.name).Scan(&generation)
	return generation, err
}
