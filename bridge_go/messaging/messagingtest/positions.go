package messagingtest

import (
	"errors"
	"sync"
	"testing"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

func positions(t *testing.T, h Harness) {
	t.Run("resume behind the last commit", func(t *testing.T) {
		b := start(t, h)
		b.write(numbered(0, 20)...)
		s := b.source("g")
		got := b.read(s, 10)
		b.commit(s, got[4])
		b.must(s.Close(b.ctx))
		b.reopen()
		s = b.source("g")
		b.values(b.read(s, 15), numbers(5, 15)...) // 5 to 9 were read and not committed: they come again
		b.atEnd(s)
	})
	t.Run("are read again from the start without a commit", func(t *testing.T) {
		b := start(t, h)
		b.write(numbered(0, 5)...)
		s := b.source("g")
		b.read(s, 5)
		b.must(s.Close(b.ctx))
		b.reopen()
		b.values(b.read(b.source("g"), 5), numbers(0, 5)...)
	})
	t.Run("never move back", func(t *testing.T) {
		b := start(t, h)
		b.write(numbered(0, 10)...)
		s := b.source("g")
		got := b.read(s, 10)
		b.commit(s, got[7])
		b.commit(s, got[2])
		b.must(s.Close(b.ctx))
		b.reopen()
		b.values(b.read(b.source("g"), 2), "8", "9")
	})
	t.Run("at the end leave nothing to read", func(t *testing.T) {
		b := start(t, h)
		b.write(numbered(0, 3)...)
		s := b.source("g")
		b.commit(s, b.read(s, 3)[2])
		b.must(s.Close(b.ctx))
		b.reopen()
		s = b.source("g")
		b.atEnd(s)
		b.write(numbered(3, 1)...)
		if h.Can.Bounded { // what was added behind the end is for the next run
			b.must(s.Close(b.ctx))
			s = b.source("g")
		}
		b.values(b.read(s, 1), "3")
	})
	t.Run("of two groups are independent", func(t *testing.T) {
		b := start(t, h)
		b.write(numbered(0, 6)...)
		one, two := b.source("p/one"), b.source("p/two")
		b.commit(one, b.read(one, 6)[5])
		b.commit(two, b.read(two, 6)[1])
		b.must(one.Close(b.ctx))
		b.must(two.Close(b.ctx))
		b.reopen()
		b.atEnd(b.source("p/one"))
		b.values(b.read(b.source("p/two"), 4), numbers(2, 4)...)
	})
	t.Run("belong to one reader at a time", func(t *testing.T) {
		if h.Can.Shares {
			return // the system shares them out itself, which is the connector's own test
		}
		b := start(t, h)
		b.write(numbered(0, 1)...)
		s := b.source("g")
		if _, err := b.conn.Source(b.ctx, messaging.SourceConfig{Topic: b.topic, Group: "g"}); !errors.Is(err, messaging.ErrBusy) {
			t.Fatalf("a second reader of the group got %v", err)
		}
		b.must(s.Close(b.ctx))
		b.values(b.read(b.source("g"), 1), "0")
	})
	t.Run("are not kept without a group", func(t *testing.T) {
		b := start(t, h)
		b.write(numbered(0, 3)...)
		for range 2 {
			s := b.source("")
			b.commit(s, b.read(s, 3)[2])
			b.must(s.Close(b.ctx))
		}
	})
	t.Run("are committed while another goroutine reads", func(t *testing.T) { concurrently(t, h) })
}

func concurrently(t *testing.T, h Harness) {
	const n = 2000
	b := start(t, h)
	b.write(numbered(0, n)...)
	s := b.source("g")
	read := make(chan messaging.Record, n)
	var done sync.WaitGroup
	done.Go(func() {
		for r := range read {
			if err := s.Commit(b.ctx, []messaging.Position{position(r)}); err != nil {
				t.Error(err)
				return
			}
			s.Lag(b.ctx)
		}
	})
	for i := 0; i < n; {
		some, err := s.Read(b.ctx, messaging.Limit{Events: 64, Bytes: 1 << 20})
		b.must(err)
		i += len(some)
		read <- some[len(some)-1]
	}
	close(read)
	done.Wait()
	b.must(s.Close(b.ctx))
	b.reopen()
	b.atEnd(b.source("g"))
}
