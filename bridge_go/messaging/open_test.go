package messaging

import (
	"context"
	"strings"
	"testing"
	"time"
)

func init() {
	for _, scheme := range []string{"file", "memory", "nats", "postgres"} {
		Register(scheme, func(_ context.Context, o Options) (Connection, error) { opened = o; return nil, nil })
	}
}

func init() { Rooted("postgres") }

var opened Options

func TestSplitTakesConnectionAndTopicApart(t *testing.T) {
	for _, c := range []struct{ url, connection, topic string }{
		{"file:///data/in.jsonl", "file:", "/data/in.jsonl"},
		{"file:out/in.jsonl", "file:", "out/in.jsonl"},
		{"memory:events?keep=0", "memory:?keep=0", "events"},
		{"nats://u:p@host:4222/a.b", "nats://u:p@host:4222", "a.b"},
		{"postgres://host/db/s.t?bounded=true", "postgres://host/db?bounded=true", "s.t"},
		{"postgres://host/db/query:select 1/2", "postgres://host/db", "query:select 1/2"},
	} {
		connection, topic, err := Split(c.url)
		if err != nil || connection != c.connection || topic != c.topic {
			t.Errorf("%s: %q %q %v", c.url, connection, topic, err)
		}
	}
	for _, bad := range []string{"", "in.jsonl", "/a/b", "kafka:x", "file:", "nats://host", "postgres://host/db", "postgres://host"} {
		if _, _, err := Split(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestSettingsOfTheURLGiveWayToTheOptions(t *testing.T) {
	_, err := Open(context.Background(), Options{URL: "memory:x?a=1&b=2", Settings: map[string]string{"b": "3"}})
	if err != nil || opened.URL != "memory:x" || opened.Settings["a"] != "1" || opened.Settings["b"] != "3" {
		t.Fatalf("%+v, %v", opened, err)
	}
}

func TestAnUnknownSchemeIsNamedWithTheKnownOnesAndNoPassword(t *testing.T) {
	_, err := Open(context.Background(), Options{Name: "events", URL: "kafak://me:hunter2@host?password=hunter3"})
	if err == nil || strings.Contains(err.Error(), "hunter") || !strings.Contains(err.Error(), "file, memory, nats, postgres") {
		t.Fatalf("got %v", err)
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "17": 17, "64KiB": 65536, "1 MiB": 1 << 20, "2GB": 2e9, "5B": 5} {
		if got, err := ParseBytes(text); err != nil || got != want {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
	for _, bad := range []string{"", "KiB", "-1", "1.5MiB", "9999999TiB", "1XB"} {
		if n, err := ParseBytes(bad); err == nil {
			t.Errorf("%q gave %d", bad, n)
		}
	}
}

func TestSettingsReportEveryProblem(t *testing.T) {
	o := Options{Name: "c", Settings: map[string]string{"wait": "-1s", "n": "x", "on": "perhaps", "speling": "1"}}
	s := o.Parse()
	s.Duration("wait", time.Second, 0)
	s.Int("n", 1, 0)
	s.Bool("on", false)
	s.Bytes("size", 10, 0)
	err := s.Done()
	for _, want := range []string{`wait is "-1s"`, `n is "x"`, `on is "perhaps"`, `no setting "speling". Known: n, on, size, wait`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %s", err, want)
		}
	}
}
