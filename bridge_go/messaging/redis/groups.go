package redis

import (
	"context"
	"fmt"
	"strings"

	"github.com/redis/rueidis"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// A groupState is what the server says of a group.
type groupState struct {
	last    int64 // offset of the last entry that was given out
	lag     int64 // entries not given out, -1 when the server cannot tell
	pending int64
}

// group asks for one group; messaging.ErrNoTopic when there is none.
func (c *connection) group(ctx context.Context, topic, group string) (g groupState, err error) {
	b := c.client.B()
	list, err := c.client.Run(ctx, b.XinfoGroups().Key(topic).Build()).ToArray()
	if missing(err) {
		return g, fmt.Errorf("%s, group %s: %w", topic, group, messaging.ErrNoTopic)
	}
	if err != nil {
		return g, err
	}
	for i := range list {
		fields, err := list[i].AsMap()
		if err != nil {
			return g, err
		}
		if textOf(fields, "name") == group {
			return readGroup(fields)
		}
	}
	return g, fmt.Errorf("%s, group %s: %w", topic, group, messaging.ErrNoTopic)
}

func readGroup(fields map[string]rueidis.RedisMessage) (g groupState, err error) {
	last, err := parseID(textOf(fields, "last-delivered-id"))
	if err != nil {
		return g, err
	}
	last.seq = min(last.seq, maxSeq)
	if g.last, err = last.offset(); err != nil {
		return g, err
	}
	g.pending, g.lag = numberOf(fields, "pending"), numberOf(fields, "lag")
	return g, nil
}

// A streamState is what the server says of a stream.
type streamState struct {
	length, added int64
	first, last   int64 // offsets of the oldest entry, 0 when there is none, and of the last id given out
}

// stream asks for a stream; all is 0 when there is none.
func (c *connection) stream(ctx context.Context, topic string) (t streamState, err error) {
	b := c.client.B()
	fields, err := c.client.Run(ctx, b.XinfoStream().Key(topic).Build()).AsMap()
	if missing(err) {
		return t, nil
	}
	if err != nil {
		return t, err
	}
	t.length, t.added = numberOf(fields, "length"), numberOf(fields, "entries-added")
	if t.last, err = parseOffset(textOf(fields, "last-generated-id")); err != nil {
		return t, err
	}
	if m := fields["first-entry"]; !m.IsNil() {
		e, err := readEntry(&m)
		if err != nil {
			return t, err
		}
		t.first = e.offset
	}
	return t, nil
}

func textOf(fields map[string]rueidis.RedisMessage, name string) string {
	m := fields[name]
	text, _ := m.ToString()
	return text
}

// numberOf is -1 for what the server does not know.
func numberOf(fields map[string]rueidis.RedisMessage, name string) int64 {
	m, there := fields[name]
	if !there || m.IsNil() {
		return -1
	}
	n, err := m.AsInt64()
	if err != nil {
		return -1
	}
	return n
}

// missing says that the server knows no such stream.
func missing(err error) bool {
	refused, ok := rueidis.IsRedisErr(err)
	return ok && strings.Contains(refused.Error(), "no such key")
}
