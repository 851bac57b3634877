package memory

import (
	"context"
	"fmt"
	"slices"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// Seek implements messaging.Seeker. Times are those of the records, which need not ascend: the first one that is not older
// is read next.
func (c *connection) Seek(_ context.Context, name, group string, to messaging.Target, dry bool) ([]messaging.Move, error) {
	t, err := c.topic(name)
	if err != nil {
		return nil, err
	}
	if to.Kind == messaging.TargetTime && c.preload != nil {
		return nil, fmt.Errorf("memory: %s: preloaded lines have no times: %w", name, messaging.ErrNotSupported)
	}
	if to.Kind == messaging.TargetOffset && to.Partition > 0 {
		return nil, fmt.Errorf("memory: %s has no partition %d: it has one, number 0", name, to.Partition)
	}
	return t.seek(group, to, dry, c.preload)
}

// Generation implements messaging.Seeker.
func (c *connection) Generation(_ context.Context, name, group string) (int, error) {
	t, err := c.topic(name)
	if err != nil {
		return 0, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if g := t.groups[group]; g != nil {
		return g.generation, nil
	}
	return 0, nil
}

func (t *topic) seek(name string, to messaging.Target, dry bool, p *preload) ([]messaging.Move, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	g, move := t.groups[name], messaging.Move{From: -1, End: t.nextOff}
	if p != nil {
		move.End = p.total
	}
	if g != nil {
		move.From = g.committed + 1
	}
	move.To = t.target(to, move.End)
	if dry {
		return []messaging.Move{move}, nil
	}
	if g == nil {
		g = &group{}
		t.groups[name] = g
	}
	if g.open {
		return nil, fmt.Errorf("memory: %s, group %s: %w", t.name, name, messaging.ErrBusy)
	}
	if move.To < move.From {
		g.generation++
	}
	g.committed = move.To - 1
	t.announce()
	return []messaging.Move{move}, nil
}

// target is the offset that is read next.
func (t *topic) target(to messaging.Target, end int64) int64 {
	switch to.Kind {
	case messaging.TargetNewest:
		return end
	case messaging.TargetOffset:
		return min(max(to.Offset, t.dropped), end)
	case messaging.TargetTime:
		when := to.Time.UnixNano()
		if i := slices.IndexFunc(t.records, func(r messaging.Record) bool { return r.Time >= when }); i >= 0 {
			return t.records[i].Offset
		}
		return end
	}
	return t.dropped
}
