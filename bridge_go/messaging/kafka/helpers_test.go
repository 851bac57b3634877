package kafka

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metrics "github.com/prometheus/client_model/go"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

const group = "program/command"

const patience = 3 * time.Minute

func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func numbered(from, n int) []messaging.Outgoing {
	all := make([]messaging.Outgoing, n)
	for i := range all {
		all[i].Record = messaging.Record{Key: fmt.Append(nil, "k", from+i), Value: fmt.Append(nil, from+i)}
	}
	return all
}

func publish(t testing.TB, c *connection, topic string, records ...messaging.Outgoing) {
	t.Helper()
	s, err := c.Sink(within(t), messaging.SinkConfig{Topic: topic})
	must(t, err)
	must(t, s.Write(within(t), records))
	must(t, s.Close(within(t)))
}

func sourceOf(t testing.TB, c *connection, sc messaging.SourceConfig) messaging.Source {
	t.Helper()
	s, err := c.Source(within(t), sc)
	must(t, err)
	t.Cleanup(func() { s.Close(context.Background()) })
	return s
}

// read wants n records.
func read(t testing.TB, s messaging.Source, n int) []messaging.Record {
	t.Helper()
	ctx := within(t)
	var all []messaging.Record
	for len(all) < n {
		some, err := s.Read(ctx, messaging.Limit{Events: n - len(all), Bytes: 1 << 30})
		if err != nil {
			t.Fatalf("after %d of %d records: %v", len(all), n, err)
		}
		all = append(all, some...)
	}
	return all
}

func positionsOf(records []messaging.Record) []messaging.Position {
	last := map[int32]messaging.Position{}
	for _, r := range records {
		last[r.Partition] = messaging.Position{Partition: r.Partition, Offset: r.Offset, Epoch: r.Epoch}
	}
	var all []messaging.Position
	for _, p := range last {
		all = append(all, p)
	}
	return all
}

// stored are the values of a topic that a reader of committed records sees.
func stored(t testing.TB, c *connection, topic string) (values []string) {
	t.Helper()
	_, end, err := c.Browse(within(t), topic, messaging.Newest, 0)
	must(t, err)
	for from := messaging.Oldest; !from.Reached(end); {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		records, after, err := c.Browse(ctx, topic, from, 1000)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) { // on a busy machine even the topic was not found in time
			continue
		}
		must(t, err)
		if len(records) == 0 {
			break // what is left of the topic is no record: marks of transactions
		}
		for _, r := range records {
			values = append(values, string(r.Value))
		}
		from = after
	}
	return values
}

func position(t testing.TB, c *connection, topic string) map[int32]int64 {
	t.Helper()
	found, err := c.topic(within(t), topic)
	must(t, err)
	have, _, err := c.committed(within(t), found, group)
	must(t, err)
	return have
}

func counted(c prometheus.Counter) float64 {
	var m metrics.Metric
	c.Write(&m)
	return m.GetCounter().GetValue()
}

// failing reads until it fails.
func failing(t testing.TB, s messaging.Source) error {
	t.Helper()
	ctx := within(t)
	for {
		if _, err := s.Read(ctx, messaging.Limit{Events: 100, Bytes: 1 << 20}); err != nil {
			if errors.Is(err, context.DeadlineExceeded) {
				t.Fatal("reading went on without an error")
			}
			return err
		}
	}
}
