package kafka

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

func (c *connection) Browse(ctx context.Context, name string, from messaging.Cursor, limit int) ([]messaging.Record, messaging.Cursor, error) {
	t, err := c.topic(ctx, name)
	if err != nil {
		return nil, from, err
	}
	if from == messaging.Newest { // behind open transactions, too: the marks of one that is stored come a moment after its commit
		ends, err := c.highs(ctx, name)
		return nil, messaging.CursorOf(ends), c.explain("browse "+name, err)
	}
	next, err := from.Next()
	if err != nil {
		return nil, from, err
	}
	records, err := c.browse(ctx, t, next, limit)
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) { // nothing in time is no error
		err = nil
	}
	return records, messaging.CursorOf(next), c.explain("browse "+name, err)
}

const longestLook = 250 * time.Millisecond

// browse moves next behind what it returns and what is hidden before that.
func (c *connection) browse(ctx context.Context, t topic, next map[int32]int64, limit int) (records []messaging.Record, err error) {
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, longestLook) {
		open, ends, err := c.unread(ctx, t, next)
		if err != nil {
			return nil, err
		}
		if len(open) > 0 {
			if records, err = c.visible(ctx, t, next, open, ends, limit); err != nil || len(records) > 0 {
				return records, err
			}
		}
		if wait(ctx, pause); ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

// unread names the partitions that hold more, and brings next into what is kept.
func (c *connection) unread(ctx context.Context, t topic, next map[int32]int64) (open, ends map[int32]int64, err error) {
	starts, err := c.starts(ctx, t.name)
	if err != nil {
		return nil, nil, err
	}
	if ends, err = c.ends(ctx, t.name); err != nil {
		return nil, nil, err
	}
	open = map[int32]int64{}
	for n, start := range starts {
		next[n] = max(next[n], start)
		if next[n] < ends[n] {
			open[n] = next[n]
		}
	}
	return open, ends, nil
}

func (c *connection) visible(ctx context.Context, t topic, next, open, ends map[int32]int64, limit int) ([]messaging.Record, error) {
	m, err := c.marksOf(ctx, t, next)
	if err != nil {
		return nil, err
	}
	var records []messaging.Record
	err = c.scan(ctx, t.name, open, ends, func(r *kgo.Record) bool {
		next[r.Partition] = r.Offset + 1
		if r.Attrs.IsControl() || m.hides(r) {
			return true
		}
		records = append(records, messaging.Record{
			Key: r.Key, Value: r.Value, Headers: headersOf([]*kgo.Record{r}).of(r), Time: timeOf(r), Partition: r.Partition, Offset: r.Offset,
		})
		return len(records) < limit
	})
	if len(records) > 0 { // what was read before a deadline is worth having
		return records, nil
	}
	return nil, err
}

// reader makes a client that reads partitions without a group.
func (c *connection) reader(name string, next map[int32]int64) (*kgo.Client, error) {
	from := map[int32]kgo.Offset{}
	for n, offset := range next {
		from[n] = kgo.NewOffset().At(offset)
	}
	o := append([]kgo.Opt{}, c.base...)
	return kgo.NewClient(append(o,
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),
		kgo.FetchMaxBytes(int32(min(c.settings.fetchBytes, 1<<30))),
		kgo.FetchMaxPartitionBytes(int32(min(c.settings.fetchPartition, 1<<30))),
		kgo.MaxConcurrentFetches(1),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{name: from}),
	)...)
}
