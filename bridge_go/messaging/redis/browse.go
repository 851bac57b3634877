package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/redis/rueidis"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

func (c *connection) Browse(ctx context.Context, topic string, from messaging.Cursor, limit int) ([]messaging.Record, messaging.Cursor, error) {
	next, err := from.Single()
	if err != nil {
		return nil, from, err
	}
	if err := c.usable(topic); err != nil {
		return nil, from, err
	}
	if next < 0 {
		t, err := c.stream(ctx, topic)
		return nil, messaging.CursorAt(t.last + 1), tell("browse", topic, err)
	}
	for {
		found, err := c.page(ctx, topic, next, min(limit, pageEvents))
		if err == nil && len(found) == 0 {
			err = c.waitBehind(ctx, topic, max(next, 1)-1)
		}
		switch {
		case len(found) > 0:
			return found, messaging.CursorAt(found[len(found)-1].Offset + 1), nil
		case ctx.Err() != nil: // that nothing came in time is no error of Browse
			return nil, from, nil
		case err != nil:
			return nil, from, tell("browse", topic, err)
		}
	}
}

// page reads entries from an offset on, by number alone.
func (c *connection) page(ctx context.Context, topic string, next int64, limit int) ([]messaging.Record, error) {
	b := c.client.B()
	answer, err := c.client.Run(ctx, b.Arbitrary("XRANGE").Keys(topic).
		Args(idOf(next).String(), "+", "COUNT", strconv.Itoa(max(limit, 1))).ReadOnly()).ToMessage()
	if err != nil {
		return nil, err
	}
	found, err := entries(answer)
	if err != nil {
		return nil, err
	}
	records := make([]messaging.Record, len(found))
	for i := range found {
		records[i] = found[i].record(c.settings.valueField)
	}
	return records, nil
}

// waitBehind waits for an entry behind an offset, for a while.
func (c *connection) waitBehind(ctx context.Context, topic string, offset int64) error {
	ctx, cancel := context.WithTimeout(ctx, blockFor+c.client.Timeout)
	defer cancel()
	b := c.client.B()
	err := c.client.Do(ctx, b.Arbitrary("XREAD", "COUNT", "1", "BLOCK", strconv.FormatInt(blockFor.Milliseconds(), 10), "STREAMS").
		Keys(topic).Args(idOf(offset).String()).Blocking()).Error()
	if rueidis.IsRedisNil(err) || errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil {
		return nil
	}
	return err
}

// keptDeletions bounds the book of what was deleted on purpose: 40 bytes each. It is needed for as long as a group has not passed them.
const keptDeletions = 100_000

// Delete removes entries, and writes down that they were removed on purpose, first: a group that has not read them must not take them
// for lost.
func (c *connection) Delete(ctx context.Context, topic string, records []messaging.Position) error {
	if err := c.usable(topic); err != nil || len(records) == 0 {
		return err
	}
	b := c.client.B()
	noted := b.Arbitrary("ZADD").Keys(deletedKey(topic))
	removed := b.Arbitrary("XDEL").Keys(topic)
	for _, r := range records {
		noted = noted.Args("0", idOf(r.Offset).sortable())
		removed = removed.Args(idOf(r.Offset).String())
	}
	bounded := b.Zremrangebyrank().Key(deletedKey(topic)).Start(0).Stop(-keptDeletions - 1).Build()
	for _, answer := range c.client.RunAll(ctx, []rueidis.Completed{noted.Build(), removed.Build(), bounded}) {
		if err := answer.Error(); err != nil {
			return tell("delete from", topic, err)
		}
	}
	return nil
}

func tell(verb, topic string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("redis: %s %s: %w", verb, topic, err)
}
