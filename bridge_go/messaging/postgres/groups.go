package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// A group is the position of one reader of one topic, as ds_groups has it.
type group struct {
	c                *connection
	name, topic      string
	incarnation      string
	generation       int
	position         int64   // settled up to here, none (-1 below any) before the first
	boundary         *string // of a slot
	boundaryAt       int64
	found, ofEarlier bool
}

// nowhere is before every position.
const nowhere = int64(-1 << 63)

// load reads a group's row. A position in an earlier life of the topic is none: its offsets are given out again.
func (g *group) load(ctx context.Context, q querier) error {
	g.position, g.boundaryAt = nowhere, nowhere
	var position, boundaryAt *int64
	var incarnation string
	err := q.QueryRow(ctx, `select incarnation, position, generation, boundary::text, boundary_position from `+
		g.c.ownTable("ds_groups")+` where grp = $1 and topic = $2`, g.name, g.topic).
		Scan(&incarnation, &position, &g.generation, &g.boundary, &boundaryAt)
	if err == pgx.ErrNoRows {
		return nil
	}
	if err != nil {
		return err
	}
	g.found = true
	if g.ofEarlier = incarnation != g.incarnation; g.ofEarlier {
		g.boundary = nil
		return nil
	}
	if position != nil {
		g.position = *position
	}
	if boundaryAt != nil {
		g.boundaryAt = *boundaryAt
	}
	return nil
}

// save moves a group forward. The generation is part of the condition: a reader that slept while its group was moved back would
// otherwise undo that.
func (g *group) save(ctx context.Context, q querier, position int64, boundary *string, boundaryAt *int64) error {
	table := g.c.ownTable("ds_groups")
	tag, err := q.Exec(ctx, `insert into `+table+` as kept (grp, topic, incarnation, position, boundary, boundary_position, generation)
		values ($1, $2, $3, $4, $5::text::pg_lsn, $6, $7)
		on conflict (grp, topic) do update set position = excluded.position, incarnation = excluded.incarnation,
		  boundary = coalesce(excluded.boundary, kept.boundary), boundary_position = coalesce(excluded.boundary_position, kept.boundary_position)
		where kept.generation = excluded.generation and
		  (kept.position is null or kept.position <= excluded.position or kept.incarnation <> excluded.incarnation)`,
		g.name, g.topic, g.incarnation, position, boundary, boundaryAt, g.generation)
	if err != nil || tag.RowsAffected() == 1 {
		return err
	}
	var generation int
	err = q.QueryRow(ctx, `select generation from `+table+` where grp = $1 and topic = $2`, g.name, g.topic).Scan(&generation)
	if err == nil && generation != g.generation {
		err = fmt.Errorf("postgres: %s: group %s was moved while this reader slept: %w", g.topic, g.name, messaging.ErrFenced)
	}
	return err // without one: a commit behind an earlier one changes nothing
}

// group opens the position of a reader and tells of a topic that was made again.
func (c *connection) group(ctx context.Context, name, topic, incarnation string, q querier) (*group, error) {
	g := &group{c: c, name: name, topic: topic, incarnation: incarnation, position: nowhere, boundaryAt: nowhere}
	if name == "" {
		return g, nil
	}
	if err := g.load(ctx, q); err != nil {
		return nil, err
	}
	if g.ofEarlier {
		c.remade.Inc()
		c.options.Log.Error("the topic was made again: its group begins at the oldest record", "topic", topic, "group", name)
	}
	return g, nil
}
