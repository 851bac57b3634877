package delivery

import "testing"

// SERVING 10: linger only where it can pay.

func adaptive(t *testing.T) *drama {
	return stage(t, Config{Adaptive: true, OneInFlight: true, Batch: Room{Events: 64, Bytes: 1 << 20}})
}

// round has w score n events and take so long.
func (p *drama) round(w *Worker, n int, nanos int64) {
	p.offer(n)
	p.now += nanos
	p.answer(w, nil)
}

func TestAnIdleWorkerWaitsForThoseWhoComeAgainAfterABatchOfSeveral(t *testing.T) {
	p := adaptive(t)
	w := p.hire("w", 64)
	p.offer(1)
	p.offer(7)
	p.now += 10 * ms
	p.answer(w, nil)
	p.now += 10 * ms
	p.answer(w, nil) // seven rows, 10 ms
	p.offer(1)
	p.want("one of seven is there", p.holds(w), "[]")
	p.offer(5)
	p.want("six of seven are there", p.holds(w), "[]")
	p.offer(1)
	p.want("all", len(p.holds(w)[0]), 7)
}

func TestItWaitsForTwoMillisecondsAtMost(t *testing.T) {
	p := adaptive(t)
	w := p.hire("w", 64)
	p.offer(1)
	p.round(w, 7, 200*ms)
	p.now += 200 * ms
	p.answer(w, nil)
	p.offer(1)
	wake := p.Tick(p.now).Wake
	p.want("wakes in time", wake-p.now, 2*ms)
	p.wait(2*ms - 1)
	p.want("before", p.holds(w), "[]")
	p.wait(1)
	p.want("then", len(p.holds(w)[0]), 1)
}

func TestARowThatComesLaterFindsAnIdleWorkerReady(t *testing.T) {
	p := adaptive(t)
	w := p.hire("w", 64)
	p.offer(1)
	p.round(w, 7, 10*ms)
	p.now += 10 * ms
	p.answer(w, nil)
	p.wait(3 * ms)
	p.offer(1)
	p.want("at once", len(p.holds(w)), 1)
}

func TestThereIsNoWaitingForAQuickModelNorAfterASingleRowNorInStreams(t *testing.T) {
	for name, c := range map[string]struct {
		rows     int
		took     int64
		adaptive bool
	}{"quick": {7, 2 * ms, true}, "single": {1, 10 * ms, true}, "stream": {7, 10 * ms, false}} {
		p := stage(t, Config{Adaptive: c.adaptive, OneInFlight: true})
		w := p.hire("w", 64)
		p.offer(1)
		p.round(w, c.rows, c.took)
		p.now += c.took
		p.answer(w, nil)
		p.offer(1)
		p.want(name, len(p.holds(w)), 1)
	}
}

func TestThePaceIsThatOfOneModel(t *testing.T) {
	p := stage(t, Config{OneInFlight: true})
	w := p.Join(p.now, "w", 0, "1", nil)
	p.Ready(p.now, w, Room{64, 1 << 20})
	p.tick()
	for range 3 {
		p.round(w, 1, 10*ms)
	}
	p.want("pace", p.Pace(), Pace{Batch: 10 * ms, Batches: 3, Model: "1", Last: 1})
	p.offer(1)
	p.want("begun", p.Pace().Begun, p.now)
	p.now += 10 * ms
	p.answer(w, nil)
	p.Leave(p.now, w, true)
	v := p.Join(p.now, "v", 0, "2", nil)
	p.Ready(p.now, v, Room{64, 1 << 20})
	p.tick()
	p.round(v, 1, 30*ms)
	p.want("of the new one", p.Pace(), Pace{Batch: 30 * ms, Batches: 1, Model: "2", Last: 1})
}
