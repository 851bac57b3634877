package messagingtest

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

func writing(t *testing.T, h Harness) {
	t.Run("says what it promises", func(t *testing.T) {
		b := start(t, h)
		s := b.sink()
		defer s.Close(b.ctx)
		if got := s.Info(); got.Deduplicates != h.Can.Deduplicates || got.MaxBytes != h.Can.MaxBytes {
			t.Fatalf("info %+v, declared %+v", got, h.Can)
		}
	})
	t.Run("refuses what is too large and stores its neighbours", func(t *testing.T) {
		if h.Can.MaxBytes > 0 {
			tooLarge(t, h)
		}
	})
	t.Run("with the same id is stored once where that is promised", func(t *testing.T) {
		b := start(t, h)
		s := b.sink()
		first := []messaging.Outgoing{withID("0", "id-0"), withID("1", "id-1")}
		again := []messaging.Outgoing{withID("1", "id-1"), withID("2", "id-2"), withID("2", "id-2"), {Record: value("3")}, {Record: value("3")}}
		b.must(s.Write(b.ctx, first))
		b.must(s.Write(b.ctx, again))
		b.must(s.Close(b.ctx))
		b.reopen()
		b.write(withID("0", "id-0"), withID("4", "id-4"))
		want := []string{"0", "1", "2", "3", "3", "4"}
		if !h.Can.Deduplicates {
			want = []string{"0", "1", "1", "2", "2", "3", "3", "0", "4"}
		}
		src := b.source("g")
		b.values(b.read(src, len(want)), want...)
		b.atEnd(src)
	})
	t.Run("nothing is no error", func(t *testing.T) {
		b := start(t, h)
		b.write()
	})
	t.Run("goes on behind what an earlier writer wrote", func(t *testing.T) {
		b := start(t, h)
		b.write(numbered(0, 3)...)
		b.reopen()
		b.write(numbered(3, 3)...)
		b.values(b.read(b.source("g"), 6), numbers(0, 6)...)
	})
	t.Run("takes many records in one call", func(t *testing.T) {
		b := start(t, h)
		b.write(numbered(0, 5000)...)
		b.values(b.read(b.source("g"), 5000), numbers(0, 5000)...)
	})
	t.Run("ends with Close, which may be called twice", func(t *testing.T) {
		b := start(t, h)
		s := b.sink()
		b.must(s.Write(b.ctx, numbered(0, 1)))
		b.must(s.Close(b.ctx))
		b.must(s.Close(b.ctx))
	})
}

func tooLarge(t *testing.T, h Harness) {
	b := start(t, h)
	s := b.sink()
	huge := messaging.Outgoing{Record: messaging.Record{Value: []byte(`"` + strings.Repeat("x", h.Can.MaxBytes) + `"`)}}
	err := s.Write(b.ctx, []messaging.Outgoing{{Record: value("0")}, huge, {Record: value("1")}, huge, {Record: value("2")}})
	var refused *messaging.WriteError
	if !errors.As(err, &refused) {
		t.Fatalf("got %v, want a WriteError", err)
	}
	if f := refused.Failed; len(f) != 2 || f[0].Index != 1 || f[1].Index != 3 || !f[0].Permanent || !f[1].Permanent {
		t.Fatalf("got %+v", f)
	}
	if text := err.Error(); !strings.Contains(text, fmt.Sprint(h.Can.MaxBytes)) {
		t.Errorf("the error does not name the limit: %s", text)
	}
	b.must(s.Close(b.ctx))
	src := b.source("g")
	b.values(b.read(src, 3), "0", "1", "2")
	b.atEnd(src)
}

func value(v string) messaging.Record { return messaging.Record{Value: []byte(v)} }

func withID(v, id string) messaging.Outgoing { return messaging.Outgoing{Record: value(v), ID: id} }
