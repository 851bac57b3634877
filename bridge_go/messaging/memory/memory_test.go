package memory

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/messaging/messagingtest"
)

func TestConformance(t *testing.T) {
	var topics atomic.Int64
	messagingtest.Run(t, messagingtest.Harness{
		Connect: func(t *testing.T) messaging.Connection { return connectTo(t, "memory:?max_value=2MiB") },
		Topic:   func(*testing.T) string { return fmt.Sprint("topic-", topics.Add(1)) },
		Can: messagingtest.Capabilities{
			Keys: true, Headers: true, Nulls: true, Empty: true, Binary: true, Times: true,
			Deduplicates: true, Deletes: true, Seeks: true, MaxBytes: 2 << 20,
		},
	})
}

func connectTo(t testing.TB, url string) messaging.Connection {
	t.Helper()
	c, err := messaging.Open(context.Background(), messaging.Options{Name: "m", URL: url})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func out(n int) []messaging.Outgoing {
	all := make([]messaging.Outgoing, n)
	for i := range all {
		all[i].Value = make([]byte, 1000)
	}
	return all
}

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

func TestAFullTopicHoldsItsWriterUntilTheGroupCommits(t *testing.T) {
	ctx := context.Background()
	c := connectTo(t, "memory:?bytes=4KiB")
	src, _ := c.Source(ctx, messaging.SourceConfig{Topic: "a", Group: "g"})
	snk, _ := c.Sink(ctx, messaging.SinkConfig{Topic: "a"})
	if err := snk.Write(soon(t), out(100)); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a write over the bound: %v", err)
	}
	written := make(chan error, 1)
	go func() { written <- snk.Write(ctx, out(100)) }()
	for range 100 {
		got, err := src.Read(ctx, messaging.Limit{Events: 1, Bytes: 1})
		if err != nil {
			t.Fatal(err)
		}
		if err := src.Commit(ctx, []messaging.Position{{Offset: got[0].Offset}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-written; err != nil {
		t.Fatal(err)
	}
}

func TestWithoutAGroupTheOldestGo(t *testing.T) {
	ctx := context.Background()
	c := connectTo(t, "memory:?bytes=4KiB")
	snk, _ := c.Sink(ctx, messaging.SinkConfig{Topic: "a"})
	if err := snk.Write(ctx, out(100)); err != nil {
		t.Fatal(err)
	}
	got, after, err := c.Browse(ctx, "a", messaging.Oldest, 1000)
	if err != nil || after != "0:100" || len(got) != 3 || got[0].Offset != 97 {
		t.Fatalf("%d records, after %s, %v", len(got), after, err)
	}
}

func TestAReaderThatWasPassedIsToldOfIt(t *testing.T) {
	ctx := context.Background()
	for _, c := range []struct {
		url  string
		stop bool
	}{{"memory:?bytes=4KiB&full=drop", true}, {"memory:?bytes=4KiB&full=drop&gap=continue", false}} {
		conn := connectTo(t, c.url)
		src, _ := conn.Source(ctx, messaging.SourceConfig{Topic: "a", Group: "g"})
		snk, _ := conn.Sink(ctx, messaging.SinkConfig{Topic: "a"})
		if err := snk.Write(ctx, out(100)); err != nil {
			t.Fatal(err)
		}
		got, err := src.Read(ctx, messaging.Limit{Events: 10, Bytes: 1 << 20})
		var gap *messaging.GapError
		if c.stop && (!errors.As(err, &gap) || gap.Want != 0 || gap.Have != 97) {
			t.Fatalf("%s: got %v", c.url, err)
		}
		if !c.stop && (err != nil || got[0].Offset != 97) {
			t.Fatalf("%s: got %d records, %v", c.url, len(got), err)
		}
	}
}

func TestKeepNoneDropsWhatEveryGroupHasCommitted(t *testing.T) {
	ctx := context.Background()
	c := connectTo(t, "memory:?keep=0")
	src, _ := c.Source(ctx, messaging.SourceConfig{Topic: "a", Group: "g"})
	snk, _ := c.Sink(ctx, messaging.SinkConfig{Topic: "a"})
	if err := snk.Write(ctx, out(10)); err != nil {
		t.Fatal(err)
	}
	if err := src.Commit(ctx, []messaging.Position{{Offset: 6}}); err != nil {
		t.Fatal(err)
	}
	got, _, err := c.Browse(ctx, "a", messaging.Oldest, 100)
	if err != nil || len(got) != 3 || got[0].Offset != 7 {
		t.Fatalf("%d records, %v", len(got), err)
	}
}

func TestAPreloadIsReadSoOftenAndEnds(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	os.WriteFile(filepath.Join(dir, "a.jsonl"), []byte("{\"n\":0}\n\n{\"n\":1}\r\n{\"n\":2}"), 0o600)
	c, err := messaging.Open(ctx, messaging.Options{URL: "memory:?preload=a.jsonl&repeat=4", Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	src, _ := c.Source(ctx, messaging.SourceConfig{Topic: "a", Group: "g"})
	for next := int64(0); next < 12; {
		got, err := src.Read(ctx, messaging.Limit{Events: 5, Bytes: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range got {
			if want := fmt.Sprintf(`{"n":%d}`, next%3); r.Offset != next || string(r.Value) != want {
				t.Fatalf("offset %d: %d %s", next, r.Offset, r.Value)
			}
			next++
		}
	}
	if _, err := src.Read(ctx, messaging.Limit{Events: 5, Bytes: 1}); err != io.EOF {
		t.Fatalf("got %v", err)
	}
}

func TestDiscardCounts(t *testing.T) {
	ctx := context.Background()
	c := connectTo(t, "memory:?discard")
	snk, _ := c.Sink(ctx, messaging.SinkConfig{Topic: "a"})
	if err := snk.Write(ctx, out(10)); err != nil {
		t.Fatal(err)
	}
	if _, end, err := c.Browse(ctx, "a", messaging.Newest, 0); end != "0:10" || err != nil {
		t.Fatalf("%s, %v", end, err)
	}
}

func TestSettingsAreCheckedTogether(t *testing.T) {
	_, err := messaging.Open(context.Background(), messaging.Options{Name: "m", URL: "memory:?bytes=lots&full=never&byts=1"})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{`bytes is "lots"`, `full is "never", expected auto, wait, drop`, `no setting "byts"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %s", err, want)
		}
	}
}

func BenchmarkReadPreload(b *testing.B) {
	ctx := context.Background()
	file := filepath.Join(b.TempDir(), "a.jsonl")
	os.WriteFile(file, []byte(strings.Repeat(strings.Repeat("x", 300)+"\n", 1000)), 0o600)
	c := connectTo(b, fmt.Sprintf("memory:?preload=%s&repeat=%d", file, 1<<40))
	src, _ := c.Source(ctx, messaging.SourceConfig{Topic: "a", Group: "g"})
	b.ReportAllocs()
	for i := 0; i < b.N; {
		got, err := src.Read(ctx, messaging.Limit{Events: 256, Bytes: 1 << 20})
		if err != nil {
			b.Fatal(err)
		}
		src.Commit(ctx, []messaging.Position{{Offset: got[len(got)-1].Offset}})
		i += len(got)
	}
}

func BenchmarkWriteAndRead(b *testing.B) {
	ctx := context.Background()
	c := connectTo(b, "memory:?keep=0")
	src, _ := c.Source(ctx, messaging.SourceConfig{Topic: "a", Group: "g"})
	snk, _ := c.Sink(ctx, messaging.SinkConfig{Topic: "a"})
	batch := out(256)
	b.ReportAllocs()
	for i := 0; i < b.N; i += len(batch) {
		snk.Write(ctx, batch)
		got, _ := src.Read(ctx, messaging.Limit{Events: 256, Bytes: 1 << 20})
		src.Commit(ctx, []messaging.Position{{Offset: got[len(got)-1].Offset}})
	}
}
