package embedded

import (
	"context"
	"fmt"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/messaging/jetstream"
)

// Seek implements messaging.Seeker.
func (c *connection) Seek(ctx context.Context, name, group string, to messaging.Target, dry bool) ([]messaging.Move, error) {
	t, err := c.topic(ctx, name)
	if err != nil {
		return nil, err
	}
	if group == "" {
		return nil, fmt.Errorf("embedded: %s: no group, no position: %w", name, messaging.ErrNotSupported)
	}
	if !dry {
		if !t.engine.readers.Join(t.key, group) {
			return nil, fmt.Errorf("embedded: %s, group %s: %w", name, group, messaging.ErrBusy)
		}
		defer t.engine.readers.Leave(t.key, group)
	}
	state, err := t.state(ctx)
	if err != nil {
		return nil, err
	}
	kept, found, err := t.position(group)
	if err != nil {
		return nil, err
	}
	move := messaging.Move{From: -1, End: int64(state.LastSeq) + 1}
	if found {
		move.From = kept.Offset + 1
	}
	first := min(int64(max(state.FirstSeq, 1)), move.End)
	move.To, err = t.engine.api.Find(ctx, jetstream.Log{Stream: t.stream, Subject: t.subject, First: first, End: move.End}, to)
	if err != nil {
		return nil, t.explain(err)
	}
	if !dry {
		err = t.move(group, kept, move)
	}
	return []messaging.Move{move}, err
}

// move writes a group's new position. One that lies before the old one begins another generation.
func (t *topic) move(group string, kept position, m messaging.Move) error {
	next := position{
		Topic: t.name, Group: group, Incarnation: t.book.Life, Offset: m.To - 1, Moved: true, Generation: kept.Generation,
	}
	if m.To < m.From {
		next.Generation++
	}
	return t.engine.positions.Save(t.key, group, next)
}

// Generation implements messaging.Seeker.
func (c *connection) Generation(ctx context.Context, name, group string) (int, error) {
	t, err := c.topic(ctx, name)
	if err != nil || group == "" {
		return 0, err
	}
	kept, _, err := t.position(group)
	return kept.Generation, err
}

// position is what is kept of a group, and whether it lies in this life of the topic.
func (t *topic) position(group string) (p position, found bool, err error) {
	found, err = t.engine.positions.Load(t.key, group, &p)
	return p, found && p.Incarnation == t.book.Life, err
}
