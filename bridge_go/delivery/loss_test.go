package delivery

import (
	"fmt"
	"testing"

	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// DELIVERY 13 to 15: who is to blame for a death.

func TestOnlyTheOldestFrameIsSuspectTheOthersGoBackAtTheSameAttempt(t *testing.T) {
	p := stage(t, Config{Batch: Room{Events: 2}})
	w := p.hire("w", 6)
	p.offer(6)
	p.die(w, CauseSignal)
	p.want("suspects", p.Stats().Suspects, 1)
	v := p.hire("v", 6)
	p.want("alone with the suspects", p.holds(v), [][]string{events(0, 1)})
	p.want("their attempt", p.leases[v][0].Attempt, 2)
	p.answer(v, nil)
	p.want("the others", p.holds(v), [][]string{events(2, 3), events(4, 5)})
	p.want("at the attempt", p.leases[v][0].Attempt, 1)
	p.want("not reproduced", p.Stats().Cleared, 1)
}

func TestAnAnsweredPartOfTheOldestFrameIsNotSuspect(t *testing.T) {
	p := stage(t, Config{})
	w := p.hire("w", 10)
	p.offer(4)
	if err := p.Result(p.now, w, &wire.Result{Lease: p.leases[w][0].Lease, Count: 3}, 3); err != nil {
		t.Fatal(err)
	}
	p.die(w, CauseSignal)
	v := p.hire("v", 10)
	p.want("suspects", p.holds(v), "[[0/3]]")
}

func TestSuspectsAreBisectedUntilTheCulpritHasKilledTwiceAlone(t *testing.T) {
	for culprit := range 256 {
		p := stage(t, Config{})
		w := p.hire("w", 1024)
		p.offer(256)
		name := fmt.Sprintf("0/%d", culprit)
		calls := 0
		for n := 0; len(p.dead()) == 0; n++ {
			if batch := p.holds(w)[0]; len(batch) > 0 && contains(batch, name) {
				p.die(w, CauseSignal)
				p.wait(2 * second) // the parent starts another one; a breaker that holds the verdict gives in
				w = p.hire(fmt.Sprint("w", n), 1024)
				if n > 0 && len(batch) == 256 && calls > 2 {
					t.Fatal("the whole batch more than twice")
				}
			} else {
				p.answer(w, nil)
			}
			calls++
		}
		p.want("dead", p.dead(), []string{name})
		if calls-1 > 20 {
			t.Fatalf("%d calls beyond the first for event %d", calls-1, culprit)
		}
		for len(p.leases[w]) > 0 {
			p.answer(w, nil)
		}
		p.want("fates", len(p.fates), 256)
	}
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

func TestHalvesThatPassAreKept(t *testing.T) {
	p := stage(t, Config{Breaker: BreakerConfig{Off: true}})
	w := p.hire("w", 8)
	p.offer(4)
	p.die(w, CauseSignal)
	w = p.hire("w2", 8)
	p.die(w, CauseSignal)
	w = p.hire("w3", 8)
	p.want("left half first", p.holds(w), [][]string{events(0, 1)})
	p.answer(w, nil)
	p.want("kept", p.fates, "[0/0 scored 0/1 scored]")
	p.want("right half", p.holds(w), [][]string{events(2, 3)})
}

func TestWithoutAnOrderTheOtherHalfIsTriedBeforeTheOneThatKilledIsHalvedAgain(t *testing.T) {
	p := stage(t, Config{Order: Unordered, Breaker: BreakerConfig{Off: true}})
	w := p.hire("w", 8)
	p.offer(4)
	for i := range 3 { // in line, alone, the left half
		p.die(w, CauseSignal)
		w = p.hire(fmt.Sprint("w", i), 8)
	}
	p.want("right half", p.holds(w), [][]string{events(2, 3)})
	p.answer(w, nil)
	p.want("a quarter", p.holds(w), [][]string{events(0, 0)})
}

// A version that kills with everything is told from one event that does by the fourth death in a row without an answer.
func TestOneEventThatKillsHasNoMoreThanThreeDeathsInARow(t *testing.T) {
	for n := 1; n <= 33; n++ {
		for culprit := range n {
			p := stage(t, Config{Order: Unordered, Breaker: BreakerConfig{Off: true}})
			w := p.hire("w", 1024)
			p.offer(n)
			for i := 0; len(p.dead()) == 0; i++ {
				if contains(p.holds(w)[0], fmt.Sprintf("0/%d", culprit)) {
					p.die(w, CauseSignal)
					w = p.hire(fmt.Sprint("w", i), 1024)
				} else {
					p.answer(w, nil)
				}
				if row := p.Stats().Barren; row > 3 {
					t.Fatalf("event %d of %d: %d deaths in a row", culprit, n, row)
				}
			}
			p.want("charged", p.Stats().Charged, 1)
		}
	}
}

func TestOfAVersionThatDiesOfEverythingDeathsInARowAreCounted(t *testing.T) {
	p := stage(t, Config{Order: Unordered, Breaker: BreakerConfig{Off: true}})
	w := p.hire("w", 64)
	p.offer(32)
	for i := range 4 {
		p.want("in a row", p.Stats().Barren, i)
		p.die(w, CauseSignal)
		w = p.hire(fmt.Sprint("w", i), 64)
	}
	p.want("in a row", p.Stats().Barren, 4)
	p.answer(w, nil)
	p.want("after an answer", p.Stats().Barren, 0)
}

func TestAnEventThatKilledOnceAloneIsNotDead(t *testing.T) {
	p := stage(t, Config{})
	w := p.hire("w", 8)
	p.offer(1)
	p.die(w, CauseSignal) // in line
	w = p.hire("w2", 8)
	p.die(w, CauseSignal) // alone
	w = p.hire("w3", 8)
	p.answer(w, nil)
	p.want("fates", p.fates, "[0/0 scored]")
}

func TestKilledAndOutOfMemoryAreTheEnvironmentsDoing(t *testing.T) {
	for _, cause := range []string{CauseKilled, CauseOOM, CauseLoad} {
		p := stage(t, Config{})
		p.offer(4)
		for i := range maxExcuses {
			p.die(p.hire(fmt.Sprint("w", i), 8), cause)
		}
		p.want("suspects of "+cause, p.Stats().Suspects, 0)
		p.die(p.hire("w", 8), cause)
		p.want("suspects once the excuses are used up", p.Stats().Suspects, 1)
	}
}

func TestBatchesAreSmallerForMinutesAfterAWorkerRanOutOfMemory(t *testing.T) {
	p := stage(t, Config{Batch: Room{Events: 8}})
	p.offer(8)
	p.die(p.hire("w", 8), CauseOOM)
	v := p.hire("v", 8)
	p.want("batches", p.holds(v), [][]string{events(0, 3), events(4, 7)})
	p.answer(v, nil)
	p.answer(v, nil)
	p.wait(6 * 60 * second)
	p.offer(8)
	p.want("batches later", p.holds(v), [][]string{events(8, 15)})
}

func TestSeveralWorkersLostWithinASecondAreTheEnvironmentsDoing(t *testing.T) {
	p := stage(t, Config{Batch: Room{Events: 2}})
	a, b := p.hire("a", 2), p.hire("b", 2)
	p.offer(4)
	p.Leave(p.now, a, false)
	p.wait(100 * ms)
	p.Leave(p.now, b, false)
	p.wait(second)
	p.want("suspects", p.Stats().Suspects, 0)
	p.want("excused", p.Stats().Excused, 2)
}

func TestWorkersLostWithTheirParentAreTheEnvironmentsLoss(t *testing.T) {
	p := stage(t, Config{})
	p.Supervised(p.now, true)
	w := p.hire("w", 8)
	p.offer(1)
	p.Supervised(p.now, false)
	p.Leave(p.now, w, false)
	p.wait(second / 2)
	p.want("suspects", p.Stats().Suspects, 0)
}

func TestALostWorkerIsJudgedWhenItsParentHasSpokenOrHalfASecondHasPassed(t *testing.T) {
	p := stage(t, Config{})
	w := p.hire("w", 8)
	p.offer(1)
	p.Leave(p.now, w, false)
	v := p.hire("v", 8)
	p.wait(499 * ms)
	p.want("before the word", len(p.leases[v]), 0)
	p.Died(p.now, "w", CauseKilled, "")
	p.tick()
	p.want("after it", p.holds(v), "[[0/0]]")
	p.want("excused", p.Stats().Excused, 1)
	p.wait(2 * second)
	p.Leave(p.now, v, false)
	p.wait(500 * ms)
	p.want("nobody has said anything", p.Stats().Suspects, 1)
}

func TestAProcessThatDialsAgainHasLostItsLinkAndNothingElse(t *testing.T) { // T16, T17
	p := stage(t, Config{})
	p.offer(4)
	for range 10 {
		w := p.Join(p.now, "w", 42, "1", nil)
		p.Ready(p.now, w, Room{8, 1000})
		p.tick()
		p.want("given", p.holds(w), [][]string{events(0, 3)})
		p.Leave(p.now, w, false)
		delete(p.leases, w)
		p.wait(ms)
	}
	p.want("suspects", p.Stats().Suspects, 0)
	p.want("links lost", p.Stats().Deaths[CauseLink], 9)
}

func TestAnotherProcessOfTheSameNameDoesNotProveThatTheOldOneLives(t *testing.T) {
	p := stage(t, Config{})
	p.offer(1)
	w := p.Join(p.now, "w", 42, "1", nil)
	p.Ready(p.now, w, Room{8, 1000})
	p.tick()
	p.Leave(p.now, w, false)
	p.Join(p.now, "w", 43, "1", nil)
	p.wait(500 * ms)
	p.want("suspects", p.Stats().Suspects, 1)
	p.want("links lost", p.Stats().Deaths[CauseLink], 0)
}

func TestAParentThatIsSilentHasLostNoChild(t *testing.T) {
	p := stage(t, Config{})
	p.Supervised(p.now, true)
	w := p.hire("w", 8)
	p.offer(1)
	p.Leave(p.now, w, false)
	p.wait(second)
	p.want("suspects", p.Stats().Suspects, 0)
	p.want("links lost", p.Stats().Deaths[CauseLink], 1)
}

func TestADeadWorkersSocketIsReadForAMomentAndThenClosed(t *testing.T) { // DELIVERY 10, T48
	p := stage(t, Config{Breaker: BreakerConfig{Off: true}})
	w := p.hire("w", 8)
	p.offer(4)
	p.Died(p.now, "w", CauseSignal, "")
	p.tick()
	if err := p.Result(p.now, w, &wire.Result{Lease: p.leases[w][0].Lease, Count: 2}, 2); err != nil {
		t.Fatal(err)
	}
	p.note()
	p.want("answers that it had sent", p.fates, "[0/0 scored 0/1 scored]")
	p.wait(settleSocket)
	p.want("closed", p.closes, []CloseReason{CloseDead})
	v := p.hire("v", 8)
	p.want("suspects", p.holds(v), [][]string{events(2, 3)})
	p.Leave(p.now, w, false)
	p.want("its end counts once", p.Stats().Suspects, 1)
}

func TestALateWordOnADeathIsNotOnTheWorkerThatHasTheNameNow(t *testing.T) {
	p := stage(t, Config{})
	w := p.hire("w", 8)
	p.Leave(p.now, w, false)
	v := p.hire("w", 8)
	p.Died(p.now, "w", CauseSignal, "")
	p.offer(1)
	p.want("the new one works", p.holds(v), "[[0/0]]")
}

func TestTheEndOfAProcessThatHasSaidGoodbyeIsNoDeath(t *testing.T) {
	p := stage(t, Config{})
	w := p.hire("w", 8)
	p.Leave(p.now, w, true)
	p.want("a death", p.Died(p.now, "w", CauseExit, "exit code 0"), false)
	p.want("deaths", len(p.Stats().Deaths), 0)
	v := p.hire("w", 8)
	p.want("a death", p.Died(p.now, "w", CauseExit, "exit code 1"), true)
	p.Leave(p.now, v, false)
	p.want("deaths", p.Stats().Deaths[CauseExit], 1)
}

func TestAGoodbyeGivesEverythingBackAndBlamesNobody(t *testing.T) {
	p := stage(t, Config{Batch: Room{Events: 2}})
	w := p.hire("w", 8)
	p.offer(4)
	p.Leave(p.now, w, true)
	v := p.hire("v", 8)
	p.want("given", p.holds(v), [][]string{events(0, 1), events(2, 3)})
	p.want("attempt", p.leases[v][0].Attempt, 1)
}

func TestTheSameNameDialledAgainReplacesTheOld(t *testing.T) {
	p := stage(t, Config{})
	p.hire("w", 8)
	v := p.hire("w", 8)
	p.want("closed", p.closes, []CloseReason{CloseReplaced})
	p.offer(1)
	p.want("given", p.holds(v), "[[0/0]]")
	p.want("workers", len(p.Workers()), 1)
}

func TestSuspectsAreAloneWithTheirWorkerAndTheOthersGoOn(t *testing.T) {
	p := stage(t, Config{Batch: Room{Events: 2}})
	a, b := p.hire("a", 4), p.hire("b", 4)
	p.offer(4)
	p.die(a, CauseSignal)
	p.want("b is busy, and kept free", len(p.leases[b]), 1)
	p.offer(8)
	p.want("b gets nothing more", len(p.leases[b]), 1)
	a = p.hire("a2", 4)
	p.want("the others go to the new one", p.holds(a), [][]string{events(4, 5), events(6, 7)})
	p.answer(b, nil)
	p.want("b has the suspects alone", p.holds(b), [][]string{events(0, 1)})
	p.answer(b, nil)
	p.want("b is as before", p.holds(b), [][]string{events(8, 9), events(10, 11)})
}

func TestSuspectsRatherGoToAnotherWorkerButDoNotWaitForOne(t *testing.T) {
	p := stage(t, Config{})
	a := p.hire("a", 4)
	p.offer(1)
	p.die(a, CauseSignal)
	a = p.hire("a", 4)
	p.want("there is only this one", p.holds(a), "[[0/0]]")
	p.hire("b", 4)
	p.die(a, CauseSignal)
	a2 := p.hire("a", 4)
	p.want("the name that died", len(p.leases[a2]), 0)
}

func TestAWorkerThatPausesIsNotKeptForSuspects(t *testing.T) {
	p := stage(t, Config{Batch: Room{Events: 2}})
	a, b := p.hire("a", 4), p.hire("b", 4)
	p.offer(4)
	p.die(a, CauseSignal)
	p.Ready(p.now, b, Room{})
	p.answer(b, nil)
	c := p.hire("c", 4)
	p.want("the suspects go to one that does not pause", p.holds(c), [][]string{events(0, 1)})
}

func TestAUnitLargerThanTheWindowIsTriedInParts(t *testing.T) {
	p := stage(t, Config{})
	w := p.hire("w", 8)
	p.offer(8)
	p.die(w, CauseSignal)
	v := p.hire("v", 3)
	for _, part := range [][]string{events(0, 2), events(3, 5), events(6, 7)} {
		p.want("part", p.holds(v), [][]string{part})
		p.answer(v, nil)
	}
	p.want("fates", len(p.fates), 8)
}

// DELIVERY 10 and 13: deadlines.

func TestTheDeadlineOfAFrameStartsWhenItIsTheOldest(t *testing.T) {
	p := stage(t, Config{Batch: Room{Events: 1}, Deadline: second})
	w := p.hire("w", 8)
	p.offer(2)
	p.wait(900 * ms)
	p.answer(w, nil)
	p.wait(900 * ms)
	p.want("overdue", p.Stats().Overdue, 0)
	p.wait(100 * ms)
	p.want("overdue", p.Stats().Overdue, 1)
}

func TestAnOverdueWorkerLosesItsLeasesAndIsCutThenClosed(t *testing.T) {
	p := stage(t, Config{Batch: Room{Events: 1}, Deadline: second})
	p.Supervised(p.now, true)
	w := p.hire("w", 8)
	p.offer(2)
	late := p.leases[w][0].Lease
	p.wait(second)
	p.want("cut", p.cuts, "[w]")
	v := p.hire("v", 8)
	p.want("suspect, alone", p.holds(v), "[[0/0]]")
	if err := p.Result(p.now, w, &wire.Result{Lease: late, Count: 1}, 1); err != nil {
		t.Fatal(err)
	}
	p.want("late result", p.Stats().Dropped["ended"], 1)
	p.answer(v, nil)
	p.wait(5 * second)
	p.want("closed", p.closes, []CloseReason{CloseOverdue})
}

func TestWithoutAParentAnOverdueWorkerIsClosedAtOnce(t *testing.T) {
	p := stage(t, Config{Deadline: second})
	p.hire("w", 8)
	p.offer(1)
	p.wait(second)
	p.want("closed", p.closes, []CloseReason{CloseOverdue})
	p.want("cut", len(p.cuts), 0)
}

func TestAnEventThatHangsIsDeadAfterTwoHangsAlone(t *testing.T) { // T13
	p := stage(t, Config{Deadline: second})
	p.offer(1)
	for i := range 3 {
		p.hire(fmt.Sprint("w", i), 8)
		p.wait(second)
	}
	p.wait(3 * second)
	p.want("dead", p.dead(), "[0/0]")
	p.want("code", p.given[0].Failure.Code, "worker_hung")
}

// A bridge that was stopped, starved or asleep, T6 and T21.

func TestT6T21TheTimeForWhichTheBridgeWasStoppedIsHeldAgainstNobody(t *testing.T) {
	p := stage(t, Config{Deadline: 10 * second})
	p.Supervised(p.now, true)
	a := p.hire("a", 100)
	p.offer(10)
	p.wait(60 * second) // the answer came meanwhile, but was not read
	p.want("overdue", p.Stats().Overdue, 0)
	p.answer(a, nil)
	p.want("fates", len(p.fates), 10)
}

func TestAWorkerThatHangsIsFoundAfterABridgeWasStopped(t *testing.T) {
	p := stage(t, Config{Deadline: 10 * second})
	p.Supervised(p.now, true)
	p.hire("a", 100)
	p.offer(10)
	p.wait(60 * second)
	p.wait(5 * second)
	p.want("cuts", p.cuts, []string{"a"})
}

func TestTheWordOfAParentHasItsTimeAfterABridgeWasStopped(t *testing.T) {
	p := stage(t, Config{})
	p.Supervised(p.now, true)
	a := p.hire("a", 100)
	p.offer(10)
	p.Leave(p.now, a, false)
	p.tick()
	p.wait(10 * second)
	p.want("judged", p.Stats().Deaths, map[string]uint64{})
	p.Died(p.now, "a", CauseKilled, "")
	p.want("excused", p.Stats().Excused, 1)
}

func TestAnOutageThatMakesEveryCallHangKillsNoEvent(t *testing.T) { // T42, of a dependency that does not answer
	p := stage(t, Config{Batch: Room{Events: 4}, Deadline: second, Linger: 0})
	p.Supervised(p.now, true)
	p.offer(64)
	hired := 0
	hire := func() *Worker { hired++; return p.hire(fmt.Sprint("w", hired), 16) }
	w := hire()
	for range 120 { // two minutes
		p.wait(second)
		p.die(w, CauseHang)
		w = hire()
	}
	p.want("dead in the outage", p.dead(), []string{})
	for range 200 {
		p.wait(second / 2)
		for len(p.leases[w]) > 0 {
			p.answer(w, nil)
		}
	}
	p.want("dead after it", p.dead(), []string{})
	p.want("scored", len(p.fates), 64)
}
