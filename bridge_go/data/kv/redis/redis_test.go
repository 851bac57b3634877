package redis

import (
	"fmt"
	"testing"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/data/kv"
	"ds-runner.dev/ds-runner/bridge_go/data/kv/kvtest"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/providers"
)

// A test's keys begin with its name and the time at which the run began: the server may hold those of others.
func TestRedis(t *testing.T) {
	began := time.Now().UnixNano()
	kvtest.Run(t, kvtest.Harness{Persistent: true, Open: func(t *testing.T, settings map[string]string) kv.Store {
		t.Helper()
		given := map[string]string{}
		for name, value := range settings {
			given[name] = value
		}
		given["prefix"] = fmt.Sprintf("%d:%s:%s", began, t.Name(), settings["prefix"])
		s, err := kv.Open(t.Context(), messaging.Options{Name: "cache", URL: providers.URL(t, "redis"), Settings: given})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}})
}

func TestAConnectionMayServeStreamsAsWell(t *testing.T) {
	s, err := kv.Open(t.Context(), messaging.Options{Name: "both", URL: providers.URL(t, "redis"),
		Settings: map[string]string{"takeover": "10s", "dedup": "1m", "prefix": "p:"}})
	if err != nil {
		t.Fatal(err)
	}
	s.Close(t.Context())
}
