package nats

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/messaging/messagingtest"
	"ds-runner.dev/ds-runner/bridge_go/providers"
)

var ctx = context.Background()

var topics atomic.Int64

// run keeps the names of this run apart from those of others on the same server.
var run = rand.Text()[:8]

func topicName() string { return fmt.Sprintf("Topic.%s.%d-ds", run, topics.Add(1)) }

func TestConformance(t *testing.T) {
	url, state := providers.URL(t, "nats"), t.TempDir()
	messagingtest.Run(t, messagingtest.Harness{
		Connect: func(t *testing.T) messaging.Connection { return open(t, url, state, "takeover=3s&timeout=20s") },
		Topic:   func(*testing.T) string { return topicName() },
		Partitioned: func(t *testing.T, n int) string {
			c := open(t, url, state, "partitions="+strconv.Itoa(n))
			name := topicName()
			if _, err := c.Incarnation(ctx, name); err != nil {
				t.Fatal(err)
			}
			return name
		},
		Can: messagingtest.Capabilities{
			Persistent: true, Keys: true, Headers: true, Nulls: true, Empty: true, Binary: true, Times: true, Deduplicates: true,
			Deletes: true, Seeks: true, Removes: true, Pauses: true, Shares: true, MaxBytes: 1<<20 - headerRoom,
		},
	})
}

func TestConformanceOfTopicsThatShareAStream(t *testing.T) {
	one := "one-" + run
	url, state := providers.URL(t, "nats"), t.TempDir()
	messagingtest.Run(t, messagingtest.Harness{
		Connect: func(t *testing.T) messaging.Connection {
			return open(t, url, state, "takeover=3s&timeout=20s&stream="+one)
		},
		Topic: func(*testing.T) string { return topicName() },
		Can: messagingtest.Capabilities{
			Persistent: true, Keys: true, Headers: true, Nulls: true, Empty: true, Binary: true, Times: true, Deduplicates: true,
			Deletes: true, Seeks: true, Removes: true, Pauses: true, Fates: true, MaxBytes: 1<<20 - headerRoom,
		},
	})
}

func connectTo(t testing.TB, s *natsServer, state, settings string) *connection {
	t.Helper()
	return open(t, s.url(), state, settings)
}

func open(t testing.TB, url, state, settings string) *connection {
	t.Helper()
	c, err := messaging.Open(ctx, messaging.Options{Name: "events", URL: url + "?" + settings, StateDir: state})
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
