package messagingtest

import (
	"context"
	"errors"
	"maps"
	"testing"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// keeping asks sinks that are PositionKeepers: databases that keep a group's positions beside its rows.
func keeping(t *testing.T, h Harness) {
	t.Run("is as declared", func(t *testing.T) {
		b := start(t, h)
		s := b.sink()
		defer s.Close(b.ctx)
		if _, can := s.(messaging.PositionKeeper); can != h.Can.Keeps {
			t.Fatalf("sinks are PositionKeepers: %v, declared %v", can, h.Can.Keeps)
		}
	})
	if !h.Can.Keeps {
		return
	}
	t.Run("stores rows and positions together, and knows them after a restart", func(t *testing.T) {
		b := start(t, h)
		k := b.keeper(b.conn)
		b.kept(k, nil)
		b.must(k.Transact(b.ctx, b.rows(0, 5), at(0, 4, 1, 10)))
		b.must(k.Transact(b.ctx, b.rows(5, 3), at(0, 7)))
		b.kept(k, map[int32]int64{0: 7, 1: 10})
		b.must(k.Close(b.ctx))
		b.reopen()
		b.stored(b.topic, numbers(0, 8)...)
		k = b.keeper(b.conn)
		b.kept(k, map[int32]int64{0: 7, 1: 10})
		if one, err := k.Positions(b.ctx, []int32{1, 9}); err != nil || !maps.Equal(one, map[int32]int64{1: 10}) {
			t.Fatalf("positions of 1 and 9 are %v, %v", one, err)
		}
		b.must(k.Transact(b.ctx, b.rows(8, 1), at(0, 8)))
		b.stored(b.topic, numbers(0, 9)...)
	})
	t.Run("settles events that have no output", func(t *testing.T) {
		b := start(t, h)
		k := b.keeper(b.conn)
		b.must(k.Transact(b.ctx, nil, at(2, 6)))
		b.kept(k, map[int32]int64{2: 6})
	})
	t.Run("that is refused for good stores nothing", func(t *testing.T) {
		b := start(t, h)
		k := b.keeper(b.conn)
		bad := []messaging.Write{{Topic: b.topic, Records: []messaging.Outgoing{{Record: value("1")}, h.refused(t), {Record: value("2")}}}}
		wants(t, k.Transact(b.ctx, bad, at(0, 3)))
		b.stored(b.topic)
		b.kept(k, nil)
		b.must(k.Transact(b.ctx, b.rows(0, 2), at(0, 3))) // and the next one is whole
		b.stored(b.topic, numbers(0, 2)...)
		b.kept(k, map[int32]int64{0: 3})
	})
	t.Run("belongs to the process that went on", func(t *testing.T) { keepsOvertaken(t, h) })
	t.Run("of two groups is apart", func(t *testing.T) {
		b := start(t, h)
		one := b.keeper(b.conn)
		b.must(one.Transact(b.ctx, b.rows(0, 1), at(0, 3)))
		s, err := b.conn.Sink(b.ctx, messaging.SinkConfig{Topic: b.topic, Group: "program/other"})
		b.must(err)
		defer s.Close(b.ctx)
		b.kept(s.(messaging.PositionKeeper), nil)
	})
}

// keepsOvertaken: two processes believe that they own the group. What the slower one writes behind the other's back is not
// stored, whole or in part, and partitions that the other has not touched may still be written by themselves.
func keepsOvertaken(t *testing.T, h Harness) {
	b := start(t, h)
	slow := b.keeper(b.conn)
	b.must(slow.Transact(b.ctx, b.rows(0, 1), at(0, 3, 1, 3)))
	other := h.Connect(t)
	defer other.Close(b.ctx)
	fast := b.keeper(other)
	b.kept(fast, map[int32]int64{0: 3, 1: 3})
	b.must(fast.Transact(b.ctx, b.rows(1, 1), at(0, 6)))
	err := slow.Transact(b.ctx, b.rows(100, 2), at(0, 5, 1, 5))
	var revoked *messaging.RevokedError
	switch {
	case errors.As(err, &revoked):
		if len(revoked.Partitions) != 1 || revoked.Partitions[0] != 0 {
			t.Fatalf("got %v, want partition 0 alone", err)
		}
		b.kept(fast, map[int32]int64{0: 6, 1: 3})
		b.stored(b.topic, "0", "1")
		b.must(slow.Transact(b.ctx, b.rows(2, 1), at(1, 5)))
		b.kept(fast, map[int32]int64{0: 6, 1: 5})
		b.stored(b.topic, "0", "1", "2")
	case errors.Is(err, messaging.ErrFenced):
		b.kept(fast, map[int32]int64{0: 6, 1: 3})
		b.stored(b.topic, "0", "1")
	default:
		t.Fatalf("got %v, want a RevokedError or ErrFenced", err)
	}
	if h.Can.Fences && !errors.Is(err, messaging.ErrFenced) {
		t.Fatalf("got %v, declared was ErrFenced", err)
	}
}

type keeper interface {
	messaging.Sink
	messaging.PositionKeeper
}

// keeper opens a sink of the group and asks it for its positions, as the caller does before a source is opened.
func (b *bench) keeper(conn messaging.Connection) keeper {
	b.Helper()
	s, err := conn.Sink(b.ctx, messaging.SinkConfig{Topic: b.topic, Group: group})
	b.must(err)
	b.Cleanup(func() { s.Close(context.Background()) })
	k, ok := s.(keeper)
	if !ok {
		b.Fatal("the sink is no PositionKeeper")
	}
	_, err = k.Positions(b.ctx, nil)
	b.must(err)
	return k
}

func (b *bench) kept(k messaging.PositionKeeper, want map[int32]int64) {
	b.Helper()
	got, err := k.Positions(b.ctx, nil)
	b.must(err)
	if !maps.Equal(got, want) {
		b.Fatalf("positions %v, want %v", got, want)
	}
}

func (b *bench) rows(from, n int) []messaging.Write {
	return []messaging.Write{{Topic: b.topic, Records: numbered(from, n)}}
}

// at makes positions of partition, offset, partition, offset, ...
func at(pairs ...int64) (all []messaging.Position) {
	for i := 0; i < len(pairs); i += 2 {
		all = append(all, messaging.Position{Partition: int32(pairs[i]), Offset: pairs[i+1]})
	}
	return all
}
