package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// A shelf is a sink that keeps copies, and refuses by plan.
type shelf struct {
	records []messaging.Outgoing
	dedup   bool
	refuse  func(r *messaging.Outgoing) bool // for good
	down    int                              // writes that fail
	flaky   map[int]bool                     // indexes of the first write that fail for now
	writes  int
}

func (s *shelf) Write(_ context.Context, records []messaging.Outgoing) error {
	s.writes++
	if s.down > 0 {
		s.down--
		return errors.New("connection refused")
	}
	var failed []messaging.WriteFailure
	for i := range records {
		switch {
		case s.refuse != nil && s.refuse(&records[i]):
			failed = append(failed, messaging.WriteFailure{Index: i, Permanent: true, Err: errors.New("too large")})
		case s.writes == 1 && s.flaky[i]:
			failed = append(failed, messaging.WriteFailure{Index: i, Err: errors.New("timeout")})
		default:
			s.records = append(s.records, copyOf(&records[i]))
		}
	}
	if failed != nil {
		return &messaging.WriteError{Failed: failed}
	}
	return nil
}

func copyOf(r *messaging.Outgoing) messaging.Outgoing {
	c := *r
	c.Value = append([]byte(nil), r.Value...)
	c.Headers = nil
	for _, h := range r.Headers {
		c.Headers = append(c.Headers, messaging.Header{Name: h.Name, Value: append([]byte(nil), h.Value...)})
	}
	return c
}

func (s *shelf) Info() messaging.SinkInfo    { return messaging.SinkInfo{Deduplicates: s.dedup} }
func (s *shelf) Close(context.Context) error { return nil }

func (s *shelf) values() (all []string) {
	for _, r := range s.records {
		all = append(all, string(r.Value))
	}
	return all
}

func header(r *messaging.Outgoing, name string) string {
	for _, h := range r.Headers {
		if h.Name == name {
			return string(h.Value)
		}
	}
	return "(none)"
}

func scored(offset int64, outputs ...string) dispatch.Fate {
	f := dispatch.Fate{Kind: dispatch.Scored, Stream: "departures", Model: "3", Attempts: 1,
		Record: &messaging.Record{Key: []byte("UA1"), Value: []byte("{}"), Offset: offset}}
	for _, o := range outputs {
		f.Outputs = append(f.Outputs, []byte(o))
	}
	return f
}

func dead(offset int64) dispatch.Fate {
	f := scored(offset)
	f.Kind, f.Code, f.Reason, f.Detail, f.Attempts = dispatch.Dead, "raised", "ValueError: no", []byte(`{"a":1}`), 2
	f.Record.Headers = []messaging.Header{{Name: "trace", Value: []byte("t1")}}
	f.Record.Value, f.Record.Time = []byte("the event"), 77
	return f
}

type shelves struct{ main, other, dead, rejected shelf }

func (s *shelves) outlet(with func(*dispatch.StreamConfig)) *dispatch.StreamOutlet {
	c := dispatch.StreamConfig{
		Program: "flights", Command: "score-stream", Incarnation: "i9", Generation: 2,
		Main: dispatch.Target{Stream: "estimates", Sink: &s.main}, Dead: dispatch.Target{Stream: "departures.dead", Sink: &s.dead},
		Routed: map[string]dispatch.Target{"alerts": {Stream: "alerts", Sink: &s.other}},
		Now:    func() time.Time { return time.Unix(0, 5) },
	}
	if with != nil {
		with(&c)
	}
	return dispatch.NewStreamOutlet(c)
}

func settle(t *testing.T, o dispatch.Outlet, fates ...dispatch.Fate) []dispatch.Refusal {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	refused, err := o.Settle(ctx, fates)
	if err != nil {
		t.Fatal(err)
	}
	return refused
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: got %v, wants %v", what, got, want)
	}
}

func TestAnOutputCarriesItsEventsKeyAndWhereItComesFrom(t *testing.T) { // DELIVERY 7
	var s shelves
	settle(t, s.outlet(nil), scored(17, "a", "b"))
	r := &s.main.records[1]
	equal(t, "value", string(r.Value), "b")
	equal(t, "key", string(r.Key), "UA1")
	equal(t, "source", header(r, "ds-source"), "departures/0/17")
	equal(t, "model", header(r, "ds-model"), "3")
	equal(t, "id, which this sink has no use for", r.ID, "")
}

func TestMessageIDsNameProgramOutputIncarnationGenerationSequenceAndIndex(t *testing.T) { // DELIVERY 23
	s := shelves{main: shelf{dedup: true}, other: shelf{dedup: true}, dead: shelf{dedup: true}}
	o := s.outlet(nil)
	f := scored(17, "a", "b", "c")
	f.Routes = []dispatch.Routed{{Index: 1, Stream: "alerts"}}
	part := scored(17, "d")
	part.Record.Partition = 3
	for range 2 {
		settle(t, o, f, part, dead(18))
	}
	var ids []string
	for _, r := range s.main.records {
		ids = append(ids, r.ID)
	}
	equal(t, "ids", ids[:3], []string{"flights/score-stream/estimates:i9:2:17:0", "flights/score-stream/estimates:i9:2:17:2",
		"flights/score-stream/estimates:i9:2:3-17:0"})
	equal(t, "ids of the second time", ids[3:], ids[:3])
	equal(t, "routed", s.other.records[0].ID, "flights/score-stream/alerts:i9:2:17:1")
	equal(t, "dead", s.dead.records[0].ID, "flights/score-stream/departures.dead:i9:2:18:0")
}

func TestT46AnotherGenerationIsInAllMessageIDsFromThenOn(t *testing.T) {
	s := shelves{main: shelf{dedup: true}, dead: shelf{dedup: true}}
	o := s.outlet(nil)
	settle(t, o, scored(17, "a"), dead(18))
	o.SetGeneration(3)
	settle(t, o, scored(17, "a"), dead(18))
	equal(t, "the output before", s.main.records[0].ID, "flights/score-stream/estimates:i9:2:17:0")
	equal(t, "the output again", s.main.records[1].ID, "flights/score-stream/estimates:i9:3:17:0")
	equal(t, "the letter before", s.dead.records[0].ID, "flights/score-stream/departures.dead:i9:2:18:0")
	equal(t, "the letter again", s.dead.records[1].ID, "flights/score-stream/departures.dead:i9:3:18:0")
}

func TestARoutedOutputGoesToItsStreamAndTheOthersToTheMainOne(t *testing.T) {
	var s shelves
	f := scored(1, "a", "b", "c")
	f.Routes = []dispatch.Routed{{Index: 1, Stream: "alerts"}}
	settle(t, s.outlet(nil), f, scored(2, "d"))
	equal(t, "main", s.main.values(), "[a c d]")
	equal(t, "alerts", s.other.values(), "[b]")
}

func TestARouteToAStreamThatIsNotDeclaredIsRefused(t *testing.T) {
	var s shelves
	f := scored(1, "a")
	f.Routes = []dispatch.Routed{{Index: 0, Stream: "typo"}}
	refused := settle(t, s.outlet(nil), scored(0, "x"), f)
	equal(t, "refused", len(refused), 1)
	equal(t, "index", refused[0].Index, 1)
	equal(t, "code", refused[0].Code, "unknown_stream")
}

func TestT10AnOutputThatTheSinkRefusesForGoodIsRefusedAndItsNeighboursAreStored(t *testing.T) {
	var s shelves
	s.main.refuse = func(r *messaging.Outgoing) bool { return len(r.Value) > 5 }
	refused := settle(t, s.outlet(nil), scored(0, "a"), scored(1, "much too large", "also too large"), scored(2, "c"))
	equal(t, "stored", s.main.values(), "[a c]")
	equal(t, "refused", refused, "[{1 output_refused estimates refused an output: too large}]")
}

func TestWhatMayPassIsTriedAgainWithoutWritingTheRestTwice(t *testing.T) {
	var s shelves
	s.main.flaky = map[int]bool{1: true}
	settle(t, s.outlet(nil), scored(0, "a"), scored(1, "b"), scored(2, "c"))
	equal(t, "stored", s.main.values(), "[a c b]")
}

func TestASinkThatIsDownIsWaitedFor(t *testing.T) {
	var s shelves
	var counts dispatch.SinkCounts
	s.main.down = 3
	settle(t, s.outlet(func(c *dispatch.StreamConfig) { c.Counts = &counts }), scored(0, "a"))
	equal(t, "stored", s.main.values(), "[a]")
	equal(t, "retries", counts.Retries.Load(), 3)
}

func TestWaitingForASinkEndsWithTheContext(t *testing.T) {
	var s shelves
	s.main.down = 1 << 30
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := s.outlet(nil).Settle(ctx, []dispatch.Fate{scored(0, "a")}); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
}

func TestADeadLetterHoldsTheEventAndWhyItIsDead(t *testing.T) { // DELIVERY 19
	var s shelves
	settle(t, s.outlet(nil), dead(9))
	r := &s.dead.records[0]
	equal(t, "value, key, time", []any{string(r.Value), string(r.Key), r.Time}, "[the event UA1 77]")
	for name, want := range map[string]string{
		"trace": "t1", "ds-error-code": "raised", "ds-error-reason": "ValueError: no", "ds-error-detail": `{"a":1}`,
		"ds-attempts": "2", "ds-source": "departures/0/9", "ds-model": "3", "ds-time": "1970-01-01T00:00:00.000000005Z",
		"__connect.errors.topic": "departures", "__connect.errors.partition": "0", "__connect.errors.offset": "9",
		"__connect.errors.exception.message": "ValueError: no",
	} {
		equal(t, name, header(r, name), want)
	}
}

func TestARejectedEventGoesToItsStreamWhereThereIsOne(t *testing.T) {
	var s shelves
	f := dead(1)
	f.Kind = dispatch.Rejected
	settle(t, s.outlet(nil), f)
	equal(t, "dead", len(s.dead.records), 0)
	settle(t, s.outlet(func(c *dispatch.StreamConfig) {
		c.Rejected = dispatch.Target{Stream: "departures.rejected", Sink: &s.rejected}
	}), f)
	equal(t, "rejected", s.rejected.values(), "[the event]")
}

func TestADeadLetterThatDoesNotFitLosesItsHeadersThenItsPayload(t *testing.T) { // DELIVERY 18
	var s shelves
	var counts dispatch.SinkCounts
	o := s.outlet(func(c *dispatch.StreamConfig) { c.Counts = &counts })
	s.dead.refuse = func(r *messaging.Outgoing) bool { return header(r, "trace") != "(none)" }
	settle(t, o, dead(1))
	equal(t, "value", s.dead.values(), "[the event]")
	equal(t, "without headers", counts.WithoutHeaders.Load(), 1)
	s.dead.refuse = func(r *messaging.Outgoing) bool { return string(r.Value) == "the event" }
	settle(t, o, dead(2))
	equal(t, "value", strings.Contains(s.dead.values()[1], `"source":"departures/0/2"`), true)
	equal(t, "reason", header(&s.dead.records[1], "ds-error-reason"), "ValueError: no")
	equal(t, "without payload", counts.WithoutPayload.Load(), 1)
}

func TestADeadLetterThatIsRefusedInEveryFormBlocksOrIsDropped(t *testing.T) { // DELIVERY 18
	var s shelves
	var counts dispatch.SinkCounts
	refused := 0
	s.dead.refuse = func(*messaging.Outgoing) bool { refused++; return refused <= 5 }
	settle(t, s.outlet(nil), dead(1))
	equal(t, "stored in the end", len(s.dead.records), 1)
	s.dead.refuse = func(*messaging.Outgoing) bool { return true }
	settle(t, s.outlet(func(c *dispatch.StreamConfig) { c.DropDead, c.Counts = true, &counts }), dead(2))
	equal(t, "dropped", counts.Dropped.Load(), 1)
}

func TestT11NothingIsCommittedPastAPoisonWhileTheDeadLetterSinkIsDown(t *testing.T) {
	log, s := newPoisoned(t), &shelves{}
	s.dead.down = 4
	r := start(t, log.Log, func(c *dispatch.Config) {
		c.Bounded, c.Attempts, c.Outlet = true, 1, s.outlet(nil)
	})
	log.hire(r)
	r.until("the sink is tried", func() bool { return r.Status().Unsettled > 0 })
	if n := log.Committed(); n > log.poison {
		t.Fatalf("%d committed, the poison is event %d", n, log.poison)
	}
	r.ok()
	equal(t, "dead", len(s.dead.records), 1)
	equal(t, "scored", len(s.main.records), log.n-1)
	equal(t, "committed", log.Committed(), log.n)
}
