package postgres

import (
	"fmt"
	"testing"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/messaging/messagingtest"
)

func harness(t *testing.T, settings ...string) messagingtest.Harness {
	r, topics := newRig(t), 0
	return messagingtest.Harness{
		Connect: func(t *testing.T) messaging.Connection {
			conn, err := r.open(append([]string{"create", "true", "max_value", "1MiB"}, settings...)...)
			if err != nil {
				t.Fatal(err)
			}
			return conn
		},
		Topic: func(*testing.T) string { topics++; return fmt.Sprintf("flights.Late %d", topics) },
		Can: messagingtest.Capabilities{
			Persistent: true, Keys: true, Headers: true, Nulls: true, Empty: true, Binary: true, Deduplicates: true, Deletes: true,
			Seeks: true, Removes: true, Keeps: true, Fences: true, MaxBytes: 1 << 20,
		},
	}
}

func TestARawTableIsATopic(t *testing.T) { messagingtest.Run(t, harness(t)) }

func TestABoundedRawTableIsATopicThatEnds(t *testing.T) {
	h := harness(t, "bounded", "true")
	h.Can.Bounded = true
	messagingtest.Run(t, h)
}
