package delivery

import "testing"

// growing is a stage with frames of 4 events that grow to 32 while they are answered within 20 ms, of a deadline of 10 s.
func growing(t *testing.T, cfg Config) *drama {
	cfg.Batch, cfg.Most, cfg.Deadline = Room{4, 40}, Room{32, 320}, 10*second
	return stage(t, cfg)
}

// busy has a worker answer n frames of a queue that never runs dry, each after so long, and tells how many events the last had.
func (p *drama) busy(w *Worker, n int, each int64) (size int) {
	for range n {
		for p.fresh.n < 3*p.sizing.frame.Events {
			p.offer(p.sizing.frame.Events)
		}
		size = len(p.holds(w)[0])
		p.now += each
		p.answer(w, nil)
		p.settleAll()
	}
	return size
}

func (p *drama) wantSize(when string, events int) {
	p.Helper()
	p.want(when, p.sizing.frame.Events, events)
}

func TestFramesGrowWhileABusyWorkerIsQuick(t *testing.T) {
	p := growing(t, Config{})
	w := p.hire("w", 1000)
	p.offer(100)
	p.busy(w, 4, ms)
	p.wantSize("after four", 8)
	p.busy(w, 8, ms) // some of them were sent before
	p.wantSize("after eight more", 16)
	p.want("events of the last", p.busy(w, 60, ms), 32)
	p.wantSize("at its most", 32)
}

func TestASizeThatIsToldStays(t *testing.T) {
	p := stage(t, Config{Batch: Room{4, 40}})
	w := p.hire("w", 1000)
	p.offer(100)
	p.want("events of the last", p.busy(w, 60, ms), 4)
}

func TestFramesOfASlowModelDoNotGrow(t *testing.T) {
	p := growing(t, Config{})
	w := p.hire("w", 1000)
	p.offer(100)
	p.busy(w, 40, 11*ms) // twice as many would take 22 ms
	p.wantSize("at 11 ms", 4)
	p.busy(w, 40, 10*ms)
	p.wantSize("at 10 ms", 32)
}

func TestAModelThatBecomesSlowGetsSmallFramesAgain(t *testing.T) {
	p := growing(t, Config{})
	w := p.hire("w", 1000)
	p.offer(200)
	p.busy(w, 60, ms)
	p.busy(w, 40, 40*ms)
	p.wantSize("twice what is quick is borne", 32)
	p.busy(w, 4, 41*ms)
	p.wantSize("a little more is not", 8) // 41 ms, 20.5 ms, 10.2 ms
	p.busy(w, 20, ms)
	p.busy(w, 1, second)
	p.wantSize("one frame that takes very long says it all", 4)
}

func TestAQuickModelsSizeDoesNotRiseForALightStream(t *testing.T) {
	p := growing(t, Config{})
	w := p.hire("w", 1000)
	for range 100 {
		p.offer(1)
		p.now += ms / 100
		p.answer(w, nil)
		p.settleAll()
	}
	p.wantSize("one event a time", 4)
}

func TestWhenThereIsLessToDoFramesAreSmallAgain(t *testing.T) {
	p := growing(t, Config{})
	w := p.hire("w", 1000)
	p.offer(200)
	p.busy(w, 60, ms)
	p.drained(w)
	for range 40 {
		p.offer(3)
		p.now += ms
		p.answer(w, nil)
		p.settleAll()
	}
	p.wantSize("three events are a quarter of eight, and not of sixteen", 8)
}

// drained has a worker answer what it and the queue hold.
func (p *drama) drained(w *Worker) {
	for len(p.holds(w)) > 0 {
		p.answer(w, nil)
	}
	p.settleAll()
}

func TestTimeBehindOtherFramesIsNoServiceTime(t *testing.T) {
	p := growing(t, Config{})
	w := p.hire("w", 1000)
	p.offer(100)
	p.want("frames out", len(p.holds(w)), 4)
	p.now += 36 * ms // of four frames that are answered together
	for range 4 {
		p.answer(w, nil)
	}
	p.wantSize("nine milliseconds each", 8)
}

func TestAWorkerIsGivenFourFramesWhateverItTakes(t *testing.T) {
	p := growing(t, Config{})
	w := p.hire("w", 1000)
	p.want("window", w.Window(), Room{16, 160})
	p.offer(200)
	p.want("frames out", len(p.holds(w)), 4)
	p.busy(w, 60, ms)
	p.want("window", w.Window(), Room{128, 1280})
	v := p.hire("v", 20)
	p.want("one that takes less", v.Window().Events, 20)
}

func TestSeveralWorkersShareWhatMayBeRead(t *testing.T) {
	p := growing(t, Config{Intake: Room{64, 1 << 20}})
	w := p.hire("w", 1000)
	v := p.hire("v", 1000)
	for range 60 {
		p.offer(max(0, p.Wants().Events))
		for _, x := range []*Worker{w, v} {
			if len(p.holds(x)) > 0 {
				p.now += ms
				p.answer(x, nil)
			}
		}
		p.settleAll()
	}
	p.wantSize("64 events, two workers, four frames each", 8)
}

func TestFramesAreNoLargerThanAQuarterOfWhatEachWorkerTakes(t *testing.T) {
	p := growing(t, Config{})
	w := p.hire("w", 1000)
	p.hire("v", 40)
	p.offer(300)
	p.busy(w, 60, ms)
	p.wantSize("of 40", 8)
}

func TestADeathMakesFramesSmall(t *testing.T) {
	p := growing(t, Config{})
	w := p.hire("w", 1000)
	p.offer(200)
	p.busy(w, 60, ms)
	p.die(w, "signal")
	p.wantSize("after a death", 4)
	v := p.hire("v", 1000)
	p.want("what is tried again is no larger than a window", len(p.holds(v)[0]) <= 16, true)
}

func TestWhatDidNotFitIntoMemoryIsTriedSmall(t *testing.T) {
	p := growing(t, Config{})
	w := p.hire("w", 1000)
	p.offer(200)
	p.busy(w, 60, ms)
	b := p.leases[w][0]
	p.Crowded(p.now, w, b.Lease)
	p.Return(p.now, w, b.Lease, 0)
	p.leases[w] = p.leases[w][1:]
	p.tick()
	p.wantSize("after lack of memory", 4)
	p.drained(w)
	p.busy(w, 40, ms)
	p.wantSize("while it is remembered", 4)
}

func TestAnotherModelBeginsSmall(t *testing.T) {
	p := growing(t, Config{})
	w := p.hire("w", 1000)
	p.offer(200)
	p.busy(w, 60, ms)
	p.drained(w)
	p.Leave(p.now, w, true)
	v := p.Join(p.now, "v", 0, "2", nil)
	p.Ready(p.now, v, Room{1000, 1 << 20})
	p.offer(8)
	p.now += ms
	p.answer(v, nil)
	p.wantSize("the first frame of version 2 is answered", 4)
}

func TestALaneHasHalfOfWhatAWorkerIsGiven(t *testing.T) {
	p := growing(t, Config{Order: ByKey})
	w := p.hire("w", 1000)
	p.offer(200, "hot")
	p.want("events out", w.used.Events, 8)
	for range 60 {
		p.offer(p.sizing.frame.Events, "hot")
		p.now += ms
		p.answer(w, nil)
		p.settleAll()
	}
	p.want("grown", p.sizing.frame.Events > 4, true)
	p.want("events out", w.used.Events, 2*p.sizing.frame.Events)
}

func TestWhatIsQuickIsFiftyMillisecondsAndAPartOfTheDeadline(t *testing.T) {
	p := stage(t, Config{})
	p.want("of 30 s", p.cfg.Quick, 50*ms)
	p = stage(t, Config{Deadline: second})
	p.want("of a second", p.cfg.Quick, 2*ms)
}
