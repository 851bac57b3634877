package messagingtest_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	_ "ds-runner.dev/ds-runner/bridge_go/messaging/memory"
	"ds-runner.dev/ds-runner/bridge_go/messaging/messagingtest"
)

// What tests take for a system of several partitions passes the battery, which so is tried itself on one.
func TestTheFakeOfSeveralPartitionsPassesTheBattery(t *testing.T) {
	var topics atomic.Int64
	name := func() string { return fmt.Sprint("topic-", topics.Add(1)) }
	fanned := map[string]bool{}
	connect := func(t *testing.T) messaging.Connection {
		conn, err := messaging.Open(context.Background(), messaging.Options{Name: "m", URL: "memory:?max_value=2MiB"})
		if err != nil {
			t.Fatal(err)
		}
		return byTopic{messagingtest.Partitions(conn, 1), messagingtest.Partitions(conn, 3), fanned}
	}
	messagingtest.Run(t, messagingtest.Harness{
		Connect: connect,
		Topic:   func(*testing.T) string { return name() },
		Partitioned: func(_ *testing.T, n int) string {
			topic := name()
			fanned[topic] = n == 3
			return topic
		},
		Can: messagingtest.Capabilities{
			Keys: true, Headers: true, Nulls: true, Empty: true, Binary: true, Times: true, Deduplicates: true, Deletes: true,
			Seeks: true, Pauses: true, MaxBytes: 2 << 20,
		},
	})
}

// byTopic gives some topics three partitions and the others one.
type byTopic struct {
	messaging.Connection
	three  messaging.Connection
	fanned map[string]bool
}

func (c byTopic) of(topic string) messaging.Connection {
	if c.fanned[topic] {
		return c.three
	}
	return c.Connection
}

func (c byTopic) Source(ctx context.Context, sc messaging.SourceConfig) (messaging.Source, error) {
	return c.of(sc.Topic).Source(ctx, sc)
}

func (c byTopic) Sink(ctx context.Context, sc messaging.SinkConfig) (messaging.Sink, error) {
	return c.of(sc.Topic).Sink(ctx, sc)
}

func (c byTopic) Browse(ctx context.Context, topic string, from messaging.Cursor, limit int) ([]messaging.Record, messaging.Cursor, error) {
	return c.of(topic).Browse(ctx, topic, from, limit)
}

func (c byTopic) Delete(ctx context.Context, topic string, records []messaging.Position) error {
	return c.of(topic).Delete(ctx, topic, records)
}

func (c byTopic) Seek(ctx context.Context, topic, group string, to messaging.Target, dry bool) ([]messaging.Move, error) {
	return c.of(topic).(messaging.Seeker).Seek(ctx, topic, group, to, dry)
}

func (c byTopic) Generation(ctx context.Context, topic, group string) (int, error) {
	return c.of(topic).(messaging.Seeker).Generation(ctx, topic, group)
}
