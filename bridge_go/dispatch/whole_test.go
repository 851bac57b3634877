package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/delivery"
	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/dispatch/dispatchtest"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// A vault is a store of whole fates: the first with an id stays. It fails by plan.
type vault struct {
	mu       sync.Mutex
	fates    map[string][]messaging.FateRecord
	order    []string // ids, as they were stored
	repeated []string // ids that were there already
	refuse   func(r *messaging.FateRecord) bool
	flaky    func() (before, after bool) // whether a write fails before or after it is stored
	calls    int
}

func newVault() *vault { return &vault{fates: map[string][]messaging.FateRecord{}} }

func (v *vault) WriteFates(_ context.Context, fates []messaging.FateWrite) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.calls++
	var failed []messaging.WriteFailure
	for i, f := range fates {
		before, after := false, false
		if v.flaky != nil {
			before, after = v.flaky()
		}
		switch {
		case before:
			failed = append(failed, messaging.WriteFailure{Index: i, Err: errors.New("timeout")})
		case v.refused(f):
			failed = append(failed, messaging.WriteFailure{Index: i, Permanent: true, Err: errors.New("too large")})
		default:
			v.put(f)
			if after {
				failed = append(failed, messaging.WriteFailure{Index: i, Err: errors.New("the answer was lost")})
			}
		}
	}
	if failed != nil {
		return &messaging.WriteError{Failed: failed}
	}
	return nil
}

func (v *vault) refused(f messaging.FateWrite) bool {
	for i := range f.Records {
		if v.refuse != nil && v.refuse(&f.Records[i]) {
			return true
		}
	}
	return false
}

func (v *vault) put(f messaging.FateWrite) {
	if _, there := v.fates[f.ID]; there {
		v.repeated = append(v.repeated, f.ID)
		return
	}
	v.order = append(v.order, f.ID)
	v.fates[f.ID] = nil
	for _, r := range f.Records {
		o := copyOf(&messaging.Outgoing{Record: r.Record})
		v.fates[f.ID] = append(v.fates[f.ID], messaging.FateRecord{Topic: r.Topic, Record: o.Record})
	}
}

func (v *vault) Info() messaging.SinkInfo    { return messaging.SinkInfo{Deduplicates: true} }
func (v *vault) Close(context.Context) error { return nil }

// told is every fate as "id: topic=value topic=value", in the order of storing.
func (v *vault) told() (all []string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, id := range v.order {
		text := id + ":"
		for _, r := range v.fates[id] {
			text += " " + r.Topic + "=" + string(r.Value)
		}
		all = append(all, text)
	}
	return all
}

func whole(v *vault, with func(*dispatch.StreamConfig)) *dispatch.StreamOutlet {
	c := dispatch.StreamConfig{
		Program: "flights", Command: "score-stream", Incarnation: "i9", Generation: 2, Fates: v,
		Main: dispatch.Target{Stream: "estimates", Topic: "est"}, Dead: dispatch.Target{Stream: "departures.dead", Topic: "dead"},
		Routed: map[string]dispatch.Target{"alerts": {Stream: "alerts", Topic: "alerts"}},
		Now:    func() time.Time { return time.Unix(0, 5) },
	}
	if with != nil {
		with(&c)
	}
	return dispatch.NewStreamOutlet(c)
}

// ticketed gives fates of tests the identity that the core would have given them.
func ticketed(f dispatch.Fate) dispatch.Fate {
	f.ID = &delivery.Event{}
	return f
}

func TestAllRecordsOfAnEventAreOneFateUnderOneID(t *testing.T) { // DELIVERY 24
	v := newVault()
	f := scored(5, "a", "b", "c")
	f.Routes = []dispatch.Routed{{Index: 1, Stream: "alerts"}}
	other := dead(6)
	other.Record.Partition = 3
	settle(t, whole(v, nil), ticketed(f), ticketed(other), ticketed(scored(7)))
	equal(t, "fates", v.told(), []string{
		"flights/score-stream:i9:2:5: est=a alerts=b est=c",
		"flights/score-stream:i9:2:3-6: dead=the event",
		"flights/score-stream:i9:2:7:",
	})
	out := messaging.Outgoing{Record: v.fates["flights/score-stream:i9:2:5"][1].Record}
	equal(t, "source", header(&out, dispatch.HeaderSource), "departures/0/5")
	equal(t, "key", string(out.Key), "UA1")
	out = messaging.Outgoing{Record: v.fates["flights/score-stream:i9:2:3-6"][0].Record}
	equal(t, "code", header(&out, dispatch.HeaderCode), "raised")
}

func TestTheFirstFateOfAnEventStaysWhateverTheSecondComesTo(t *testing.T) { // DELIVERY 24
	v := newVault()
	o := whole(v, nil)
	settle(t, o, ticketed(scored(5, "a")), ticketed(dead(6)))
	settle(t, o, ticketed(dead(5)), ticketed(scored(6, "b", "c")))
	equal(t, "fates", v.told(), []string{"flights/score-stream:i9:2:5: est=a", "flights/score-stream:i9:2:6: dead=the event"})
	o.SetGeneration(3)
	settle(t, o, ticketed(scored(5, "again")))
	equal(t, "after a seek", v.told()[2], "flights/score-stream:i9:3:5: est=again")
}

func TestAnEventWithAnOutputThatCannotBeStoredHasNoneOfThemStored(t *testing.T) {
	v := newVault()
	v.refuse = func(r *messaging.FateRecord) bool { return string(r.Value) == "huge" }
	astray := ticketed(scored(7, "x", "y"))
	astray.Routes = []dispatch.Routed{{Index: 1, Stream: "nowhere"}}
	refused := settle(t, whole(v, nil), ticketed(scored(5, "a", "huge")), ticketed(scored(6, "b")), astray)
	equal(t, "fates", v.told(), []string{"flights/score-stream:i9:2:6: est=b"})
	equal(t, "refused", fmt.Sprint(refused[0].Index, refused[0].Code, refused[1].Index, refused[1].Code), "0output_refused2unknown_stream")
}

func TestALetterOfAFateThatDoesNotFitIsMadeSmaller(t *testing.T) { // DELIVERY 18
	v, counts := newVault(), &dispatch.SinkCounts{}
	v.refuse = func(r *messaging.FateRecord) bool {
		o := messaging.Outgoing{Record: r.Record}
		return string(r.Value) == "the event" || header(&o, dispatch.HeaderReason) == "never"
	}
	never := ticketed(dead(6))
	never.Reason = "never"
	settle(t, whole(v, func(c *dispatch.StreamConfig) { c.Counts, c.DropDead = counts, true }), ticketed(dead(5)), never)
	if got := v.told(); len(got) != 2 || !strings.Contains(got[0], "left out") || !strings.HasSuffix(got[1], ":6:") {
		t.Fatalf("stored: %q", got)
	}
	equal(t, "counts", fmt.Sprint(counts.WithoutPayload.Load(), counts.Dropped.Load()), "1 1")
}

func TestFatesAreTriedAgainUntilAllAreStoredOnce(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	v := newVault()
	v.flaky = func() (bool, bool) { return rng.IntN(10) == 0, rng.IntN(10) == 0 }
	var fates []dispatch.Fate
	for i := range int64(200) {
		fates = append(fates, ticketed(scored(i, fmt.Sprint(i), "x")))
	}
	settle(t, whole(v, nil), fates...)
	if len(v.order) != 200 || len(v.repeated) == 0 {
		t.Fatalf("%d fates, %d repeated", len(v.order), len(v.repeated))
	}
}

// inSequence is a route whose fates go to a vault.
func inSequence(t *testing.T, log *dispatchtest.Log, v *vault, mark dispatch.Mark) *rig {
	return start(t, log, func(g *dispatch.Config) {
		g.Outlet = dispatch.NewStreamOutlet(dispatch.StreamConfig{Program: "p", Command: "c", Fates: v,
			Main: dispatch.Target{Stream: "out", Topic: "out"}, Dead: dispatch.Target{Stream: "in.dead", Topic: "dead"}})
		g.Sequenced, g.Order, g.Mark = true, delivery.Unordered, mark
	})
}

func TestNoFateIsStoredBeforeThoseOfTheEventsInFrontOfIt(t *testing.T) {
	log := dispatchtest.NewLog(2_000, 2, 50, false)
	v := newVault()
	r := inSequence(t, log, v, nil)
	stuck := make(chan struct{})
	dispatchtest.Hire(r, "w", 1, dispatchtest.Echo)
	dispatchtest.Hire(r, "v", 2, func(w *dispatchtest.Worker, b *wire.Batch) *wire.Result {
		<-stuck
		return dispatchtest.Echo(w, b)
	})
	r.until("one worker is stuck and the other has done the rest", func() bool {
		s := r.Status()
		return s.Queued == 0 && s.In == 2_000 && s.InFlight <= 1024
	})
	v.mu.Lock()
	stored := len(v.order)
	v.mu.Unlock()
	if done := log.Committed(); stored >= 2_000 || done > stored {
		t.Fatalf("%d stored, %d committed", stored, done)
	}
	close(stuck)
	r.until("all is committed", func() bool { return log.Committed() == 2_000 })
	next := map[string]int{}
	for _, id := range v.order {
		var offset int
		at, name := id[strings.LastIndex(id, ":")+1:], "0"
		if p, o, ok := strings.Cut(at, "-"); ok {
			name, at = p, o
		}
		fmt.Sscan(at, &offset)
		if offset != next[name] {
			t.Fatalf("%s was stored, %d of partition %s is next", id, next[name], name)
		}
		next[name]++
	}
}

func TestAFateThatIsRefusedBecomesALetterInItsPlace(t *testing.T) {
	log := dispatchtest.NewLog(1_000, 1, 1, false)
	v := newVault()
	v.refuse = func(r *messaging.FateRecord) bool { return strings.HasPrefix(string(r.Value), "f 0/40.") }
	r := inSequence(t, log, v, nil)
	dispatchtest.Hire(r, "w", 1, dispatchtest.Echo)
	r.until("all is committed", func() bool { return log.Committed() == 1_000 })
	if got := v.fates["p/c::0:40"]; len(v.order) != 1_000 || len(got) != 1 || got[0].Topic != "dead" {
		t.Fatalf("%d fates, that of 40 is %v", len(v.order), got)
	}
	if s := r.Status(); s.Dead != 1 || s.Scored != 999 {
		t.Fatalf("%d scored, %d dead", s.Scored, s.Dead)
	}
}

// A flag is a mark that is looked at.
type flag struct {
	mu    sync.Mutex
	up    bool
	times int
}

func (f *flag) Set() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.up = true
	f.times++
	return nil
}

func (f *flag) Clear() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.up = false
	return nil
}

func (f *flag) isUp() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.up
}

func TestAMarkIsUpFromBeforeTheFirstStoredFateUntilAllAreCommitted(t *testing.T) { // T34
	log := dispatchtest.NewLog(0, 1, 1, false)
	v, f := newVault(), &flag{}
	v.refuse = func(*messaging.FateRecord) bool {
		if !f.isUp() {
			t.Error("a fate is stored without the mark")
		}
		return false
	}
	r := inSequence(t, log, v, f)
	dispatchtest.Hire(r, "w", 1, dispatchtest.Echo)
	log.Append(3_000, 1, 1)
	r.until("all is committed", func() bool { return log.Committed() == 3_000 })
	r.until("the mark is down", func() bool { return !f.isUp() })
	log.Append(10, 1, 1)
	r.until("the rest is committed", func() bool { return log.Committed() == 3_010 })
	r.until("a drain", func() bool { return r.Drain(context.Background()) == nil })
	if f.isUp() || f.times > 20 {
		t.Fatalf("after an orderly end the mark is up: %v, set %d times", f.up, f.times)
	}
}
