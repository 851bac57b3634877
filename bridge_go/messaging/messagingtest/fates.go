package messagingtest

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// fates asks connections that store the fate of an event as one.
func fates(t *testing.T, h Harness) {
	t.Run("are as declared", func(t *testing.T) {
		b := start(t, h)
		keeper, can := b.conn.(messaging.FateKeeper)
		if can {
			w, err := keeper.Fates(b.ctx, []string{b.topic, h.Topic(t)})
			if can = err == nil; can {
				b.must(w.Close(b.ctx))
			} else if !strings.Contains(err.Error(), "stream=") {
				t.Fatalf("the error does not say what to set: %v", err)
			}
		}
		if can != h.Can.Fates {
			t.Fatalf("fates are kept: %v, declared %v", can, h.Can.Fates)
		}
	})
	if !h.Can.Fates {
		return
	}
	t.Run("of any number of records on any topics are stored", func(t *testing.T) {
		f := startFates(t, h)
		f.put(f.fate("a", f.topic, "0"), f.fate("b"), f.several("c", f.topic, "1", f.dead, "d1", f.topic, "2"), f.fate("d", f.dead, "d2"))
		f.reopen()
		f.stored(f.topic, "0", "1", "2")
		f.stored(f.dead, "d1", "d2")
	})
	t.Run("are decided by the first attempt, whatever the second comes to", func(t *testing.T) {
		f := startFates(t, h)
		several := func(id, v string) messaging.FateWrite {
			return f.several(id, f.topic, v+"1", f.dead, v+"2", f.topic, v+"3")
		}
		f.put(f.fate("one", f.topic, "0"), f.fate("none"), several("more", "a"), f.fate("dead", f.dead, "x"))
		f.reopen()
		f.open()
		f.put(several("one", "b"), several("none", "b"), several("more", "b"), several("dead", "b"))
		f.put(f.fate("one", f.dead, "c"), f.fate("none", f.topic, "c"), f.fate("more", f.topic, "c"), f.fate("dead", f.topic, "c"))
		f.put(f.fate("one"), f.fate("none"), f.fate("more"), f.fate("dead"))
		f.stored(f.topic, "0", "a1", "a3")
		f.stored(f.dead, "a2", "x")
	})
	t.Run("that are repeated in one write are stored once", func(t *testing.T) {
		f := startFates(t, h)
		f.put(f.fate("a", f.topic, "0"), f.several("a", f.topic, "1", f.dead, "2"), f.several("b", f.topic, "3", f.dead, "4"), f.fate("b", f.topic, "5"))
		f.stored(f.topic, "0", "3")
		f.stored(f.dead, "4")
	})
	t.Run("with a record that is too large are not stored, and leave their id free", func(t *testing.T) {
		if h.Can.MaxBytes > 0 {
			tooLargeFate(t, h)
		}
	})
	t.Run("keep keys, headers and nulls", func(t *testing.T) {
		f := startFates(t, h)
		for i, c := range shapes(h.Can)[:7] {
			f.put(messaging.FateWrite{ID: fmt.Sprint(f.topic, "/", i), Records: []messaging.FateRecord{{Topic: f.topic, Record: c.record}, {Topic: f.topic, Record: c.record}}})
		}
		got := f.read(f.source("g"), 14)
		for i, c := range shapes(h.Can)[:7] {
			same(t, h.Can, got[2*i], c.record)
			same(t, h.Can, got[2*i+1], c.record)
		}
	})
	t.Run("many at a time keep their order", func(t *testing.T) {
		f := startFates(t, h)
		var all []messaging.FateWrite
		var want []string
		for i := range 600 {
			v := fmt.Sprint(i)
			switch want = append(want, v); i % 3 {
			case 0:
				all = append(all, f.several(v, f.topic, v, f.dead, "d"))
			default:
				all = append(all, f.fate(v, f.topic, v))
			}
		}
		f.put(all...)
		f.values(f.read(f.source("g"), 600), want...)
	})
	t.Run("of which the first are stored already keep their order", func(t *testing.T) {
		f := startFates(t, h)
		var all []messaging.FateWrite
		var want []string
		for i := range 1500 {
			v := fmt.Sprint(i)
			want = append(want, v)
			if all = append(all, f.fate(v, f.topic, v)); i%5 == 0 {
				all[i] = f.several(v, f.topic, v, f.dead, "d")
			}
		}
		f.put(all[:501]...)
		f.reopen()
		f.open()
		f.put(all...)
		f.values(f.read(f.source("g"), 1500), want...)
	})
	t.Run("of topics that were not opened are refused", func(t *testing.T) {
		f := startFates(t, h)
		var refused *messaging.WriteError
		err := f.w.WriteFates(f.ctx, []messaging.FateWrite{f.fate("a", f.topic, "0"), f.fate("b", h.Topic(t), "1")})
		if !errors.As(err, &refused) || len(refused.Failed) != 1 || refused.Failed[0].Index != 1 || !refused.Failed[0].Permanent {
			t.Fatalf("got %v", err)
		}
	})
}

func tooLargeFate(t *testing.T, h Harness) {
	f := startFates(t, h)
	huge := strings.Repeat("x", h.Can.MaxBytes+1)
	err := f.w.WriteFates(f.ctx, []messaging.FateWrite{
		f.fate("a", f.topic, "0"), f.several("b", f.topic, "1", f.dead, huge), f.fate("c", f.topic, huge), f.fate("d", f.topic, "2"),
	})
	var refused *messaging.WriteError
	if !errors.As(err, &refused) || len(refused.Failed) != 2 || refused.Failed[0].Index != 1 || refused.Failed[1].Index != 2 ||
		!refused.Failed[0].Permanent || !refused.Failed[1].Permanent {
		t.Fatalf("got %v", err)
	}
	f.put(f.fate("b", f.dead, "b"), f.fate("c", f.dead, "c"))
	f.stored(f.topic, "0", "2")
	f.stored(f.dead, "b", "c")
}

// A fateBench writes fates to two topics.
type fateBench struct {
	*bench
	w    messaging.FateWriter
	dead string
}

func startFates(t *testing.T, h Harness) *fateBench {
	t.Helper()
	f := &fateBench{bench: start(t, h), dead: h.Topic(t)}
	f.open()
	return f
}

func (f *fateBench) open() {
	f.Helper()
	w, err := f.conn.(messaging.FateKeeper).Fates(f.ctx, []string{f.topic, f.dead})
	f.must(err)
	f.w = w
}

// fate makes one of at most one record; several one of topics and values in turn.
func (f *fateBench) fate(id string, record ...string) messaging.FateWrite {
	return f.several(id, record...)
}

func (f *fateBench) several(id string, records ...string) messaging.FateWrite {
	w := messaging.FateWrite{ID: f.topic + "/" + id} // topics that share a store share its ids
	for i := 0; i < len(records); i += 2 {
		w.Records = append(w.Records, messaging.FateRecord{Topic: records[i], Record: value(records[i+1])})
	}
	return w
}

func (f *fateBench) put(fates ...messaging.FateWrite) {
	f.Helper()
	f.must(f.w.WriteFates(f.ctx, fates))
}

func (f *fateBench) stored(topic string, want ...string) {
	f.Helper()
	s, err := f.conn.Source(f.ctx, messaging.SourceConfig{Topic: topic})
	f.must(err)
	defer s.Close(f.ctx)
	f.values(f.read(s, len(want)), want...)
	f.atEnd(s)
}
