package delivery

import (
	"testing"

	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// Workers that score batches beside each other: SERVING 8, with DELIVERY 13 and 14 for all that they hold.

func pair(t *testing.T, deadline int64) (*drama, *Worker) {
	p := stage(t, Config{OneInFlight: true, Batch: Room{Events: 2}, Deadline: deadline, Breaker: BreakerConfig{Off: true}})
	return p, p.hireAbreast("w")
}

func (p *drama) hireAbreast(name string) *Worker {
	w := p.Join(p.now, name, 0, "1", nil)
	w.Abreast(2)
	p.Ready(p.now, w, Room{16, 1 << 20})
	p.tick()
	return w
}

func (p *drama) answerBatch(w *Worker, at int) {
	p.Helper()
	p.leases[w][0], p.leases[w][at] = p.leases[w][at], p.leases[w][0]
	p.answer(w, nil)
}

func TestAWorkerHasAsManyBatchesAsItScoresBesideEachOther(t *testing.T) {
	p, w := pair(t, 0)
	p.offer(1)
	p.offer(1)
	p.offer(4)
	p.want("two, the second without waiting for more", p.holds(w), "[[0/0] [0/1]]")
	p.want("at once", p.AtOnce(), 2)
	p.answerBatch(w, 1)
	p.want("in any order", p.fates, "[0/1 scored]")
	p.want("the next in its place", p.holds(w), "[[0/0] [0/2 0/3]]")
}

func TestOfADeathAllThatAWorkerScoredAreSuspectAndItIsChargedOnce(t *testing.T) {
	p, w := pair(t, 0)
	p.offer(2)
	p.offer(2)
	p.die(w, CauseSignal)
	p.want("suspects", p.Stats().Suspects, 2)
	p.want("charged", p.Stats().Charged, 1)
	v := p.hireAbreast("v")
	p.want("the first by itself", p.holds(v), "[[0/0 0/1]]")
	p.want("at the attempt", p.leases[v][0].Attempt, 2)
	p.answer(v, nil)
	p.want("then the second", p.holds(v), "[[0/2 0/3]]")
	p.die(v, CauseSignal)
	u := p.hireAbreast("u")
	p.want("which is halved", p.holds(u), "[[0/2]]")
	p.answer(u, nil)
	p.die(u, CauseSignal)
	s := p.hireAbreast("s")
	p.die(s, CauseSignal)
	p.want("dead", p.dead(), "[0/3]")
	p.want("fates", len(p.fates), 4)
}

func TestADeadlineIsOfOneBatchAndTheOneBesideIsTriedAgain(t *testing.T) {
	p, w := pair(t, second)
	p.offer(2)
	p.wait(second / 2)
	p.offer(2)
	p.wait(second/2 + 1)
	p.want("cut or closed", p.closes, []CloseReason{CloseOverdue})
	p.want("suspects", p.Stats().Suspects, 1)
	v, u := p.hireAbreast("v"), p.hireAbreast("u")
	p.want("the one in time", append(p.holds(v), p.holds(u)...), "[[0/0 0/1] [0/2 0/3]]")
	p.answer(v, nil)
	p.answer(u, nil)
	p.want("fates", len(p.fates), 4)
	p.want("dead", p.dead(), "[]")
	_ = w
}

func TestADeadlineCountsFromTheBatchsOwnBeginning(t *testing.T) {
	p, w := pair(t, second)
	p.offer(2)
	p.wait(second / 2)
	p.offer(2)
	p.answerBatch(w, 0)
	p.wait(second * 3 / 4)
	p.answerBatch(w, 0) // 1.25 s after the first began
	p.want("overdue", p.Stats().Overdue, 0)
	p.want("fates", len(p.fates), 4)
}

func TestABatchThatIsBesideOthersThatHangIsSuspectInTheEnd(t *testing.T) {
	p, w := pair(t, second)
	p.offer(2)
	for range maxExcuses + 1 {
		l := p.workers[0].line[0]
		l.bystander = true
		p.condemn(w, CauseHang, "")
		p.tick()
		w = p.hireAbreast("w")
	}
	p.want("suspects", p.Stats().Suspects, 1)
}

func TestOfAnAnswerThatCannotBeTheBatchBesideIsNotSuspect(t *testing.T) {
	p, w := pair(t, 0)
	p.offer(2)
	p.offer(2)
	if err := p.Result(p.now, w, &wire.Result{Lease: p.leases[w][1].Lease, Count: 9}, 9); err == nil {
		t.Fatal("nine answers for two events")
	}
	p.tick()
	p.want("suspects", p.Stats().Suspects, 1)
	p.want("back", p.again.n, 2)
}

func TestAPartialAnswerStaysWithItsBatch(t *testing.T) {
	p, w := pair(t, 0)
	p.offer(2)
	p.offer(2)
	for _, at := range []int{1, 0, 1, 0} {
		b := p.leases[w][at]
		n, begun := w.Done(b.Lease)
		if err := p.Result(p.now, w, &wire.Result{Lease: b.Lease, First: uint64(n), Count: 1}, 1); err != nil || !begun {
			t.Fatal(err, begun)
		}
		p.note()
	}
	p.want("fates", p.fates, "[0/2 scored 0/0 scored 0/3 scored 0/1 scored]")
}
