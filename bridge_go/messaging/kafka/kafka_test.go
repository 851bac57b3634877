package kafka

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/messaging/messagingtest"
	"ds-runner.dev/ds-runner/bridge_go/providers"
)

func TestConformance(t *testing.T) {
	messagingtest.Run(t, messagingtest.Harness{
		Connect: func(t *testing.T) messaging.Connection {
			return connectTo(t, settingsOf{"max_value": "1000000", "revoke_wait": "100ms"})
		},
		Topic: fresh,
		Partitioned: func(t *testing.T, partitions int) string {
			return topicOf(t, connectTo(t, settingsOf{"partitions": strconv.Itoa(partitions)}))
		},
		Can: messagingtest.Capabilities{
			Persistent: true, Keys: true, Headers: true, Nulls: true, Empty: true, Binary: true,
			Deletes: true, Hides: true, Seeks: true, Removes: true, Pauses: true, Shares: true, Transacts: true, MaxBytes: 1_000_000,
		},
	})
}

type settingsOf map[string]string

var topics atomic.Int64

var run = fmt.Sprintf("%x", time.Now().UnixNano())

func fresh(*testing.T) string { return fmt.Sprintf("kafka-test-%s-%d", run, topics.Add(1)) }

func brokers(t testing.TB) string { return providers.URL(t, "kafka") }

// quick are settings with which a test does not wait for what a cluster is given time for.
var quick = settingsOf{"session_timeout": "6s", "fetch_wait": "50ms", "metadata_age": "300ms", "write_timeout": "10s", "transaction_timeout": "15s"}

func connectTo(t testing.TB, more settingsOf) *connection {
	t.Helper()
	all := maps.Clone(quick)
	maps.Copy(all, more)
	state := all["state"]
	delete(all, "state")
	c, err := messaging.Open(context.Background(), messaging.Options{Name: "events", URL: brokers(t), Settings: all, StateDir: state})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	return c.(*connection)
}

// topicOf makes a topic as the connection's settings say.
func topicOf(t *testing.T, c *connection) string {
	t.Helper()
	name := fresh(t)
	if _, err := c.topic(context.Background(), name); err != nil {
		t.Fatal(err)
	}
	return name
}
