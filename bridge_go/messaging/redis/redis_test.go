package redis

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/messaging/messagingtest"
	"ds-runner.dev/ds-runner/bridge_go/providers"
)

var topics atomic.Int64

// newTopic names a topic that nobody has used, on a server that may outlive the test.
func newTopic(t *testing.T) string {
	return fmt.Sprintf("t%d-%d-%s", time.Now().UnixNano(), topics.Add(1), t.Name())
}

func open(t *testing.T, url, state string, settings map[string]string) *connection {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	c, err := messaging.Open(ctx, messaging.Options{Name: "events", URL: url, StateDir: state, Settings: settings})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	return c.(*connection)
}

func harness(t *testing.T, settings map[string]string, can messagingtest.Capabilities) messagingtest.Harness {
	url, state := providers.URL(t, "redis"), t.TempDir()
	can.Persistent, can.Keys, can.Headers, can.Nulls, can.Empty, can.Binary, can.Times, can.Deletes, can.Seeks, can.Removes, can.Pauses = true, true, true, true, true, true, true, true, true, true, true
	return messagingtest.Harness{
		Connect: func(t *testing.T) messaging.Connection { return open(t, url, state, settings) },
		Topic:   newTopic,
		Can:     can,
	}
}

func TestRedis(t *testing.T) {
	messagingtest.Run(t, harness(t, map[string]string{"max_value": "2MiB"}, messagingtest.Capabilities{MaxBytes: 2 << 20}))
}

func TestRedisThatRemembersMessageIDs(t *testing.T) {
	messagingtest.Run(t, harness(t, map[string]string{"dedup": "10m"}, messagingtest.Capabilities{MaxBytes: 1 << 20, Deduplicates: true}))
}
