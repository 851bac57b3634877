package messagingtest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

func reading(t *testing.T, h Harness) {
	t.Run("gives offsets that increase and values in order", func(t *testing.T) {
		b := start(t, h)
		b.write(numbered(0, 50)...)
		b.write(numbered(50, 50)...)
		got := b.read(b.source("g"), 100)
		b.values(got, numbers(0, 100)...)
		for i := 1; i < len(got); i++ {
			if got[i].Partition == got[i-1].Partition && got[i].Offset <= got[i-1].Offset {
				t.Fatalf("offset %d after %d", got[i].Offset, got[i-1].Offset)
			}
		}
	})
	t.Run("keeps to its limits", func(t *testing.T) { limits(t, h) })
	t.Run("ends as declared", func(t *testing.T) {
		b := start(t, h)
		b.write(numbered(0, 3)...)
		s := b.source("g")
		b.read(s, 3)
		b.atEnd(s)
		b.atEnd(s) // and again: a caller may ask twice
	})
	t.Run("sees what is written while it waits", func(t *testing.T) {
		if h.Can.Bounded {
			return // a bounded source does not wait: "ends as declared" asks for that
		}
		b := start(t, h)
		s := b.source("g")
		var done sync.WaitGroup
		defer done.Wait()
		done.Go(func() {
			time.Sleep(20 * time.Millisecond) // lets the reader begin to wait; correct without
			b.write(numbered(0, 1)...)
		})
		b.values(b.read(s, 1), "0")
	})
	t.Run("ends with its context", func(t *testing.T) {
		b := start(t, h)
		b.write(numbered(0, 1)...)
		s := b.source("g")
		ctx, cancel := context.WithCancel(b.ctx)
		cancel()
		if got, err := s.Read(ctx, messaging.Limit{Events: 1, Bytes: 1}); !errors.Is(err, context.Canceled) || got != nil {
			t.Fatalf("got %d records and %v", len(got), err)
		}
		b.values(b.read(s, 1), "0") // nothing was taken by the read that ended
	})
	t.Run("is ended by Close, which may be called twice", func(t *testing.T) {
		b := start(t, h)
		b.write(numbered(0, 1)...)
		s := b.source("g")
		b.read(s, 1)
		ended := make(chan error, 1)
		go func() {
			_, err := s.Read(b.ctx, messaging.Limit{Events: 1, Bytes: 1})
			ended <- err
		}()
		b.must(s.Close(b.ctx))
		b.must(s.Close(b.ctx))
		select {
		case err := <-ended:
			if err == nil {
				t.Fatal("Read returned records that nobody wrote")
			}
		case <-b.ctx.Done():
			t.Fatal("Read still waits")
		}
	})
	t.Run("tells its lag, or that it does not know", func(t *testing.T) {
		b := start(t, h)
		b.write(numbered(0, 10)...)
		s := b.source("g")
		b.read(s, 4)
		if lag := s.Lag(b.ctx); lag != 6 && lag != -1 {
			t.Fatalf("lag %d, want 6 or -1", lag)
		}
	})
}

func limits(t *testing.T, h Harness) {
	b := start(t, h)
	wide := messaging.Outgoing{Record: messaging.Record{Value: big(Capabilities{Big: 4096})}}
	b.write(wide, wide, wide, wide)
	s := b.source("g")
	read := func(l messaging.Limit) int {
		t.Helper()
		got, err := s.Read(b.ctx, l)
		b.must(err)
		if len(got) == 0 {
			t.Fatal("no records and no error")
		}
		return len(got)
	}
	if n := read(messaging.Limit{Events: 2, Bytes: 1 << 20}); n > 2 {
		t.Fatalf("%d records for a limit of 2", n)
	} else if n == 1 {
		read(messaging.Limit{Events: 1, Bytes: 1 << 20})
	}
	if n := read(messaging.Limit{Events: 10, Bytes: 100}); n != 1 {
		t.Fatalf("%d records for a limit of 100 bytes, want the one that must come", n)
	}
	if n := read(messaging.Limit{}); n != 1 {
		t.Fatalf("%d records for an empty limit", n)
	}
}
