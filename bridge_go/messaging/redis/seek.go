package redis

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/rueidis"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// Seek moves a group. What is pending with it is forgotten, because the new place says what is read.
func (c *connection) Seek(ctx context.Context, topic, group string, to messaging.Target, dry bool) ([]messaging.Move, error) {
	if err := c.usable(topic); err != nil {
		return nil, err
	}
	move, err := c.plan(ctx, topic, group, to)
	if err != nil || dry {
		return []messaging.Move{move}, tell("seek in", topic, err)
	}
	if !c.readers.Join(topic, group) {
		return nil, tell("seek in", topic, messaging.ErrBusy)
	}
	defer c.readers.Leave(topic, group)
	if err := c.idle(ctx, topic, group); err != nil {
		return nil, tell("seek in", topic, err)
	}
	if move.From > move.To {
		err = c.client.Run(ctx, c.client.B().Hincrby().Key(bookKey(topic)).Field("generation:"+group).Increment(1).Build()).Error()
	}
	if err == nil {
		_, err = c.move(ctx, topic, group, move.To-1)
	}
	return []messaging.Move{move}, tell("seek in", topic, err)
}

// Generation is kept beside the stream.
func (c *connection) Generation(ctx context.Context, topic, group string) (int, error) {
	if err := c.usable(topic); err != nil {
		return 0, err
	}
	n, err := c.client.Run(ctx, c.client.B().Hget().Key(bookKey(topic)).Field("generation:"+group).Build()).AsInt64()
	if rueidis.IsRedisNil(err) {
		return 0, nil
	}
	return int(n), tell("generation of", topic, err)
}

func (c *connection) plan(ctx context.Context, topic, group string, to messaging.Target) (m messaging.Move, err error) {
	t, err := c.stream(ctx, topic)
	if err != nil {
		return m, err
	}
	if t.added <= 0 {
		return m, messaging.ErrNoTopic
	}
	m.End = t.last + 1
	if m.From, err = c.position(ctx, topic, group); err != nil {
		return m, err
	}
	oldest := t.first
	if oldest == 0 {
		oldest = m.End
	}
	switch to.Kind {
	case messaging.TargetOldest:
		m.To = oldest
	case messaging.TargetNewest:
		m.To = m.End
	case messaging.TargetOffset:
		if to.Partition > 0 {
			return m, fmt.Errorf("there is no partition %d: a stream has one, 0", to.Partition)
		}
		m.To = min(max(to.Offset, oldest), m.End)
	case messaging.TargetTime:
		m.To = min(max(timeOffset(to.Time.UnixMilli()), oldest), m.End)
	default:
		return m, fmt.Errorf("no target")
	}
	return m, nil
}

// timeOffset is the first offset of a millisecond. Times of entries are those of their ids, which is when they were written.
func timeOffset(ms int64) int64 { return min(max(ms, 0), maxMs) << seqBits }

// position is what a group reads next: the oldest entry that is pending, else what is new. -1 without a group.
func (c *connection) position(ctx context.Context, topic, group string) (int64, error) {
	g, err := c.group(ctx, topic, group)
	if errors.Is(err, messaging.ErrNoTopic) {
		return -1, nil
	}
	if err != nil {
		return 0, err
	}
	if g.pending > 0 {
		b := c.client.B()
		oldest, err := c.client.Run(ctx, b.Xpending().Key(topic).Group(group).Start("-").End("+").Count(1).Build()).ToArray()
		if err != nil {
			return 0, err
		}
		if len(oldest) > 0 {
			return pendingOffset(&oldest[0])
		}
	}
	return g.last + 1, nil
}

func pendingOffset(m *rueidis.RedisMessage) (int64, error) {
	parts, err := m.ToArray()
	if err != nil {
		return 0, err
	}
	if len(parts) == 0 {
		return 0, fmt.Errorf("a pending entry without an id")
	}
	name, err := parts[0].ToString()
	if err != nil {
		return 0, err
	}
	return parseOffset(name)
}

// idle asks that no reader of the group is alive: one that was heard of within the takeover time may be. Those that ended in
// order are gone from the list.
func (c *connection) idle(ctx context.Context, topic, group string) error {
	b := c.client.B()
	list, err := c.client.Run(ctx, b.XinfoConsumers().Key(topic).Group(group).Build()).ToArray()
	if _, refused := rueidis.IsRedisErr(err); refused {
		return nil // no such group
	}
	if err != nil {
		return err
	}
	for i := range list {
		fields, err := list[i].AsMap()
		if err != nil {
			return err
		}
		name := textOf(fields, "name")
		if name != c.me.name && name != handedBack && numberOf(fields, "idle") < c.settings.takeover.Milliseconds() {
			return fmt.Errorf("%w: reader %s of group %s was heard of less than %s ago. Stop it, and wait for so long if it was killed",
				messaging.ErrBusy, name, group, c.settings.takeover)
		}
	}
	return nil
}

// move sets a group behind an offset and forgets what is pending with it.
func (c *connection) move(ctx context.Context, topic, group string, behind int64) (forgotten int64, err error) {
	return c.script(ctx, moveGroup, []string{topic}, group, idOf(behind).String()).AsInt64()
}
