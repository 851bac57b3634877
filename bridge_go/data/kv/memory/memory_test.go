package memory

import (
	"strings"
	"testing"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/data/kv"
	"ds-runner.dev/ds-runner/bridge_go/data/kv/kvtest"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

func open(t *testing.T, settings map[string]string) kv.Store {
	t.Helper()
	s, err := kv.Open(t.Context(), messaging.Options{Name: "cache", URL: "memory:" + t.Name(), Settings: settings})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestMemory(t *testing.T) { kvtest.Run(t, kvtest.Harness{Open: open, Persistent: true}) }

func TestItHoldsNoMoreThanItIsAllowed(t *testing.T) {
	s := open(t, map[string]string{"max_keys": "2"})
	two := []kv.Entry{{Key: "a", TTL: time.Millisecond}, {Key: "b"}}
	if err := s.Put(t.Context(), two); err != nil {
		t.Fatal(err)
	}
	time.Sleep(5 * time.Millisecond)
	if err := s.Put(t.Context(), []kv.Entry{{Key: "c"}}); err != nil { // in the place of a, which has expired
		t.Fatal(err)
	}
	err := s.Put(t.Context(), []kv.Entry{{Key: "d"}})
	if err == nil || !strings.Contains(err.Error(), "max_keys") {
		t.Fatalf("got %v", err)
	}
}
