package delivery

import "testing"

// spare joins a standby that takes so many events when it is wanted.
func (p *drama) spare(name, model string, events int) *Worker {
	w := p.Join(p.now, name, 9, model, nil)
	w.Standby()
	p.Ready(p.now, w, Room{events, 1 << 20})
	p.tick()
	return w
}

func TestAStandbyGetsNothingWhileAWorkerLives(t *testing.T) {
	p := stage(t, Config{Batch: Room{Events: 2}})
	s := p.spare("s", "1", 64)
	p.offer(3)
	p.want("with a standby alone", p.holds(s), "[]")
	p.want("ready", p.ReadyWorkers(), 0)
	p.want("held", p.HeldWorkers(), 1)
	w := p.hire("w", 2)
	p.want("the worker's", p.holds(w), "[[0/0 0/1]]")
	p.want("the standby's", p.holds(s), "[]")
	p.want("ready", p.ReadyWorkers(), 1)
	p.want("window", p.Gauges().Window.Events, 2)
	p.want("at once", p.AtOnce(), 1)
}

func TestADeathLetsTheStandbyInAtOnce(t *testing.T) {
	for _, way := range []struct {
		name string
		lose func(*drama, *Worker)
	}{
		{"the link ends", func(p *drama, w *Worker) { p.Leave(p.now, w, false) }},
		{"its parent says so", func(p *drama, w *Worker) { p.Died(p.now, w.ID, CauseSignal, "") }},
		{"its deadline is over", func(p *drama, _ *Worker) { p.wait(p.cfg.Deadline) }},
		{"it is both", func(p *drama, w *Worker) { p.die(w, CauseKilled) }},
	} {
		t.Run(way.name, func(t *testing.T) {
			p := stage(t, Config{Batch: Room{Events: 2}})
			w := p.hire("w", 2)
			s := p.spare("s", "1", 64)
			p.offer(2)
			way.lose(p, w)
			p.want("ready with no tick between", p.ReadyWorkers(), 1)
			p.want("held", s.Held(), false)
			p.want("relieved", p.Stats().Relieved, 1)
			p.offer(2)
			p.want("it has work", len(p.holds(s)) > 0, true)
		})
	}
}

func TestAStandbyGoesOnWhereTheDeadWorkerStoodInOrder(t *testing.T) {
	p := stage(t, Config{Order: ByKey, Batch: Room{Events: 4}})
	w := p.hire("w", 64)
	s := p.spare("s", "1", 64)
	p.offer(4, "a", "b")
	p.offer(4, "a", "b")
	p.die(w, CauseKilled)
	for p.Live() > 0 && len(p.leases[s]) > 0 {
		p.answer(s, nil)
		p.settleAll()
	}
	var fates [2][]string
	for _, f := range p.fates {
		fates[(f[2]-'0')%2] = append(fates[(f[2]-'0')%2], f)
	}
	p.want("fates by key", fates, "[[0/0 scored 0/2 scored 0/4 scored 0/6 scored] [0/1 scored 0/3 scored 0/5 scored 0/7 scored]]")
}

func TestWhatWasPlannedIsNoLoss(t *testing.T) {
	p := stage(t, Config{})
	w := p.hire("w", 64)
	s := p.spare("s", "1", 64)
	p.Ready(p.now, w, Room{}) // it drains
	p.want("while it drains", s.Held(), true)
	p.Leave(p.now, w, true)
	p.offer(1)
	p.want("after its goodbye", p.holds(s), "[]")

	v := p.hire("v", 64)
	p.answer(v, nil)
	p.Ready(p.now, v, Room{})
	p.Leave(p.now, v, false)
	p.want("after one that drained did not say it", s.Held(), true)
}

func TestAStandbyOfAnotherVersionStays(t *testing.T) {
	p := stage(t, Config{})
	w := p.hire("w", 64)
	two, one := p.spare("two", "2", 64), p.spare("one", "1", 64)
	p.die(w, CauseSignal)
	p.want("of version 2", two.Held(), true)
	p.want("of version 1", one.Held(), false)
}

func TestADeathOfTheStandbyHarmsNothing(t *testing.T) {
	p := stage(t, Config{Batch: Room{Events: 2}})
	w := p.hire("w", 64)
	s := p.spare("s", "1", 64)
	p.offer(2)
	p.die(s, CauseOOM)
	p.want("relieved", p.Stats().Relieved, 0)
	p.answer(w, nil)
	p.want("fates", p.fates, "[0/0 scored 0/1 scored]")
	p.die(w, CauseSignal)
	p.want("nobody is left", p.ReadyWorkers(), 0)
}

func TestDeathsOfStandbysOpenNoBreaker(t *testing.T) {
	p := stage(t, Config{})
	p.hire("w", 64)
	for _, sooner := range []bool{true, false} {
		s := p.spare("s", "1", 64)
		if sooner {
			p.Died(p.now, "s", CauseOOM, "")
		}
		p.Leave(p.now, s, false)
		if !sooner {
			p.Died(p.now, "s", CauseOOM, "")
		}
	}
	p.want("deaths", p.Stats().Deaths[CauseOOM], 2)
	p.want("charged", p.Stats().Charged, 0)
}

func TestEachStandbyTakesOnePlace(t *testing.T) {
	p := stage(t, Config{})
	v, w := p.hire("v", 64), p.hire("w", 64)
	a, b := p.spare("a", "1", 64), p.spare("b", "1", 64)
	p.Died(p.now, "v", CauseKilled, "")
	p.Leave(p.now, v, false) // the same death once more
	p.want("after one death", [2]bool{a.Held(), b.Held()}, "[false true]")
	p.die(w, CauseKilled)
	p.want("after two", [2]bool{a.Held(), b.Held()}, "[false false]")
}

func TestAWorkerWhoseLinkWasLostHasItsPlaceBack(t *testing.T) {
	p := stage(t, Config{Batch: Room{Events: 2}})
	w := p.hire("w", 64)
	s := p.spare("s", "1", 64)
	p.Leave(p.now, w, false)
	p.offer(2)
	p.want("the standby stands in", p.holds(s), "[[0/0 0/1]]")
	w = p.hire("w", 64)
	p.want("back again", s.Held(), true)
	p.answer(s, nil)
	p.offer(2)
	p.want("the worker's", p.holds(w), "[[0/2 0/3]]")
	p.want("what the standby had is answered", p.fates, "[0/0 scored 0/1 scored]")
}

func TestAStandbyThatSaysReadyAgainHasItsParentsWord(t *testing.T) {
	p := stage(t, Config{})
	w := p.hire("w", 64)
	s := p.spare("s", "1", 64)
	p.Ready(p.now, w, Room{})
	p.Leave(p.now, w, true) // a goodbye here, a death for its parent
	p.Ready(p.now, s, Room{64, 1 << 20})
	p.want("it is used", s.Held(), false)
	p.want("relieved", p.Stats().Relieved, 1)
	p.Ready(p.now, s, Room{})
	p.Ready(p.now, s, Room{64, 1 << 20})
	p.want("a pause does not make it one again", s.Held(), false)
}

func TestAParentThatIsSoonerThanTheEndOfTheSocketGivesOnePlace(t *testing.T) {
	p := stage(t, Config{})
	w := p.hire("w", 64)
	s := p.spare("s", "1", 64)
	p.Ready(p.now, s, Room{64, 1 << 20})
	p.want("ready", p.ReadyWorkers(), 2)
	p.Leave(p.now, w, false)
	p.want("ready", p.ReadyWorkers(), 1)
	p.want("relieved", p.Stats().Relieved, 1)
}

func TestAStandbyWhosePlaceIsItsOwnDoesNotGiveItBack(t *testing.T) {
	p := stage(t, Config{})
	w := p.hire("w", 64)
	s := p.spare("s", "1", 64)
	p.Leave(p.now, w, false)
	p.Ready(p.now, s, Room{64, 1 << 20}) // its parent has buried w
	p.hire("w", 64)
	p.want("held", s.Held(), false)
}

func TestStandbysThatPauseOrDieTakeNoPlace(t *testing.T) {
	p := stage(t, Config{})
	w := p.hire("w", 64)
	s := p.spare("s", "1", 64)
	p.Ready(p.now, s, Room{}) // it drains
	p.want("held", p.HeldWorkers(), 0)
	p.die(w, CauseKilled)
	p.want("ready", p.ReadyWorkers(), 0)
}

func TestSuspectsMayUseHalfOfTheWorkersThatWork(t *testing.T) {
	p := stage(t, Config{Batch: Room{Events: 2}})
	w := p.hire("w", 64)
	p.offer(2)
	p.hire("v", 64)
	for _, name := range []string{"a", "b", "c"} {
		p.spare(name, "2", 64)
	}
	p.die(w, CauseSignal)
	p.want("places", p.places(), 1)
	p.want("suspicions", p.Gauges().Suspicions, 1)
}
