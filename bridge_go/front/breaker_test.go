package front

import (
	"testing"
	"time"
)

func TestTheBreakerOpensAtTheFourthDeathInAMinuteAndClosesByItself(t *testing.T) {
	var b breaker
	at := time.Unix(1000, 0)
	second := func(n int) time.Time { return at.Add(time.Duration(n) * time.Second) }
	b.note(second(0), 1)
	b.note(second(30), 3)
	if b.until().After(second(30)) {
		t.Error("open after three")
	}
	b.note(second(59), 4)
	if b.until() != second(60) {
		t.Errorf("open until %v", b.until())
	}
	b.note(second(59), 4)
	if b.until() != second(60) {
		t.Errorf("the same deaths count once: %v", b.until())
	}
	b.note(second(80), 5)
	if b.until() != second(90) {
		t.Errorf("open until %v", b.until())
	}
	b.note(second(200), 1000)
	if b.until() != second(260) || len(b.deaths) != mostDeaths+1 {
		t.Errorf("open until %v, keeps %d", b.until(), len(b.deaths))
	}
}
