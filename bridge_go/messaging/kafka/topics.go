package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// A topic as it was when it was asked for.
type topic struct {
	name, id   string
	raw        [16]byte // the id
	partitions []int32
}

// awaited is topic for what is opened: it waits for brokers that are away.
func (c *connection) awaited(ctx context.Context, name string) (t topic, err error) {
	err = c.patiently(ctx, "topic "+name, func(ctx context.Context) error {
		t, err = c.topic(ctx, name)
		return err
	})
	return t, err
}

// topic finds a topic and, if the settings allow it, makes a missing one.
func (c *connection) topic(ctx context.Context, name string) (topic, error) {
	if c.isClosed() {
		return topic{}, messaging.ErrClosed
	}
	ctx, cancel := context.WithTimeout(ctx, c.settings.connect+5*time.Second)
	defer cancel()
	if !c.reached.Load() || c.dials.failure() != nil { // say what is wrong now, rather than after a deadline
		if err := c.client.Ping(ctx); err != nil {
			return topic{}, c.explain("connect", err)
		}
		c.reached.Store(true)
	}
	t, err := c.find(ctx, name)
	if !errors.Is(err, kerr.UnknownTopicOrPartition) {
		return t, c.explain("topic "+name, err)
	}
	if !c.settings.create {
		return topic{}, fmt.Errorf("kafka: %w: %s. Make it, or allow it with create=true", messaging.ErrNoTopic, name)
	}
	if err := c.make(ctx, name); err != nil {
		return topic{}, c.explain("make topic "+name, err)
	}
	for { // a new topic is not known to all brokers at once
		if t, err = c.find(ctx, name); err == nil || ctx.Err() != nil {
			return t, c.explain("topic "+name, err)
		}
		wait(ctx, 20*time.Millisecond)
	}
}

func (c *connection) find(ctx context.Context, name string) (topic, error) {
	all, err := c.admin.ListTopics(ctx, name)
	if err != nil {
		return topic{}, err
	}
	d, found := all[name]
	if !found {
		return topic{}, kerr.UnknownTopicOrPartition
	}
	if d.Err != nil {
		return topic{}, d.Err
	}
	t := topic{name: name, id: d.ID.String(), raw: d.ID}
	for _, p := range d.Partitions.Sorted() {
		if p.Err != nil && !errors.Is(p.Err, kerr.ReplicaNotAvailable) {
			return topic{}, fmt.Errorf("partition %d: %w", p.Partition, p.Err)
		}
		t.partitions = append(t.partitions, p.Partition)
	}
	return t, nil
}

func (c *connection) make(ctx context.Context, name string) error {
	_, err := c.admin.CreateTopic(ctx, cmp.Or(int32(c.settings.partitions), -1), cmp.Or(int16(c.settings.replicas), -1), nil, name)
	if errors.Is(err, kerr.TopicAlreadyExists) { // somebody was faster
		return nil
	}
	return err
}

// A record stands in a batch and has a key and headers, for which this much is left free of the largest batch.
const roomForTheRest = 512

// fallbackBatch is the client's default, below the broker's of 1 MiB and 12 bytes.
const fallbackBatch = 1_000_012

// largest is the largest batch that a topic takes. Without the right to ask, the usual one is taken.
func (c *connection) largest(ctx context.Context, name string) int32 {
	all, err := c.admin.DescribeTopicConfigs(ctx, name)
	if err != nil {
		return fallbackBatch
	}
	found, err := all.On(name, nil)
	if err != nil || found.Err != nil {
		return fallbackBatch
	}
	for _, config := range found.Configs {
		if config.Key == "max.message.bytes" {
			if n, err := strconv.ParseInt(config.MaybeValue(), 10, 32); err == nil {
				return int32(min(n, 100<<20-1024)) // a request holds at most 100 MiB
			}
		}
	}
	return fallbackBatch
}

// offsetsOf takes one topic's offsets out of an answer.
func offsetsOf(name string, all kadm.ListedOffsets, err error) (map[int32]int64, error) {
	if err != nil {
		return nil, err
	}
	found := map[int32]int64{}
	for p, o := range all[name] {
		if o.Err != nil {
			return nil, fmt.Errorf("%s/%d: %w", name, p, o.Err)
		}
		found[p] = o.Offset
	}
	return found, nil
}

func (c *connection) starts(ctx context.Context, name string) (map[int32]int64, error) {
	all, err := c.admin.ListStartOffsets(ctx, name)
	return offsetsOf(name, all, err)
}

// ends are behind the newest record that may be read: not of a transaction that is open.
func (c *connection) ends(ctx context.Context, name string) (map[int32]int64, error) {
	all, err := c.admin.ListCommittedOffsets(ctx, name)
	return offsetsOf(name, all, err)
}

// highs are behind the newest record, whether it may be read already or not.
func (c *connection) highs(ctx context.Context, name string) (map[int32]int64, error) {
	all, err := c.admin.ListEndOffsets(ctx, name)
	return offsetsOf(name, all, err)
}

// wait is over early if the context is.
func wait(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
