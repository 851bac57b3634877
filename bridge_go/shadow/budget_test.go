package shadow

import (
	"context"
	"math"
	"sync/atomic"
	"testing"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

func TestABudgetLeavesRoomForWhatItsSharePaysFor(t *testing.T) {
	var command, own atomic.Int64
	b := budget{0.1, &command, &own}
	for _, c := range []struct {
		command, own time.Duration
		answered     uint64
		waiting      int
		room         int
	}{
		{0, 0, 0, 0, trial}, {0, 0, 0, trial, 0}, // nobody knows its pace
		{0, time.Second, 100, 0, 0}, // the advance is used up
		{10 * time.Second, time.Second, 100, 0, 100},
		{10 * time.Second, time.Second, 100, 60, 40},
		{10 * time.Second, time.Second, 100, 200, 0},
		{10 * time.Second, 3 * time.Second, 100, 0, 0},
	} {
		command.Store(int64(c.command))
		own.Store(int64(c.own))
		if room := b.room(c.answered, c.waiting); room != c.room {
			t.Errorf("%+v: room for %d", c, room)
		}
	}
	if (&budget{}).room(1, 1) != math.MaxInt {
		t.Error("no share, and yet a bound")
	}
}

// SERVING 18: within a tenth of the command's work, however costly the shadow's model is beside the command's.
func TestAShadowTakesATenthOfTheCommandsWorkAndTheRestIsDroppedAndCounted(t *testing.T) {
	for _, cost := range []struct{ command, shadow time.Duration }{{time.Millisecond, 100 * time.Microsecond}, {time.Millisecond, time.Millisecond}, {time.Millisecond, 20 * time.Millisecond}} {
		var command, own atomic.Int64
		q := newQueue(messaging.Limit{Events: 8192, Bytes: 1 << 30})
		q.budget = budget{0.1, &command, &own}
		compared := 0
		for range 2000 { // rounds of 64 requests; the shadow answers at once
			command.Add(64 * int64(cost.command))
			q.offer(fates(64, 100))
			for {
				records, _ := q.next(messaging.Limit{Events: 64, Bytes: 1 << 20})
				if len(records) == 0 {
					break
				}
				own.Add(int64(len(records)) * int64(cost.shadow))
				for i := range records {
					q.answered(&records[i])
				}
				compared += len(records)
			}
		}
		took, most := time.Duration(own.Load()), time.Duration(command.Load()/10)
		first := trial * cost.shadow
		if took > most+advance+first {
			t.Errorf("%+v: %v of %v", cost, took, time.Duration(command.Load()))
		}
		if took < most*9/10 {
			t.Errorf("%+v: only %v of the %v that it may take", cost, took, most)
		}
		_, dropped := q.figures()
		if spared := q.spared; compared+int(spared) != 128_000 || dropped != 0 {
			t.Errorf("%+v: compared %d, spared %d, dropped %d", cost, compared, spared, dropped)
		}
		if err := q.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}
}
