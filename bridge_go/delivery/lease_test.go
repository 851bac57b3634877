package delivery

import (
	"fmt"
	"testing"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// DELIVERY 8: a lease is (nonce, batch, epoch).
func TestAResultOfAnUnknownLeaseIsCountedAndDropped(t *testing.T) {
	p := stage(t, Config{})
	w := p.hire("w", 10)
	p.offer(2)
	lease := p.leases[w][0].Lease
	for reason, stale := range map[string]wire.Lease{
		"other_bridge": {Nonce: 6, Batch: lease.Batch, Epoch: lease.Epoch},
		"ended":        {Nonce: 7, Batch: lease.Batch + 1, Epoch: lease.Epoch},
		"epoch":        {Nonce: 7, Batch: lease.Batch, Epoch: lease.Epoch + 1},
	} {
		if err := p.Result(p.now, w, &wire.Result{Lease: stale, Count: 2}, 2); err != nil {
			t.Fatal(err)
		}
		p.note()
		p.want(reason, p.Stats().Dropped[reason], 1)
	}
	p.want("fates", p.fates, "[]")
	p.answer(w, nil)
	p.want("fates", p.fates, "[0/0 scored 0/1 scored]")
	if err := p.Result(p.now, w, &wire.Result{Lease: lease, Count: 2}, 2); err != nil { // a second time
		t.Fatal(err)
	}
	p.want("dropped", p.Stats().Dropped["ended"], 2)
}

func TestALeaseIsAliveUntilItIsAnsweredOrItsWorkerIsLost(t *testing.T) { // DELIVERY 12
	p := stage(t, Config{})
	w := p.hire("w", 10)
	p.offer(1)
	l := p.leases[w][0].Lease
	p.want("alive", p.Alive(l.Nonce, l.Batch, l.Epoch), true)
	p.want("another epoch's", p.Alive(l.Nonce, l.Batch, l.Epoch+1), false)
	p.want("another bridge's", p.Alive(l.Nonce+1, l.Batch, l.Epoch), false)
	p.die(w, CauseKilled)
	p.want("alive after its worker", p.Alive(l.Nonce, l.Batch, l.Epoch), false)
}

func TestAResultInPartsSettlesEachPartAsItComes(t *testing.T) { // DELIVERY 5
	p := stage(t, Config{})
	w := p.hire("w", 10)
	p.offer(3)
	lease := p.leases[w][0].Lease
	if err := p.Result(p.now, w, &wire.Result{Lease: lease, First: 0, Count: 2}, 2); err != nil {
		t.Fatal(err)
	}
	p.note()
	p.want("after the first part", p.fates, "[0/0 scored 0/1 scored]")
	if _, used := w.InFlight(); used.Events != 3 {
		t.Fatalf("window is free of %d events before the batch is answered", 3-used.Events)
	}
	if err := p.Result(p.now, w, &wire.Result{Lease: lease, First: 2, Count: 1}, 1); err != nil {
		t.Fatal(err)
	}
	p.note()
	p.want("after the second part", p.fates, "[0/0 scored 0/1 scored 0/2 scored]")
}

func TestAResultThatCannotBeTrueIsRefusedWhole(t *testing.T) {
	for name, c := range map[string]struct {
		r       wire.Result
		outputs int
	}{
		"starts late":                {wire.Result{First: 1, Count: 2}, 2},
		"covers nothing":             {wire.Result{Count: 0}, 0},
		"covers too much":            {wire.Result{Count: 4}, 4},
		"count that overflows":       {wire.Result{Count: 1<<64 - 1}, 0},
		"an output too few":          {wire.Result{Count: 3}, 2},
		"an output too many":         {wire.Result{Count: 3}, 4},
		"more errors than events":    {wire.Result{Count: 1, Errors: errorsOf(0, 1)}, 0},
		"error of another event":     {wire.Result{Count: 2, Errors: errorsOf(2)}, 1},
		"errors not in order":        {wire.Result{Count: 3, Errors: errorsOf(1, 0)}, 1},
		"an error twice":             {wire.Result{Count: 3, Errors: errorsOf(1, 1)}, 1},
		"unknown kind":               {wire.Result{Count: 3, Errors: []wire.RowError{{Index: 0, Kind: 4}}}, 2},
		"counts of other events":     {wire.Result{Count: 3, Counts: []uint64{1, 2}}, 3},
		"counts that are less":       {wire.Result{Count: 3, Counts: []uint64{1, 1, 0}}, 3},
		"counts that are more":       {wire.Result{Count: 3, Counts: []uint64{1, 1, 2}}, 3},
		"counts that overflow":       {wire.Result{Count: 3, Counts: []uint64{1<<64 - 1, 2, 2}}, 3},
		"error with outputs":         {wire.Result{Count: 3, Counts: []uint64{1, 1, 1}, Errors: errorsOf(1)}, 3},
		"route of no output":         {wire.Result{Count: 3, Routes: []wire.Route{{Index: 3, Stream: "s"}}}, 3},
		"routes that are not sorted": {wire.Result{Count: 3, Routes: []wire.Route{{Index: 1}, {Index: 0}}}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			p := stage(t, Config{})
			w := p.hire("w", 10)
			p.offer(3)
			c.r.Lease = p.leases[w][0].Lease
			if p.Result(p.now, w, &c.r, c.outputs) == nil {
				t.Fatal("believed")
			}
			p.note()
			p.want("fates", p.fates, "[]")
			p.want("death", p.Stats().Deaths[CauseMalformed], 1)
			v := p.hire("v", 10)
			p.want("what the next worker gets", p.holds(v), [][]string{events(0, 2)})
		})
	}
}

func errorsOf(index ...uint64) (list []wire.RowError) {
	for _, i := range index {
		list = append(list, wire.RowError{Index: i, Kind: wire.KindFail})
	}
	return list
}

func TestAResultOutOfItsTurnClosesTheWorker(t *testing.T) { // DELIVERY 13: one line a connection
	p := stage(t, Config{Batch: Room{Events: 2}})
	w := p.hire("w", 10)
	p.offer(4)
	if p.Result(p.now, w, &wire.Result{Lease: p.leases[w][1].Lease, Count: 2}, 2) == nil {
		t.Fatal("the second batch was answered before the first")
	}
}

func TestOutputsAreCountedByEvent(t *testing.T) {
	p := stage(t, Config{})
	w := p.hire("w", 10)
	p.offer(4)
	r := &wire.Result{Lease: p.leases[w][0].Lease, Count: 4, Counts: []uint64{2, 0, 0, 1}, Errors: errorsOf(2)}
	r.Errors[0].Kind = wire.KindReject
	if err := p.Result(p.now, w, r, 3); err != nil {
		t.Fatal(err)
	}
	var got [][3]int
	for _, f := range p.Fates() {
		got = append(got, [3]int{int(f.Kind), f.First, f.N})
	}
	p.want("kind, first output, number", got, [][3]int{{0, 0, 2}, {0, 2, 0}, {1, 0, 0}, {0, 2, 1}})
}

// DELIVERY 9 and 11, rule 4 of the design: the window bounds what is out.

func TestNoLeaseIsGivenBeforeReadyNorToAPausedWorker(t *testing.T) {
	p := stage(t, Config{})
	w := p.Join(p.now, "w", 0, "1", nil)
	p.offer(3)
	p.want("before ready", len(p.leases[w]), 0)
	p.Ready(p.now, w, Room{})
	p.tick()
	p.want("paused", len(p.leases[w]), 0)
	p.Ready(p.now, w, Room{Events: 2, Bytes: 100})
	p.tick()
	p.want("ready for two", p.holds(w), [][]string{events(0, 1)})
}

func TestAnEventAboveTheByteCreditGoesAloneOverAnEmptyWindow(t *testing.T) { // DELIVERY 5
	p := stage(t, Config{})
	w := p.Join(p.now, "w", 0, "1", nil)
	p.Ready(p.now, w, Room{Events: 10, Bytes: 15})
	p.Offer(p.now, []messaging.Record{{Value: make([]byte, 10)}, {Value: make([]byte, 1000), Offset: 1}, {Value: make([]byte, 10), Offset: 2}})
	p.tick()
	p.want("first", p.holds(w), "[[0/0]]")
	p.answer(w, nil)
	p.want("then the large one", p.holds(w), "[[0/1]]")
	p.answer(w, nil)
	p.want("then the rest", p.holds(w), "[[0/2]]")
}

func TestAnEventThatFitsInNoFrameIsDead(t *testing.T) {
	p := stage(t, Config{MaxEvent: 100})
	p.Offer(p.now, []messaging.Record{{Value: make([]byte, 101)}})
	p.tick()
	p.want("fates", p.fates, "[0/0 dead]")
	p.want("code", p.given[0].Failure.Code, "event_too_large")
}

func TestAnEventThatTheSourceCouldNotReadIsDeadAndItsNeighboursAreGiven(t *testing.T) {
	p := stage(t, Config{})
	w := p.hire("w", 100)
	p.Offer(p.now, []messaging.Record{{}, {Offset: 1, Fault: &messaging.Fault{Code: "line_too_long", Reason: "line 2"}}, {Offset: 2}})
	p.tick()
	p.want("fates", p.fates, "[0/1 dead]")
	p.want("code", p.given[0].Failure.Code, "line_too_long")
	p.want("given", p.holds(w), "[[0/0 0/2]]")
}

func TestABusyWorkerIsGivenFullBatchesOnlyAndAnIdleOneWhatThereIs(t *testing.T) {
	p := stage(t, Config{Batch: Room{Events: 4}})
	w := p.hire("w", 100)
	p.offer(1)
	p.want("idle", p.holds(w), "[[0/0]]")
	p.offer(3)
	p.want("busy, and less than a batch", len(p.leases[w]), 1)
	p.offer(2)
	p.want("busy, and a batch", p.holds(w), [][]string{events(0, 0), events(1, 4)})
	p.answer(w, nil)
	p.want("busy still", len(p.leases[w]), 1)
	p.answer(w, nil)
	p.want("idle again", p.holds(w), "[[0/5]]")
}

func TestOneInFlightWaitsForTheAnswer(t *testing.T) {
	p := stage(t, Config{Batch: Room{Events: 2}, OneInFlight: true})
	w := p.hire("w", 100)
	p.offer(6)
	p.want("in flight", len(p.leases[w]), 1)
	p.answer(w, nil)
	p.want("in flight", p.holds(w), [][]string{events(2, 3)})
}

func TestAnIdleWorkerLingersForAFullerBatchNoLongerThanAsked(t *testing.T) {
	p := stage(t, Config{Batch: Room{Events: 4}, Linger: 5 * ms})
	w := p.hire("w", 100)
	p.offer(1)
	p.want("at once", len(p.leases[w]), 0)
	if wake := p.Tick(p.now).Wake; wake != p.now+5*ms {
		t.Fatalf("wakes at %d", wake-p.now)
	}
	p.wait(5 * ms)
	p.want("after the linger", p.holds(w), "[[0/0]]")
	p.answer(w, nil)
	p.offer(4)
	p.want("a full batch", p.holds(w), [][]string{events(1, 4)})
}

func TestBatchesGoToTheWorkerWithTheFewest(t *testing.T) {
	p := stage(t, Config{Batch: Room{Events: 2}})
	a, b := p.hire("a", 100), p.hire("b", 100)
	p.offer(8)
	p.want("a", len(p.leases[a]), 2)
	p.want("b", len(p.leases[b]), 2)
}

// DELIVERY 21: positions.

func TestOnlyTheContiguousPrefixIsCommittedOverOffsetsWithGaps(t *testing.T) {
	p := stage(t, Config{Batch: Room{Events: 1}})
	a := p.hire("a", 100)
	p.Offer(p.now, []messaging.Record{{Offset: 5}, {Offset: 9}, {Offset: 100}})
	p.tick()
	p.answer(a, nil)
	p.answer(a, nil)
	p.answer(a, nil)
	p.Settled(p.given[1].Event, Scored)
	p.want("head is not settled", p.Commits(), "[]")
	p.Settled(p.given[0].Event, Scored)
	p.want("up to the gap", p.Commits(), "[{0 9 0}]")
	p.want("nothing new", p.Commits(), "[]")
	p.Settled(p.given[2].Event, Scored)
	p.want("all", p.Commits(), "[{0 100 0}]")
}

func TestAStuckHeadStopsTheIntake(t *testing.T) {
	p := stage(t, Config{Batch: Room{Events: 1}, Span: Room{Events: 3}})
	w := p.hire("w", 100)
	p.offer(3)
	p.answer(w, nil)
	p.answer(w, nil)
	p.answer(w, nil)
	p.Settled(p.given[1].Event, Scored)
	p.Settled(p.given[2].Event, Scored)
	p.want("wanted behind a stuck head", p.Wants().Events, 0)
	p.Settled(p.given[0].Event, Scored)
	if p.Wants().Events == 0 {
		t.Fatal("nothing wanted though nothing is stuck")
	}
}

// each offers one event of 10 bytes to each partition named.
func (p *drama) each(partitions ...int32) {
	for _, n := range partitions {
		p.Offer(p.now, []messaging.Record{{Partition: n, Offset: p.offset, Value: make([]byte, 10)}})
		p.offset++
	}
	p.tick()
}

func TestOnlyThePartitionOfAStuckHeadIsStoppedWhereTheSourceCanDoThat(t *testing.T) {
	p := stage(t, Config{Batch: Room{Events: 1}, Span: Room{Events: 4}})
	p.Pausing(true)
	w := p.hire("w", 100)
	p.each(0, 0, 0, 1)
	for range 4 {
		p.answer(w, nil)
	}
	p.Settled(p.given[1].Event, Scored)
	p.Settled(p.given[2].Event, Scored)
	turned := func() string { readOn, stop := p.Turned(); return fmt.Sprint(readOn, stop) }
	p.want("below the cap", turned(), "[] []")
	p.each(0)
	p.want("at the cap", turned(), "[] [0]")
	p.want("told once", turned(), "[] []")
	p.want("one is stopped", p.Gauges().Stopped, 1)
	if p.Wants().Events == 0 {
		t.Fatal("the others are not read on")
	}
	p.Settled(p.given[0].Event, Scored)
	p.want("below half of the cap", turned(), "[0] []")
	p.each(0, 0, 0)
	p.want("at the cap again", turned(), "[] [0]")
	p.Revoke(p.now, []int32{0})
	p.want("taken away", turned(), "[0] []")
}

func TestAPartitionMayHaveHalfOfTheIntakeWhileThereAreOthers(t *testing.T) {
	p := stage(t, Config{Intake: Room{Events: 8}})
	p.Pausing(true)
	p.each(0, 0, 0, 0, 0, 0)
	_, stop := p.Turned()
	p.want("alone", stop, "[]")
	p.each(1)
	_, stop = p.Turned()
	p.want("beside another", stop, "[0]")
}

func TestAllPartitionsTogetherAreBoundToo(t *testing.T) {
	p := stage(t, Config{Span: Room{Events: 2}})
	p.Pausing(true)
	p.each(0, 0, 1, 1, 2, 2, 3)
	if p.Wants().Events == 0 {
		t.Fatal("nothing wanted below the bound")
	}
	p.each(3)
	p.want("at the bound", p.Wants().Events, 0)
}

func TestTheIntakeIsBoundByWhatIsNotSettled(t *testing.T) {
	p := stage(t, Config{Intake: Room{Events: 10, Bytes: 80}})
	p.hire("w", 100)
	p.offer(4)
	p.want("room", p.Wants(), Room{6, 40})
	p.offer(4)
	p.want("room", p.Wants(), Room{2, 0})
}

// DELIVERY 9: partitions that are taken away.

func TestARevokedPartitionIsForgottenAndItsLateResultsSettleNothing(t *testing.T) {
	p := stage(t, Config{Batch: Room{Events: 2}})
	w := p.hire("w", 2)
	p.Offer(p.now, []messaging.Record{{Offset: 1}, {Partition: 1, Offset: 1}, {Offset: 2}, {Partition: 1, Offset: 2}})
	p.tick()
	p.Revoke(p.now, []int32{0})
	p.answer(w, nil)
	p.want("of the batch that was out", p.fates, "[1/1 scored]")
	p.want("next batch", p.holds(w), "[[1/2]]")
	p.answer(w, nil)
	p.settleAll()
	p.want("committed", p.Commits(), "[{1 2 0}]")
	p.want("left", p.Live(), 0)
}

func TestRevokingRaisesTheEpochOfTheLeasesThatFollow(t *testing.T) {
	p := stage(t, Config{Batch: Room{Events: 1}})
	w := p.hire("w", 2)
	p.offer(2)
	p.Revoke(p.now, []int32{5})
	p.answer(w, nil)
	p.offer(1)
	p.want("epochs", []uint64{p.leases[w][0].Epoch, p.leases[w][1].Epoch}, []uint64{0, 1})
}

func TestAFateThatIsStoredAfterItsPartitionWentIsNotCountedAsOurs(t *testing.T) {
	p := stage(t, Config{})
	w := p.hire("w", 2)
	p.offer(1)
	p.answer(w, nil)
	p.Revoke(p.now, []int32{0})
	p.settleAll()
	p.want("settled", p.Stats().Settled, [3]uint64{})
	p.want("committed", p.Commits(), "[]")
	p.want("left", p.Live(), 0)
}

func TestABatchGivenBackOutOfTurnDoesNotMoveTheDeadlineOfTheOldest(t *testing.T) {
	p := stage(t, Config{Batch: Room{Events: 1}, Deadline: second})
	w := p.hire("w", 2)
	p.offer(2)
	p.wait(900 * ms)
	p.Return(p.now, w, p.leases[w][1].Lease, second)
	p.wait(100 * ms)
	p.want("overdue", p.Stats().Overdue, 1)
}

func TestADrainedCoreGivesNoLeasesAndWantsNothing(t *testing.T) {
	p := stage(t, Config{Batch: Room{Events: 2}})
	w := p.hire("w", 2)
	p.offer(5)
	p.Drain()
	p.want("wants", p.Wants(), Room{})
	p.want("outstanding", p.Outstanding(), 1)
	p.answer(w, nil)
	p.want("leases", len(p.leases[w]), 0)
	p.want("outstanding", p.Outstanding(), 0)
	p.want("finished what was out", p.fates, "[0/0 scored 0/1 scored]")
}

func TestRecordsOfAnAssignmentThatIsOverAreNotTakenIn(t *testing.T) {
	c := New(Config{})
	at := func(epoch int32, offset int64) []messaging.Record {
		return []messaging.Record{{Epoch: epoch, Offset: offset, Value: []byte("x")}}
	}
	c.Offer(1, at(1, 5))
	c.Revoke(2, []int32{0})
	c.Offer(3, at(1, 6)) // read before the revocation, offered after it
	if c.Live() != 0 {
		t.Fatalf("%d events of an assignment that is over", c.Live())
	}
	c.Offer(4, at(2, 5))
	c.Offer(5, at(3, 5)) // a source that said nothing in between
	if c.Live() != 1 {
		t.Fatalf("%d events, want that of the newest assignment alone", c.Live())
	}
	c.RevokeAll(6)
	c.Offer(7, at(1, 5)) // of a source that was opened anew
	if c.Live() != 1 {
		t.Fatalf("%d events of a new source, want 1", c.Live())
	}
}
