package messagingtest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// transactions asks sources that are Transactors.
func transactions(t *testing.T, h Harness) {
	t.Run("are as declared", func(t *testing.T) {
		b := start(t, h)
		b.write(numbered(0, 1)...)
		s, err := b.conn.Source(b.ctx, messaging.SourceConfig{Topic: b.topic, Group: group, Transactional: true})
		if !h.Can.Transacts {
			if !errors.Is(err, messaging.ErrNotSupported) {
				t.Fatalf("a transactional source: %v, want ErrNotSupported", err)
			}
			return
		}
		b.must(err)
		b.must(s.Close(b.ctx))
	})
	if !h.Can.Transacts {
		return
	}
	t.Run("store outputs and positions together", func(t *testing.T) {
		b := start(t, h)
		b.write(numbered(0, 10)...)
		s, out, more := b.transactor(), h.Topic(t), h.Topic(t)
		read := b.read(s, 10)
		b.must(s.Transact(b.ctx, []messaging.Write{{Topic: out, Records: numbered(100, 6)}, {Topic: more, Records: numbered(200, 2)}}, lasts(read[:6])))
		b.must(s.Transact(b.ctx, []messaging.Write{{Topic: out, Records: numbered(106, 2)}}, lasts(read[:8])))
		b.must(s.Close(b.ctx))
		b.reopen()
		b.stored(out, numbers(100, 8)...)
		b.stored(more, numbers(200, 2)...)
		b.values(b.read(b.source(group), 2), "8", "9")
	})
	t.Run("settle events that have no output", func(t *testing.T) {
		b := start(t, h)
		b.write(numbered(0, 4)...)
		s := b.transactor()
		b.must(s.Transact(b.ctx, nil, lasts(b.read(s, 4)[:3])))
		b.must(s.Close(b.ctx))
		b.reopen()
		b.values(b.read(b.source(group), 1), "3")
	})
	t.Run("that are refused for good store nothing", func(t *testing.T) {
		b := start(t, h)
		b.write(numbered(0, 4)...)
		s, out := b.transactor(), h.Topic(t)
		read := b.read(s, 4)
		wants(t, s.Transact(b.ctx, []messaging.Write{{Topic: out, Records: []messaging.Outgoing{{Record: value("1")}, h.refused(t), {Record: value("2")}}}}, lasts(read)))
		b.stored(out)
		b.must(s.Transact(b.ctx, []messaging.Write{{Topic: out, Records: numbered(7, 1)}}, lasts(read[:2])))
		b.must(s.Close(b.ctx))
		b.reopen()
		b.stored(out, "7")
		b.values(b.read(b.source(group), 2), "2", "3")
	})
	t.Run("of a partition that was taken away store nothing", func(t *testing.T) {
		if h.Can.Shares {
			transactsRevoked(t, h)
		}
	})
	t.Run("of a process that was replaced store nothing", func(t *testing.T) {
		if h.Can.Fences {
			transactsFenced(t, h)
		}
	})
}

func transactsRevoked(t *testing.T, h Harness) {
	p := startShared(t, h, true)
	out := h.Topic(t)
	err := p.first.(messaging.Transactor).Transact(p.ctx, []messaging.Write{{Topic: out, Records: numbered(0, 3)}}, lasts(p.takenRecords()))
	var revoked *messaging.RevokedError
	if !errors.As(err, &revoked) || len(revoked.Partitions) == 0 {
		t.Fatalf("got %v, want a RevokedError", err)
	}
	for _, partition := range revoked.Partitions {
		if !p.taken[partition] {
			t.Errorf("partition %d is named, taken away were %v", partition, p.taken)
		}
	}
	p.stored(out)
	p.must(p.first.Close(p.ctx))
	p.must(p.second.Close(p.ctx))
	p.reopen()
	p.inOrder(p.read(p.source(group), shared))
}

func transactsFenced(t *testing.T, h Harness) {
	b := start(t, h)
	b.write(numbered(0, 4)...)
	s, out := b.transactor(), h.Topic(t)
	read := b.read(s, 4)
	other := h.Connect(t)
	defer other.Close(b.ctx)
	next, err := other.Source(b.ctx, messaging.SourceConfig{Topic: b.topic, Group: group, Transactional: true})
	b.must(err)
	defer next.Close(b.ctx)
	if err := s.Transact(b.ctx, []messaging.Write{{Topic: out, Records: numbered(0, 1)}}, lasts(read)); !errors.Is(err, messaging.ErrFenced) {
		t.Fatalf("got %v, want ErrFenced", err)
	}
	b.stored(out)
	b.values(b.read(next, 4), numbers(0, 4)...)
}

type transactor interface {
	messaging.Source
	messaging.Transactor
}

func (b *bench) transactor() transactor {
	b.Helper()
	s, err := b.conn.Source(b.ctx, messaging.SourceConfig{Topic: b.topic, Group: group, Transactional: true})
	b.must(err)
	b.Cleanup(func() { s.Close(context.Background()) })
	t, ok := s.(transactor)
	if !ok {
		b.Fatal("a transactional source is no Transactor")
	}
	return t
}

// stored wants these values in a topic, seen from outside.
func (b *bench) stored(topic string, want ...string) {
	b.Helper()
	if got := b.valuesOf(topic); !slices.Equal(got, want) {
		b.Fatalf("stored in %s: %v, want %v", topic, got, want)
	}
}

func (b *bench) valuesOf(topic string) (all []string) {
	b.Helper()
	if b.h.Stored != nil {
		return b.h.Stored(b.T, topic)
	}
	_, end, err := b.conn.Browse(b.ctx, topic, messaging.Newest, 0)
	if errors.Is(err, messaging.ErrNoTopic) {
		return nil
	}
	b.must(err)
	for next := messaging.Oldest; !next.Reached(end); {
		ctx, cancel := context.WithTimeout(b.ctx, 3*time.Second)
		some, after, err := b.conn.Browse(ctx, topic, next, 100)
		cancel()
		b.must(err)
		if len(some) == 0 {
			break // what is left of the topic is no record: marks of transactions
		}
		for _, r := range some {
			all = append(all, string(r.Value))
		}
		next = after
	}
	return all
}

// wants a refusal for good.
func wants(t *testing.T, err error) {
	t.Helper()
	var refused *messaging.WriteError
	if !errors.As(err, &refused) || !slices.ContainsFunc(refused.Failed, func(f messaging.WriteFailure) bool { return f.Permanent }) {
		t.Fatalf("got %v, want a WriteError with a permanent failure", err)
	}
}

// refused is a record that no sink of the connector takes.
func (h Harness) refused(t *testing.T) messaging.Outgoing {
	t.Helper()
	if h.Refused != nil {
		return messaging.Outgoing{Record: messaging.Record{Value: h.Refused}}
	}
	if h.Can.MaxBytes == 0 {
		t.Fatal("the harness sets no limit (MaxBytes) and names no value that is refused (Refused)")
	}
	return messaging.Outgoing{Record: messaging.Record{Value: []byte(`"` + strings.Repeat("x", h.Can.MaxBytes) + `"`)}}
}
