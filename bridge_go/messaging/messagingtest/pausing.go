package messagingtest

import (
	"context"
	"errors"
	"testing"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

func pausing(t *testing.T, h Harness) {
	t.Run("is as declared", func(t *testing.T) {
		b := start(t, h)
		b.write(numbered(0, 1)...)
		if _, can := b.source("g").(messaging.Pauser); can != h.Can.Pauses {
			t.Fatalf("sources are Pausers: %v, declared %v", can, h.Can.Pauses)
		}
	})
	if !h.Can.Pauses {
		return
	}
	t.Run("holds a partition back and loses nothing of it", func(t *testing.T) {
		b := start(t, h)
		b.write(numbered(0, 50)...)
		s := b.source("g")
		first := b.read(s, 5)
		pauser := s.(messaging.Pauser)
		pauser.Pause([]int32{first[0].Partition})
		b.silent(s)
		b.write(numbered(50, 5)...)
		b.silent(s)
		pauser.Resume([]int32{first[0].Partition})
		b.values(append(first, b.read(s, 50)...), numbers(0, 55)...)
	})
	t.Run("holds while positions are committed", func(t *testing.T) {
		b := start(t, h)
		b.write(numbered(0, 10)...)
		s := b.source("g")
		first := b.read(s, 5)
		s.(messaging.Pauser).Pause([]int32{first[0].Partition})
		b.commitAll(s, first)
		b.must(s.Close(b.ctx))
		b.reopen()
		b.values(b.read(b.source("g"), 5), numbers(5, 5)...) // the next source is not paused
	})
	t.Run("lets the other partitions go on", func(t *testing.T) {
		if h.Partitioned != nil {
			pausesOne(t, h)
		}
	})
}

func pausesOne(t *testing.T, h Harness) {
	b := startPartitioned(t, h, 3)
	b.write(keyed(0, 90)...)
	held := b.browseTo(messaging.Oldest, b.end(3), 90)[0].Partition
	mine := len(byPartition(b.browseTo(messaging.Oldest, b.end(3), 90))[held])
	s := b.source("g")
	pauser := s.(messaging.Pauser)
	first := b.read(s, 1) // partitions are known to the source from its first record on
	pauser.Pause([]int32{held})
	var others []messaging.Record
	early := 0
	for _, r := range first {
		if r.Partition == held {
			early++
		}
	}
	others = append(others, b.read(s, 90-mine-(len(first)-early))...)
	for _, r := range others {
		if r.Partition == held {
			t.Fatalf("%d/%d came, which is paused", r.Partition, r.Offset)
		}
	}
	b.silent(s)
	pauser.Resume([]int32{held})
	b.inOrder(append(append(first, others...), b.read(s, mine-early)...))
}

// silent wants that nothing comes for a while.
func (b *bench) silent(s messaging.Source) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 150*time.Millisecond)
	defer cancel()
	if got, err := s.Read(ctx, messaging.Limit{Events: 10, Bytes: 1 << 20}); len(got) > 0 || !errors.Is(err, context.DeadlineExceeded) {
		b.Fatalf("got %d records and %v of a paused source", len(got), err)
	}
}
