package messagingtest

import (
	"errors"
	"math"
	"testing"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

const group = "program/command"

func seeking(t *testing.T, h Harness) {
	t.Run("is as declared", func(t *testing.T) {
		if _, can := start(t, h).conn.(messaging.Seeker); can != h.Can.Seeks {
			t.Fatalf("the connection is a Seeker: %v, declared %v", can, h.Can.Seeks)
		}
	})
	if !h.Can.Seeks {
		return
	}
	t.Run("to the oldest reads all again, and is another generation", func(t *testing.T) {
		b, read := settled(t, h, 10)
		before := b.generation()
		m := b.seek(messaging.Target{Kind: messaging.TargetOldest}, false)
		if m.From <= read[9].Offset || m.To > read[0].Offset || m.End <= read[9].Offset {
			t.Fatalf("moved %+v; the offsets are %d to %d", m, read[0].Offset, read[9].Offset)
		}
		b.values(b.read(b.source(group), 10), numbers(0, 10)...)
		if after := b.generation(); after != before+1 {
			t.Fatalf("generation %d became %d", before, after)
		}
	})
	t.Run("dry says the same and changes nothing", func(t *testing.T) {
		b, _ := settled(t, h, 10)
		before := b.generation()
		dry := b.seek(messaging.Target{Kind: messaging.TargetOldest}, true)
		b.reopen()
		if after := b.generation(); after != before {
			t.Fatalf("generation %d became %d", before, after)
		}
		s := b.source(group)
		b.atEnd(s)
		b.seek(messaging.Target{Kind: messaging.TargetOldest}, true) // it does not mind an open source
		b.must(s.Close(b.ctx))
		if real := b.seek(messaging.Target{Kind: messaging.TargetOldest}, false); real != dry {
			t.Fatalf("dry %+v, then %+v", dry, real)
		}
	})
	t.Run("to the newest skips what is there, in the same generation", func(t *testing.T) {
		b := start(t, h)
		b.write(numbered(0, 10)...)
		s := b.source(group)
		b.commit(s, b.read(s, 10)[4])
		b.must(s.Close(b.ctx))
		before := b.generation()
		if m := b.seek(messaging.Target{Kind: messaging.TargetNewest}, false); m.To != m.End || m.From >= m.To {
			t.Fatalf("moved %+v", m)
		}
		b.write(numbered(10, 1)...)
		b.values(b.read(b.source(group), 1), "10")
		if after := b.generation(); after != before {
			t.Fatalf("generation %d became %d", before, after)
		}
	})
	t.Run("to an offset reads that one next", func(t *testing.T) {
		b, read := settled(t, h, 10)
		for _, i := range []int{7, 2} {
			to := messaging.Target{Kind: messaging.TargetOffset, Partition: read[i].Partition, Offset: read[i].Offset}
			if m := b.seek(to, false); m.To != read[i].Offset {
				t.Fatalf("moved %+v, want to %d", m, read[i].Offset)
			}
			s := b.source(group)
			b.values(b.read(s, 10-i), numbers(i, 10-i)...)
			b.must(s.Close(b.ctx))
		}
	})
	t.Run("to an offset that is not there goes to the nearest", func(t *testing.T) {
		b, read := settled(t, h, 5)
		if m := b.seek(messaging.Target{Kind: messaging.TargetOffset, Partition: -1, Offset: math.MaxInt64}, false); m.To != m.End {
			t.Fatalf("moved %+v, want to the end", m)
		}
		b.write(numbered(5, 1)...)
		s := b.source(group)
		b.values(b.read(s, 1), "5")
		b.must(s.Close(b.ctx))
		if m := b.seek(messaging.Target{Kind: messaging.TargetOffset, Partition: -1}, false); m.To > read[0].Offset {
			t.Fatalf("moved %+v, want to the oldest", m)
		}
		b.values(b.read(b.source(group), 6), numbers(0, 6)...)
	})
	t.Run("to a time reads the first that is not older", func(t *testing.T) { seeksTimes(t, h) })
	t.Run("a group without a position begins there", func(t *testing.T) {
		b := start(t, h)
		b.write(numbered(0, 5)...)
		if m := b.seek(messaging.Target{Kind: messaging.TargetNewest}, false); m.From != -1 {
			t.Fatalf("moved %+v, want from -1", m)
		}
		b.write(numbered(5, 2)...)
		b.reopen()
		b.values(b.read(b.source(group), 2), "5", "6")
	})
	t.Run("is kept over a restart, and so is the generation", func(t *testing.T) {
		b, _ := settled(t, h, 6)
		b.seek(messaging.Target{Kind: messaging.TargetOldest}, false)
		b.reopen()
		s := b.source(group)
		b.drain(s, 6)
		b.must(s.Close(b.ctx))
		b.seek(messaging.Target{Kind: messaging.TargetOldest}, false)
		b.reopen()
		if n := b.generation(); n != 2 {
			t.Fatalf("moved back twice, generation %d", n)
		}
		s = b.source(group)
		b.commit(s, b.read(s, 6)[2]) // positions move on from where the seek put them
		b.must(s.Close(b.ctx))
		b.reopen()
		b.values(b.read(b.source(group), 3), numbers(3, 3)...)
	})
	t.Run("leaves other groups where they are", func(t *testing.T) {
		b, _ := settled(t, h, 4)
		other := b.source("program/other")
		b.drain(other, 4)
		b.must(other.Close(b.ctx))
		b.seek(messaging.Target{Kind: messaging.TargetOldest}, false)
		b.atEnd(b.source("program/other"))
		if n, err := b.conn.(messaging.Seeker).Generation(b.ctx, b.topic, "program/other"); n != 0 || err != nil {
			t.Fatalf("the other group's generation is %d, %v", n, err)
		}
	})
	t.Run("is refused while a source of the group is open", func(t *testing.T) {
		b, _ := settled(t, h, 4)
		s := b.source(group)
		_, err := b.conn.(messaging.Seeker).Seek(b.ctx, b.topic, group, messaging.Target{Kind: messaging.TargetOldest}, false)
		if !errors.Is(err, messaging.ErrBusy) {
			t.Fatalf("got %v, want ErrBusy", err)
		}
		b.atEnd(s)
		b.must(s.Close(b.ctx))
		if n := b.generation(); n != 0 {
			t.Fatalf("generation %d after a seek that was refused", n)
		}
		b.atEnd(b.source(group))
	})
	t.Run("moves each partition, or the one that is named", func(t *testing.T) {
		if h.Partitioned != nil {
			seeksPartitions(t, h)
		}
	})
}

func seeksTimes(t *testing.T, h Harness) {
	b := start(t, h)
	b.write(numbered(0, 5)...)
	time.Sleep(20 * time.Millisecond) // systems that give the time themselves give whole milliseconds
	b.write(numbered(5, 5)...)
	s := b.source(group)
	read := b.read(s, 10)
	b.commitAll(s, read)
	b.must(s.Close(b.ctx))
	to := messaging.Target{Kind: messaging.TargetTime, Time: time.Unix(0, read[5].Time)}
	if read[5].Time == 0 {
		if _, err := b.conn.(messaging.Seeker).Seek(b.ctx, b.topic, group, to, false); !errors.Is(err, messaging.ErrNotSupported) {
			t.Fatalf("records have no times, and a seek to one got %v, want ErrNotSupported", err)
		}
		return
	}
	if m := b.seek(to, false); m.To != read[5].Offset {
		t.Fatalf("moved %+v, want to %d", m, read[5].Offset)
	}
	s = b.source(group)
	b.values(b.read(s, 5), numbers(5, 5)...)
	b.must(s.Close(b.ctx))
	if m := b.seek(messaging.Target{Kind: messaging.TargetTime, Time: time.Now().Add(time.Hour)}, false); m.To != m.End {
		t.Fatalf("moved %+v, want to the end: nothing is newer", m)
	}
	b.seek(messaging.Target{Kind: messaging.TargetTime, Time: time.Unix(0, read[0].Time).Add(-time.Hour)}, false)
	b.values(b.read(b.source(group), 10), numbers(0, 10)...)
}

func seeksPartitions(t *testing.T, h Harness) {
	b := startPartitioned(t, h, 3)
	b.write(keyed(0, 90)...)
	s := b.source(group)
	read := b.read(s, 90)
	b.commitAll(s, read)
	b.must(s.Close(b.ctx))
	seeker := b.conn.(messaging.Seeker)
	one := read[0]
	moves, err := seeker.Seek(b.ctx, b.topic, group,
		messaging.Target{Kind: messaging.TargetOffset, Partition: one.Partition, Offset: one.Offset}, false)
	b.must(err)
	if len(moves) != 1 || moves[0].Partition != one.Partition || moves[0].To != one.Offset {
		t.Fatalf("moved %+v, want partition %d to %d alone", moves, one.Partition, one.Offset)
	}
	s = b.source(group)
	b.drain(s, len(byPartition(read)[one.Partition]))
	b.atEnd(s)
	b.must(s.Close(b.ctx))
	moves, err = seeker.Seek(b.ctx, b.topic, group, messaging.Target{Kind: messaging.TargetOldest}, false)
	b.must(err)
	if len(moves) != 3 || moves[0].Partition != 0 || moves[1].Partition != 1 || moves[2].Partition != 2 {
		t.Fatalf("moved %+v, want all partitions, ascending", moves)
	}
	b.inOrder(b.read(b.source(group), 90))
	if n := b.generation(); n < 2 { // some count each partition
		t.Fatalf("moved back twice, generation %d", n)
	}
}

// settled is a bench whose topic the group has read and committed to its end.
func settled(t *testing.T, h Harness, n int) (*bench, []messaging.Record) {
	t.Helper()
	b := start(t, h)
	b.write(numbered(0, n)...)
	s := b.source(group)
	read := b.read(s, n)
	b.commitAll(s, read)
	b.must(s.Close(b.ctx))
	return b, read
}

// seek moves the group of a topic with one partition.
func (b *bench) seek(to messaging.Target, dry bool) messaging.Move {
	b.Helper()
	moves, err := b.conn.(messaging.Seeker).Seek(b.ctx, b.topic, group, to, dry)
	b.must(err)
	if len(moves) != 1 {
		b.Fatalf("moved %+v, want one partition", moves)
	}
	return moves[0]
}

func (b *bench) generation() int {
	b.Helper()
	n, err := b.conn.(messaging.Seeker).Generation(b.ctx, b.topic, group)
	b.must(err)
	return n
}
