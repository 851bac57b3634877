package front

import (
	"testing"
	"time"
)

func TestTheBreakerOpensAtTheFourthDeathInAMinuteAndClosesByItself(t *testing.T) {
	var b breaker
	at := time.Unix(1000, 0)
	second := func(n int) time.Time { return at.Add(time.Duration(n) * time.Second) }
	b.note(second(0), 1, 0)
	b.note(second(30), 3, 0)
	if b.until().After(second(30)) {
		t.Error("open after three")
	}
	b.note(second(59), 4, 0)
	if b.until() != second(60) {
		t.Errorf("open until %v", b.until())
	}
	b.note(second(59), 4, 0)
	if b.until() != second(60) {
		t.Errorf("the same deaths count once: %v", b.until())
	}
	b.note(second(80), 5, 0)
	if b.until() != second(90) {
		t.Errorf("open until %v", b.until())
	}
	b.note(second(200), 1000, 0)
	if b.until() != second(260) || len(b.charged.at) != mostDeaths+1 {
		t.Errorf("open until %v, keeps %d", b.until(), len(b.charged.at))
	}
}

func TestTheBreakerOpensAtTheFourthDeathInARowWithoutAnAnswer(t *testing.T) {
	var b breaker
	at := time.Unix(1000, 0)
	for n, c := range []struct {
		second int
		barren uint64
		open   int
	}{{0, 3, 0}, {1, 0, 0}, {2, 1, 0}, {3, 3, 0}, {4, 4, 62}, {5, 0, 0}, {6, 2, 0}, {70, 4, 0}, {71, 5, 0}, {72, 6, 130}} {
		now := at.Add(time.Duration(c.second) * time.Second)
		b.note(now, 1, c.barren)
		open := 0
		if until := b.until(); until.After(now) {
			open = int(until.Sub(at).Seconds())
		}
		if open != c.open {
			t.Errorf("%d: open until second %d, want %d", n, open, c.open)
		}
	}
}
