package nats

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/messaging/messagingtest"
)

var ctx = context.Background()

var topics atomic.Int64

func topicName() string { return fmt.Sprintf("Topic.%d-ds", topics.Add(1)) }

func TestConformance(t *testing.T) {
	s := startServer(t)
	state := t.TempDir()
	messagingtest.Run(t, messagingtest.Harness{
		Connect: func(t *testing.T) messaging.Connection { return connectTo(t, s, state, "takeover=1s") },
		Topic:   func(*testing.T) string { return topicName() },
		Partitioned: func(t *testing.T, n int) string {
			c := connectTo(t, s, state, "partitions="+strconv.Itoa(n))
			name := topicName()
			if _, err := c.Incarnation(ctx, name); err != nil {
				t.Fatal(err)
			}
			return name
		},
		Can: messagingtest.Capabilities{
			Persistent: true, Keys: true, Headers: true, Nulls: true, Empty: true, Binary: true, Times: true, Deduplicates: true,
			Deletes: true, Seeks: true, Pauses: true, Shares: true, MaxBytes: 1<<20 - headerRoom,
		},
	})
}

func TestConformanceOfTopicsThatShareAStream(t *testing.T) {
	s := startServer(t)
	state := t.TempDir()
	messagingtest.Run(t, messagingtest.Harness{
		Connect: func(t *testing.T) messaging.Connection { return connectTo(t, s, state, "takeover=1s&stream=one") },
		Topic:   func(*testing.T) string { return topicName() },
		Can: messagingtest.Capabilities{
			Persistent: true, Keys: true, Headers: true, Nulls: true, Empty: true, Binary: true, Times: true, Deduplicates: true,
			Deletes: true, Seeks: true, Pauses: true, Fates: true, MaxBytes: 1<<20 - headerRoom,
		},
	})
}

func connectTo(t testing.TB, s *natsServer, state, settings string) *connection {
	t.Helper()
	c, err := messaging.Open(ctx, messaging.Options{Name: "events", URL: s.url() + "?" + settings, StateDir: state})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(ctx) })
	return c.(*connection)
}

func stream(t testing.TB, c *connection, config natsjs.StreamConfig) natsjs.Stream {
	t.Helper()
	s, err := c.js.CreateStream(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
