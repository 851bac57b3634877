package delivery

import (
	"fmt"
	"testing"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// DELIVERY 15 and 16: what a model says of single events, and when it is believed.

func TestARejectedEventIsRejectedAtOnce(t *testing.T) {
	p := stage(t, Config{})
	w := p.hire("w", 8)
	p.offer(3)
	p.answer(w, map[string]wire.ErrKind{"0/1": wire.KindReject})
	p.want("fates", p.fates, "[0/0 scored 0/1 rejected 0/2 scored]")
}

func TestAFailedEventIsTriedOnceMoreAndThenDead(t *testing.T) {
	p := stage(t, Config{})
	w := p.hire("w", 8)
	p.offer(2)
	fails := map[string]wire.ErrKind{"0/0": wire.KindFail}
	p.answer(w, fails)
	p.want("after one failure", p.fates, "[0/1 scored]")
	p.want("once more", p.holds(w), "[[0/0]]")
	p.want("attempt", p.leases[w][0].Attempt, 2)
	p.answer(w, fails)
	p.offer(1)
	p.answer(w, nil)
	p.want("fates", p.fates, "[0/1 scored 0/0 dead 0/2 scored]")
}

func TestAttemptsAreASetting(t *testing.T) {
	p := stage(t, Config{Attempts: 4, Breaker: BreakerConfig{Off: true}})
	w := p.hire("w", 8)
	p.offer(1)
	for range 4 {
		p.want("fates", p.fates, "[]")
		p.answer(w, map[string]wire.ErrKind{"0/0": wire.KindFail})
	}
	p.want("fates", p.fates, "[0/0 dead]")
}

func TestARetryComesAgainAfterItsTimeHoweverOftenAndIsNeverAVerdict(t *testing.T) { // DELIVERY 15: a number is never a verdict
	p := stage(t, Config{})
	w := p.hire("w", 8)
	p.offer(1)
	for range 50 {
		p.answer(w, map[string]wire.ErrKind{"0/0": wire.KindRetry})
		p.want("parked", p.Gauges().Parked, 1)
		p.wait(9 * ms)
		p.want("before its time", len(p.leases[w]), 0)
		p.wait(ms)
		p.want("at its time", p.holds(w), "[[0/0]]")
	}
	p.answer(w, nil)
	p.want("fates", p.fates, "[0/0 scored]")
}

func TestT7ABatchThatIsTooLargeForAWorkersMemoryComesAgainInParts(t *testing.T) { // T7
	p := stage(t, Config{Batch: Room{Events: 8}, Breaker: BreakerConfig{Off: true}})
	w := p.hire("w", 16)
	p.offer(16)
	for range 2 { // both are of the same size: the second says nothing new
		lease := p.leases[w][0].Lease
		p.leases[w] = p.leases[w][1:]
		p.Crowded(p.now, w, lease)
		p.Return(p.now, w, lease, ms)
	}
	p.wait(ms)
	p.want("half as large", len(p.holds(w)[0]), 4)
	lease := p.leases[w][0].Lease
	p.leases[w] = p.leases[w][1:]
	p.Crowded(p.now, w, lease)
	p.Return(p.now, w, lease, ms)
	for len(p.leases[w]) > 0 {
		p.answer(w, nil)
	}
	p.wait(ms)
	p.want("half of that", len(p.holds(w)[0]), 2)
	p.wait(5 * minutes)
	for len(p.leases[w]) > 0 {
		p.answer(w, nil)
	}
	p.want("fates", len(p.fates), 16)
	p.offer(8)
	p.want("calm again", len(p.holds(w)[0]), 8)
}

func TestT7AnEventThatFitsIntoNoMemoryComesAgainAndIsTold(t *testing.T) { // T7, DELIVERY 16
	p := stage(t, Config{Batch: Room{Events: 2}, Breaker: BreakerConfig{Off: true}})
	w := p.hire("w", 8)
	p.offer(2)
	for _, want := range []struct{ held, alone int }{{2, 0}, {1, 1}, {1, 1}} {
		p.want("events", len(p.holds(w)[0]), want.held)
		lease := p.leases[w][0]
		p.leases[w] = p.leases[w][1:]
		e := p.Crowded(p.now, w, lease.Lease)
		p.want("alone", e != nil, want.alone == 1)
		p.Return(p.now, w, lease.Lease, ms)
		p.wait(minutes)
	}
	s := p.Stats()
	p.want("counted", []uint64{s.Crowded, s.CrowdedAlone}, []uint64{3, 2})
	p.want("fates", len(p.fates), 0)
}

func TestAReturnedBatchComesAgainWholeAndIsNeverAVerdict(t *testing.T) {
	p := stage(t, Config{Breaker: BreakerConfig{Off: true}})
	w := p.hire("w", 8)
	p.offer(2)
	for range 50 {
		p.Return(p.now, w, p.leases[w][0].Lease, 20*ms)
		p.leases[w] = nil
		p.wait(19 * ms)
		p.want("before its time", len(p.leases[w]), 0)
		p.wait(ms)
		p.want("at its time", len(p.holds(w)[0]), 2)
	}
}

func TestReturnsWithoutATimeBackOff(t *testing.T) {
	p := stage(t, Config{Breaker: BreakerConfig{Off: true}})
	w := p.hire("w", 8)
	p.offer(1)
	for _, pause := range []int64{100 * ms, 200 * ms, 400 * ms} {
		p.Return(p.now, w, p.leases[w][0].Lease, 0)
		p.leases[w] = nil
		p.wait(pause - 1)
		p.want("too early", len(p.leases[w]), 0)
		p.wait(1)
		p.want("in time", len(p.leases[w]), 1)
	}
}

func TestAVerdictWaitsForTheNextSuccess(t *testing.T) {
	p := stage(t, Config{Attempts: 1})
	w := p.hire("w", 8)
	p.offer(1)
	p.answer(w, map[string]wire.ErrKind{"0/0": wire.KindFail})
	p.want("held", p.Gauges().Held, 1)
	p.want("fates", p.fates, "[]")
	p.offer(1)
	p.answer(w, nil)
	p.want("fates", p.fates, "[0/0 dead 0/1 scored]")
}

func TestAVerdictIsBelievedAfterTheHoldWhenTheRunStaysShort(t *testing.T) {
	p := stage(t, Config{Attempts: 1})
	w := p.hire("w", 8)
	p.offer(3)
	p.answer(w, failing(3))
	p.wait(2*second - 1)
	p.want("fates", p.fates, "[]")
	p.wait(1)
	p.want("dead", p.dead(), events(0, 2))
}

func failing(n int) map[string]wire.ErrKind {
	all := map[string]wire.ErrKind{}
	for i := range n {
		all[fmt.Sprintf("0/%d", i)] = wire.KindFail
	}
	return all
}

func TestALongRunOfFailuresOpensTheBreakerAndNothingIsDead(t *testing.T) { // T42
	p := stage(t, Config{Attempts: 1, Batch: Room{Events: 32}})
	w := p.hire("w", 1000)
	p.offer(32)
	p.answer(w, failing(32))
	p.want("open", p.Gauges().BreakerOpen, true)
	p.want("leases", len(p.leases[w]), 0)
	for _, pause := range []int64{1, 2, 4, 8, 16, 30, 30} { // an outage of minutes
		p.wait(pause*second - 1)
		p.want("probe too early", len(p.leases[w]), 0)
		p.wait(1)
		p.want("one small probe", len(p.holds(w)), 1)
		if n := len(p.holds(w)[0]); n > 16 {
			t.Fatalf("a probe of %d events", n)
		}
		p.answer(w, failing(1000))
	}
	p.want("dead", p.dead(), "[]")
	p.wait(30 * second)
	p.answer(w, nil)
	p.want("closed by a success", p.Gauges().BreakerOpen, false)
	for len(p.leases[w]) > 0 {
		p.answer(w, nil)
	}
	p.want("fates", len(p.fates), 32)
	p.want("dead", p.dead(), "[]")
}

func TestAnOutageIsSeenWhereAllEventsHaveOneKey(t *testing.T) { // T42: it once buried one event every two seconds
	p := stage(t, Config{Order: ByKey, Batch: Room{Events: 32}})
	w := p.hire("w", 1000)
	p.offer(32, "a")
	for range 10 {
		if len(p.leases[w]) > 0 {
			p.answer(w, failing(32))
		}
		p.wait(second)
	}
	p.want("open", p.Gauges().BreakerOpen, true)
	p.want("dead", p.dead(), "[]")
}

func TestAnEventThatFailsAgainAndAgainIsOneOfTheRun(t *testing.T) {
	p := stage(t, Config{Attempts: 100})
	w := p.hire("w", 8)
	p.offer(3)
	for range 50 {
		p.answer(w, failing(3))
	}
	p.want("open", p.Gauges().BreakerOpen, false)
}

func TestMoreThanHalfOfTheLastOutcomesOpensTheBreaker(t *testing.T) {
	p := stage(t, Config{Attempts: 1, Batch: Room{Events: 64}})
	w := p.hire("w", 64)
	p.offer(64)
	errs := map[string]wire.ErrKind{}
	for i := range 64 {
		if i%3 != 0 {
			errs[fmt.Sprintf("0/%d", i)] = wire.KindFail
		}
	}
	p.answer(w, errs)
	p.want("open", p.Gauges().BreakerOpen, true)
}

func TestARunThatItsOwnFrameBreaksIsNone(t *testing.T) {
	p := stage(t, Config{Attempts: 1, Batch: Room{Events: 200}})
	w := p.hire("w", 200)
	p.offer(200)
	p.answer(w, failing(30))
	p.want("open", p.Gauges().BreakerOpen, false)
	p.want("dead", len(p.dead()), 30)
}

func TestAProbeTakesFreshEventsAlongAndTheSourceBringsThem(t *testing.T) {
	p := stage(t, Config{Attempts: 1})
	w := p.hire("w", 100)
	p.offer(40)
	p.answer(w, failing(40)) // these fail for ever
	p.want("a few are wanted", p.Wants().Events, 8)
	p.offer(8)
	p.want("no more", p.Wants().Events, 0)
	p.wait(second)
	fresh := 0
	for _, name := range p.holds(w)[0] {
		if contains(events(40, 47), name) {
			fresh++
		}
	}
	p.want("fresh events in the probe", fresh, 8)
	p.answer(w, failing(40))
	p.want("open", p.Gauges().BreakerOpen, false)
}

func TestProbesReachBehindALongRunOfFailuresInTheOnlyLane(t *testing.T) {
	p := stage(t, Config{Order: ByKey, Batch: Room{Events: 64}})
	w := p.hire("w", 128)
	p.offer(64, "k")
	for range 200 {
		if p.wait(100 * ms); len(p.leases[w]) > 0 {
			p.answer(w, failing(40))
		}
		for _, f := range p.given {
			p.Settled(f.Event, f.Kind)
		}
		p.given = nil
		if n := p.Wants().Events; n > 0 && p.offset < 120 {
			p.offer(min(n, 8), "k")
		}
	}
	for i := range 30 {
		if p.wait(int64(i) * second); len(p.leases[w]) > 0 {
			p.answer(w, failing(40))
		}
	}
	p.want("open", p.Gauges().BreakerOpen, false)
	p.want("dead", len(p.dead()), 40)
	p.want("all have a fate", len(p.fates), int(p.offset))
}

func TestProbesThatTakeLongStaySmall(t *testing.T) {
	p := stage(t, Config{Order: ByKey, Batch: Room{Events: 64}, Deadline: 8 * second})
	w := p.hire("w", 128)
	p.offer(64, "k")
	for range 4 {
		p.answer(w, failing(64))
		for len(p.leases[w]) == 0 {
			p.wait(second)
		}
		p.want("in the probe", len(p.holds(w)[0]), 16)
		p.wait(2 * second) // a quarter of the deadline: twice as many events would come near to it
	}
}

func TestWorkersLostDuringAnOutageDoNotStopTheProbes(t *testing.T) {
	p := stage(t, Config{Attempts: 1})
	w := p.hire("w", 100)
	p.offer(40)
	p.answer(w, failing(40))
	p.wait(second)
	p.die(w, CauseKilled)
	w = p.hire("v", 100)
	p.wait(2 * second)
	p.want("next probe", len(p.leases[w]), 1)
}

func TestABoundedSourceHasNoBreaker(t *testing.T) {
	p := stage(t, Config{Attempts: 1, Breaker: BreakerConfig{Off: true}})
	w := p.hire("w", 100)
	p.offer(40)
	p.answer(w, failing(40))
	p.want("dead", len(p.dead()), 40)
}

// DELIVERY 20: order.

func TestALaneStaysWithItsWorkerWhileItHasEventsThere(t *testing.T) {
	p := stage(t, Config{Order: ByKey, Batch: Room{Events: 2}, LaneCap: 100})
	a, b := p.hire("a", 2), p.hire("b", 8)
	p.offer(2, "k")
	p.want("a", p.holds(a), [][]string{events(0, 1)})
	p.offer(2, "k")
	p.want("b, though it is idle", len(p.leases[b]), 0)
	p.answer(a, nil)
	p.want("next", append(p.holds(a), p.holds(b)...), [][]string{events(2, 3)})
}

func TestEventsOfOtherKeysPassAStalledLane(t *testing.T) {
	p := stage(t, Config{Order: ByKey, Batch: Room{Events: 3}})
	w := p.hire("w", 30)
	p.offer(3, "a", "b", "a")
	p.offer(3, "a", "b", "a")
	p.answer(w, map[string]wire.ErrKind{"0/0": wire.KindRetry})
	p.want("b alone has a fate, 0/2 is discarded", p.fates, "[0/1 scored]")
	p.answer(w, nil)
	p.want("and again", p.fates, "[0/1 scored 0/4 scored]")
	p.want("discarded", p.Stats().Discarded, 3)
	p.wait(10 * ms)
	for len(p.leases[w]) > 0 {
		p.answer(w, nil)
	}
	p.want("in order", p.fates, "[0/1 scored 0/4 scored 0/0 scored 0/2 scored 0/3 scored 0/5 scored]")
}

func TestALaneOfASuspectStandsStill(t *testing.T) {
	p := stage(t, Config{Order: ByKey, Batch: Room{Events: 2}})
	a := p.hire("a", 4)
	p.offer(4, "x", "y")
	p.die(a, CauseSignal)
	p.offer(2, "x", "z")
	b, c := p.hire("b", 4), p.hire("c", 4)
	p.want("suspects on b", p.holds(b), [][]string{events(0, 1)})
	p.want("z on c, x and y wait", p.holds(c), "[[0/5]]")
	p.answer(c, nil)
	p.want("still", len(p.leases[c]), 0)
	p.answer(b, nil)
	p.want("then", append(p.holds(b), p.holds(c)...), [][]string{events(2, 3)})
}

func TestALaneHasACapThatLeavesRoomForOthers(t *testing.T) {
	p := stage(t, Config{Order: ByKey, Batch: Room{Events: 10}, LaneCap: 3})
	w := p.hire("w", 100)
	p.offer(8, "hot")
	p.offer(2, "a", "b")
	p.want("hot", p.holds(w), [][]string{events(0, 2)})
	p.want("waiting at the cap", p.Stats().LaneFull > 0, true)
	p.answer(w, nil)
	p.want("with the others", p.holds(w), "[[0/3 0/4 0/5 0/8 0/9]]")
}

func TestEventsWithoutAKeyAreNotOrdered(t *testing.T) {
	p := stage(t, Config{Order: ByKey, Batch: Room{Events: 1}})
	a, b := p.hire("a", 1), p.hire("b", 1)
	p.offer(2)
	p.want("a", p.holds(a), "[[0/0]]")
	p.want("b", p.holds(b), "[[0/1]]")
}

func TestAPartitionIsALaneWhenTheOrderIsByPartition(t *testing.T) {
	p := stage(t, Config{Order: ByPartition, Batch: Room{Events: 2}})
	a, b := p.hire("a", 8), p.hire("b", 8)
	p.Offer(p.now, []messaging.Record{{Offset: 1}, {Offset: 2}, {Offset: 3}, {Partition: 1, Offset: 1}})
	p.tick()
	p.want("a", p.holds(a), "[[0/1 0/2]]")
	p.want("b", p.holds(b), "[[1/1]]")
}

// DELIVERY 18, T10: an output that the sink refuses for good.
func TestAnEventWhoseOutputIsRefusedIsDead(t *testing.T) {
	p := stage(t, Config{})
	w := p.hire("w", 8)
	p.offer(1)
	p.answer(w, nil)
	p.Refused(p.given[0].Event, Failure{Code: "output_refused"})
	p.note()
	p.want("fates", p.fates, "[0/0 scored 0/0 dead]")
	p.want("committed", p.Commits(), "[]")
	p.Settled(p.given[1].Event, Dead)
	p.want("committed", p.Commits(), "[{0 0 0}]")
}

func TestADiscardedAnswerDoesNotShortenTheStallOfItsLane(t *testing.T) {
	p := stage(t, Config{Order: ByKey, Batch: Room{Events: 2}})
	w := p.hire("w", 8)
	p.offer(2, "k")
	p.answer(w, map[string]wire.ErrKind{"0/0": wire.KindRetry}) // 0/1 is discarded, and could come again at once
	p.wait(9 * ms)
	p.want("stalled", len(p.leases[w]), 0)
	p.wait(ms)
	p.want("again, in order", p.holds(w), [][]string{events(0, 1)})
}

func TestFailuresFromBeforeAnOutageDoNotCountAfterIt(t *testing.T) {
	p := stage(t, Config{Batch: Room{Events: 32}, Breaker: BreakerConfig{Run: 10}})
	w := p.hire("w", 100)
	p.offer(20)
	p.answer(w, failing(20)) // the first failure of each, and the breaker opens
	p.wait(second)
	p.answer(w, map[string]wire.ErrKind{"0/1": wire.KindFail}) // a success closes it; 0/1 fails for the first time since
	p.want("open", p.Gauges().BreakerOpen, false)
	p.want("dead", p.dead(), "[]")
	p.want("held", p.Gauges().Held, 0)
}

func TestVerdictsThatAnOutageTakesBackGoToTheirPlacesInTheirLanes(t *testing.T) {
	p := stage(t, Config{Order: ByKey, Attempts: 1, Batch: Room{Events: 2}, Breaker: BreakerConfig{Run: 4}})
	w := p.hire("w", 2)
	p.offer(8, "a", "b")
	p.answer(w, failing(8))
	p.want("held", p.Gauges().Held, 2)
	p.answer(w, failing(8))
	p.want("open", p.Gauges().BreakerOpen, true)
	for range 10 {
		p.wait(second)
		for len(p.leases[w]) > 0 {
			p.answer(w, nil)
		}
	}
	var a, b []string
	for _, f := range p.given {
		if string(f.Event.Record.Key) == "a" {
			a = append(a, id(f.Event))
		} else {
			b = append(b, id(f.Event))
		}
	}
	p.want("of a", a, "[0/0 0/2 0/4 0/6]")
	p.want("of b", b, "[0/1 0/3 0/5 0/7]")
}

func TestSuspectsAreTheProbeWhenEveryLaneStandsStillForThem(t *testing.T) {
	p := stage(t, Config{Order: ByPartition, Attempts: 1, Batch: Room{Events: 4}, Breaker: BreakerConfig{Run: 2}})
	w := p.hire("w", 8)
	p.Offer(p.now, []messaging.Record{{Offset: 1}, {Offset: 2}, {Partition: 1, Offset: 1}, {Partition: 1, Offset: 2}})
	p.tick()
	p.die(w, CauseSignal) // both lanes stand still now
	p.Offer(p.now, []messaging.Record{{Offset: 3}, {Partition: 2, Offset: 1}, {Partition: 2, Offset: 2}})
	v := p.Join(p.now, "v", 0, "1", nil)
	p.breaker.trip(p.Core) // as by failures of others
	p.Ready(p.now, v, Room{8, 1000})
	p.wait(second)
	p.want("the lane that is free is the first probe", p.holds(v), "[[2/1 2/2]]")
	p.answer(v, map[string]wire.ErrKind{"2/1": wire.KindReject, "2/2": wire.KindReject})
	p.want("open", p.Gauges().BreakerOpen, false)
	p.want("then the suspects", p.holds(v), "[[0/1 0/2 1/1 1/2]]")
	p.Return(p.now, v, p.leases[v][0].Lease, ms)
	p.leases[v] = nil
	p.breaker.trip(p.Core)
	p.wait(second)
	p.want("which are the probe when there is nothing else", p.holds(v), "[[0/1 0/2 1/1 1/2]]")
	p.answer(v, nil)
	p.want("open", p.Gauges().BreakerOpen, false)
}
