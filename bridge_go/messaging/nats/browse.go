package nats

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/messaging/jetstream"
)

// browseAgain is how often a topic is looked at that had nothing new.
const browseAgain = 100 * time.Millisecond

func (c *connection) Browse(ctx context.Context, name string, from messaging.Cursor, limit int) ([]messaging.Record, messaging.Cursor, error) {
	t, err := c.topic(ctx, name)
	if err != nil {
		return nil, from, err
	}
	if from == messaging.Newest {
		next, err := t.ends(ctx)
		return nil, messaging.CursorOf(next), err
	}
	next, err := from.Next()
	if err != nil {
		return nil, from, err
	}
	for {
		found, err := t.browse(ctx, next, limit)
		if err != nil {
			return nil, from, ignoreDeadline(err)
		}
		if len(found) > 0 {
			return found, messaging.CursorOf(next), nil
		}
		select {
		case <-ctx.Done():
			return nil, from, nil
		case <-c.closed:
			return nil, from, messaging.ErrClosed
		case <-time.After(browseAgain):
		}
	}
}

// ignoreDeadline: that nothing came in time is no error of Browse.
func ignoreDeadline(err error) error {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func (t *topic) ends(ctx context.Context) (map[int32]int64, error) {
	_, end, err := t.state(ctx)
	next := map[int32]int64{}
	for p := range t.subjects {
		next[int32(p)] = end
	}
	return next, err
}

// browse reads what is there, partition by partition, and moves next. Where nothing is left of a partition, what follows in
// the stream is others'.
func (t *topic) browse(ctx context.Context, next map[int32]int64, limit int) (all []messaging.Record, err error) {
	_, end, err := t.state(ctx)
	if err != nil {
		return nil, err
	}
	for p := range t.subjects {
		f, err := t.fetcher(p)
		if err != nil {
			return nil, err
		}
		for len(all) < max(limit, 1) {
			found, err := f.Fetch(ctx, uint64(max(next[int32(p)], 1)), limit-len(all), jetstream.FetchBytes)
			if err != nil {
				f.Close()
				return nil, t.explain(err)
			}
			if len(found) == 0 {
				if !t.alone {
					next[int32(p)] = max(next[int32(p)], end)
				}
				break
			}
			for i := range found {
				found[i].Partition = int32(p)
			}
			next[int32(p)] = found[len(found)-1].Offset + 1
			all = append(all, found...)
		}
		f.Close()
	}
	return all, nil
}

func (c *connection) Delete(ctx context.Context, name string, records []messaging.Position) error {
	t, err := c.topic(ctx, name)
	if err != nil {
		return err
	}
	for _, r := range records {
		if r.Offset < 1 {
			continue
		}
		request := fmt.Appendf(nil, `{"seq":%d,"no_erase":true}`, r.Offset)
		err := c.api.Call(ctx, "STREAM.MSG.DELETE."+t.stream, request, nil)
		if err != nil && !jetstream.HasCode(err, jetstream.CodeNoMessage, jetstream.CodeNoSequence, jetstream.CodeDeleteRefused) {
			return t.explain(err)
		}
	}
	return nil
}
