package delivery

import (
	"testing"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

func TestEventsThatNobodyWaitsForCostNoWorkersTime(t *testing.T) {
	p := stage(t, Config{OneInFlight: true, Batch: Room{Events: 2, Bytes: 1 << 20}})
	w := p.hire("w", 64)
	p.offer(6) // 0 and 1 are with the worker
	odd := func(r *messaging.Record) bool { return r.Offset%2 == 1 }
	p.want("forgotten", p.Forget(p.now, odd), "[{0 3 0} {0 5 0}]")
	p.answer(w, nil)
	p.want("next", p.holds(w), "[[0/2 0/4]]")
	p.answer(w, nil)
	p.settleAll()
	p.want("fates", p.fates, "[0/0 scored 0/1 scored 0/2 scored 0/4 scored]")
	p.want("left", p.Live(), 0)
	p.want("counted", p.Stats().Forgotten, 2)
	p.want("committed", p.Commits(), "[{0 5 0}]")
}

func TestSuspectsThatNobodyWaitsForAreNotTried(t *testing.T) {
	p := stage(t, Config{OneInFlight: true})
	w := p.hire("w", 64)
	p.offer(4)
	p.die(w, CauseExit)
	all := func(*messaging.Record) bool { return true }
	p.want("forgotten", len(p.Forget(p.now, all)), 4)
	v := p.hire("v", 64)
	p.want("nothing to do", p.holds(v), "[]")
	p.want("suspicions", p.Gauges().Suspicions, 0)
	p.want("left", p.Live(), 0)
}

func TestWhatIsParkedMayBeForgotten(t *testing.T) {
	p := stage(t, Config{})
	w := p.hire("w", 64)
	p.offer(1)
	p.Return(p.now, w, p.leases[w][0].Lease, second)
	p.leases[w] = nil
	p.want("parked", p.Gauges().Parked, 1)
	p.want("forgotten", len(p.Forget(p.now, func(*messaging.Record) bool { return true })), 1)
	p.wait(2 * second)
	p.want("nothing comes", p.holds(w), "[]")
	p.want("parked", p.Gauges().Parked, 0)
}

// SERVING 15: deaths that are the version's own, each bad row counted once however often its bisection kills.
func TestDeathsOfABisectionAreChargedOnce(t *testing.T) {
	p := stage(t, Config{OneInFlight: true, Breaker: BreakerConfig{Off: true}})
	w := p.hire("w0", 64)
	p.offer(4)
	for i := range 5 {
		p.die(w, CauseExit)
		w = p.hire("w"+string(rune('1'+i)), 64)
		p.wait(second)
	}
	p.want("suspects", p.Stats().Suspects, 1)
	p.want("charged", p.Stats().Charged, 1)
}

func TestDeathsOfIdleWorkersAreChargedUnlessSomebodyKilledThem(t *testing.T) {
	p := stage(t, Config{})
	for cause, want := range map[string]uint64{CauseExit: 1, CauseSignal: 1, CauseKilled: 0, CauseLoad: 0} {
		before := p.Stats().Charged
		p.die(p.hire("w"+cause, 64), cause)
		p.want(cause, p.Stats().Charged-before, want)
		w := p.hire("x"+cause, 64) // the other way round: the socket ends first
		p.Leave(p.now, w, false)
		p.Died(p.now, w.ID, cause, "")
		p.want(cause, p.Stats().Charged-before, 2*want)
	}
}
