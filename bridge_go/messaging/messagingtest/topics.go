package messagingtest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

func topics(t *testing.T, h Harness) {
	t.Run("are browsed without a group", func(t *testing.T) {
		b := start(t, h)
		b.write(numbered(0, 10)...)
		first, after, err := b.conn.Browse(b.ctx, b.topic, messaging.Oldest, 4)
		b.must(err)
		b.values(first, numbers(0, 4)...)
		second, after, err := b.conn.Browse(b.ctx, b.topic, after, 4)
		b.must(err)
		b.values(second, numbers(4, 4)...)
		third, after, err := b.conn.Browse(b.ctx, b.topic, after, 4)
		b.must(err)
		b.values(third, "8", "9")
		_, end, err := b.conn.Browse(b.ctx, b.topic, messaging.Newest, 4)
		b.must(err)
		if end != after {
			t.Fatalf("behind the newest is %q, behind the last read %q", end, after)
		}
		b.values(b.read(b.source("g"), 10), numbers(0, 10)...) // browsing moved nothing
	})
	t.Run("are browsed as they grow", func(t *testing.T) {
		b := start(t, h)
		b.write(numbered(0, 1)...)
		_, end, err := b.conn.Browse(b.ctx, b.topic, messaging.Newest, 1)
		b.must(err)
		var done sync.WaitGroup
		defer done.Wait()
		done.Go(func() { b.write(numbered(1, 1)...) })
		got, _, err := b.conn.Browse(b.ctx, b.topic, end, 10)
		b.must(err)
		b.values(got, "1")
	})
	t.Run("are browsed up to the context's deadline", func(t *testing.T) {
		b := start(t, h)
		b.write(numbered(0, 1)...)
		_, end, err := b.conn.Browse(b.ctx, b.topic, messaging.Newest, 1)
		b.must(err)
		ctx, cancel := context.WithTimeout(b.ctx, 1500*time.Millisecond) // in which a busy server has answered
		defer cancel()
		if got, after, err := b.conn.Browse(ctx, b.topic, end, 1); err != nil || len(got) != 0 || after != end {
			t.Fatalf("got %d records, after %q, %v; want none, %q, nil", len(got), after, err, end)
		}
	})
	t.Run("lose single records to Delete, as declared", func(t *testing.T) { deletes(t, h) })
	t.Run("have an incarnation that lasts", func(t *testing.T) {
		b := start(t, h)
		b.write(numbered(0, 1)...)
		first, err := b.conn.Incarnation(b.ctx, b.topic)
		b.must(err)
		for range 3 { // a store may have it right once and write it down wrong
			b.reopen()
			again, err := b.conn.Incarnation(b.ctx, b.topic)
			b.must(err)
			if first == "" || first != again {
				t.Fatalf("incarnation %q became %q", first, again)
			}
		}
	})
	t.Run("do not meet", func(t *testing.T) {
		one, two := start(t, h), start(t, h)
		if one.topic == two.topic {
			t.Fatal("the harness named one topic twice")
		}
		one.write(numbered(0, 2)...)
		two.write(numbered(5, 2)...)
		one.values(one.read(one.source("g"), 2), "0", "1")
		two.values(two.read(two.source("g"), 2), "5", "6")
	})
	t.Run("are closed with their connection, which may be closed twice", func(t *testing.T) {
		b := start(t, h)
		b.write(numbered(0, 1)...)
		b.must(b.conn.Close(b.ctx))
		b.must(b.conn.Close(b.ctx))
		if _, err := b.conn.Sink(b.ctx, messaging.SinkConfig{Topic: b.topic}); !errors.Is(err, messaging.ErrClosed) {
			t.Fatalf("a sink on a closed connection: %v", err)
		}
		if _, err := b.conn.Source(b.ctx, messaging.SourceConfig{Topic: b.topic}); !errors.Is(err, messaging.ErrClosed) {
			t.Fatalf("a source on a closed connection: %v", err)
		}
	})
}

func deletes(t *testing.T, h Harness) {
	b := start(t, h)
	b.write(numbered(0, 5)...)
	all, _, err := b.conn.Browse(b.ctx, b.topic, messaging.Oldest, 10)
	b.must(err)
	err = b.conn.Delete(b.ctx, b.topic, []messaging.Position{position(all[0]), position(all[3])})
	if !h.Can.Deletes {
		if !errors.Is(err, messaging.ErrNotSupported) {
			t.Fatalf("got %v, want ErrNotSupported", err)
		}
		return
	}
	b.must(err)
	b.must(b.conn.Delete(b.ctx, b.topic, []messaging.Position{position(all[3])})) // gone already: nothing to do
	left, _, err := b.conn.Browse(b.ctx, b.topic, messaging.Oldest, 10)
	b.must(err)
	b.values(left, "1", "2", "4")
	if h.Can.Hides {
		b.values(b.read(b.source("g"), 5), "0", "1", "2", "3", "4")
		return
	}
	b.values(b.read(b.source("g"), 3), "1", "2", "4")
}

func position(r messaging.Record) messaging.Position {
	return messaging.Position{Partition: r.Partition, Offset: r.Offset, Epoch: r.Epoch}
}
