package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tinylib/msgp/msgp"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/messaging/messagingtest"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// fakeRoute reads departures as the group flights/NAME, and notes what is done to it.
type fakeRoute struct {
	name, input string
	paused      bool
	deeds       []string
	slow        bool  // its events do not end
	fixed       error // why it cannot be moved
}

func (r *fakeRoute) Command() string { return r.name }
func (r *fakeRoute) Input() string   { return r.input }
func (r *fakeRoute) Group() string   { return "flights/" + r.name }
func (r *fakeRoute) Paused() bool    { return r.paused }
func (r *fakeRoute) Movable() error  { return r.fixed }
func (r *fakeRoute) Resume()         { r.do("resume"); r.paused = false }

func (r *fakeRoute) Pause(ctx context.Context) error {
	r.do("pause")
	r.paused = true
	if r.slow {
		<-ctx.Done()
	}
	return nil
}

func (r *fakeRoute) Keep(paused bool) error {
	r.do(fmt.Sprint("keep ", paused))
	return nil
}

func (r *fakeRoute) Moved(context.Context) error {
	r.do("moved")
	return nil
}

func (r *fakeRoute) Record(context.Context, dispatch.RecordConfig) (*dispatch.Recording, error) {
	return nil, dispatch.ErrRecording
}

func (r *fakeRoute) do(deed string) { r.deeds = append(r.deeds, deed) }

func (r *fakeRoute) did(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(r.deeds, want) {
		t.Errorf("%s did %q, want %q", r.name, r.deeds, want)
	}
	r.deeds = nil
}

// operated is a fixture with commands at work, whose group has read ten events of departures.
func operated(t *testing.T, routes ...*fakeRoute) *fixture {
	t.Helper()
	f := newFixture(t, "memory:")
	f.c.Routes = func() (all []Route) {
		for _, r := range routes {
			all = append(all, r)
		}
		return all
	}
	return f
}

// settle publishes n events to departures and has a group settle them all.
func (f *fixture) settle(group string, n int) {
	f.Helper()
	ctx := context.Background()
	var events list
	for i := range n {
		events = append(events, list{fmt.Sprint(i), fmt.Sprint("key-", i), nil, int64(i + 1)})
	}
	f.ask("publish", "departures", events)
	source, err := f.conn.Source(ctx, messaging.SourceConfig{Topic: "topic-of-departures", Group: group})
	if err != nil {
		f.Fatal(err)
	}
	defer source.Close(ctx)
	for read := 0; read < n; {
		records, err := source.Read(ctx, messaging.Limit{Events: 100, Bytes: 1 << 20})
		if err != nil {
			f.Fatal(err)
		}
		read += len(records)
		for _, r := range records {
			if err := source.Commit(ctx, []messaging.Position{{Partition: r.Partition, Offset: r.Offset}}); err != nil {
				f.Fatal(err)
			}
		}
	}
}

func TestAStreamIsPausedAndResumedByItsNameOrByItsCommands(t *testing.T) {
	one, two, other := &fakeRoute{name: "score-stream", input: "departures"}, &fakeRoute{name: "watch", input: "departures"}, &fakeRoute{name: "late", input: "arrivals"}
	f := operated(t, one, two, other)
	if got := fmt.Sprint(f.ask("pause", "departures")); got != "[[score-stream departures false] [watch departures false]]" {
		t.Errorf("pause: %s", got)
	}
	one.did(t, "keep true", "pause")
	two.did(t, "keep true", "pause")
	other.did(t)
	if got := fmt.Sprint(f.ask("pause", "watch")); got != "[[watch departures true]]" {
		t.Errorf("pause again: %s", got)
	}
	if got := fmt.Sprint(f.ask("resume", "score-stream")); got != "[[score-stream departures true]]" {
		t.Errorf("resume: %s", got)
	}
	one.did(t, "keep false", "resume")
	f.refuses("unknown_stream", `no command that is or reads "departure". It knows: score-stream, departures, watch, late, arrivals. Did you mean departures?`,
		"pause", "departure")
}

func TestAPauseWhoseEventsDoNotEndStillAnswers(t *testing.T) {
	f := operated(t, &fakeRoute{name: "score-stream", input: "departures", slow: true})
	if got := fmt.Sprint(f.askWithin(pauseTime+50*time.Millisecond, "pause", "departures")); got != "[[score-stream departures false]]" {
		t.Errorf("pause: %s", got)
	}
}

func TestADrySeekSaysWhatItWouldDoAndStopsNobody(t *testing.T) {
	r := &fakeRoute{name: "score-stream", input: "departures"}
	f := operated(t, r)
	f.settle(r.Group(), 10)
	for _, c := range []struct {
		to   list
		want string
	}{
		{list{"oldest"}, "[score-stream false [[0 10 0 10]]]"},
		{list{"newest"}, "[score-stream false [[0 10 10 10]]]"},
		{list{"offset", 4, -1}, "[score-stream false [[0 10 4 10]]]"},
		{list{"offset", 99, 0}, "[score-stream false [[0 10 10 10]]]"},
		{list{"time", 8}, "[score-stream false [[0 10 7 10]]]"},
	} {
		if got := fmt.Sprint(f.ask("seek", "departures", "", c.to, true)); got != c.want {
			t.Errorf("to %v: %s, want %s", c.to, got, c.want)
		}
	}
	r.did(t)
}

func TestASeekPausesMovesAndResumes(t *testing.T) {
	r := &fakeRoute{name: "score-stream", input: "departures"}
	f := operated(t, r)
	f.settle(r.Group(), 10)
	f.ask("seek", "departures", "score-stream", list{"offset", 4, 0}, false)
	r.did(t, "pause", "moved", "resume")
	if got := fmt.Sprint(f.ask("seek", "departures", "", list{"oldest"}, true)); got != "[score-stream false [[0 4 0 10]]]" {
		t.Errorf("afterwards: %s", got)
	}
	n, err := f.conn.(messaging.Seeker).Generation(context.Background(), "topic-of-departures", r.Group())
	if n != 1 || err != nil {
		t.Errorf("generation %d, %v", n, err)
	}
}

func TestWhatThePersonPausedStaysPausedAfterASeek(t *testing.T) {
	r := &fakeRoute{name: "score-stream", input: "departures", paused: true}
	f := operated(t, r)
	f.settle(r.Group(), 3)
	if got := fmt.Sprint(f.ask("seek", "departures", "", list{"oldest"}, false)); got != "[score-stream true [[0 3 0 3]]]" {
		t.Errorf("seek: %s", got)
	}
	r.did(t, "moved")
}

func TestASeekMovesNothingWhileEventsAreAtWork(t *testing.T) {
	r := &fakeRoute{name: "score-stream", input: "departures", slow: true}
	f := operated(t, r)
	f.settle(r.Group(), 3)
	_, err := f.callWithin(pauseTime+50*time.Millisecond, "seek", "departures", "", list{"oldest"}, false)
	var refused *wire.CallError
	if !errors.As(err, &refused) || refused.Code != "busy" || !strings.Contains(refused.Reason, "ds-runner pause score-stream") {
		t.Fatalf("got %v", err)
	}
	r.did(t, "pause", "resume")
	if got := fmt.Sprint(f.ask("seek", "departures", "", list{"oldest"}, true)); got != "[score-stream false [[0 3 0 3]]]" {
		t.Errorf("afterwards: %s", got)
	}
}

func TestSeeksThatCannotBeAreRefusedBeforeAnythingStops(t *testing.T) {
	one, two := &fakeRoute{name: "score-stream", input: "departures"}, &fakeRoute{name: "watch", input: "departures"}
	fixed := &fakeRoute{name: "late", input: "estimates", fixed: errors.New("its positions are kept with its outputs")}
	f := operated(t, one, two, fixed)
	f.settle(one.Group(), 3)
	f.refuses("bad_arguments", "departures is read by score-stream, watch, each from its own position: name one with --command",
		"seek", "departures", "", list{"oldest"}, false)
	f.refuses("bad_arguments", `departures is not read by "wotch". These read it: score-stream, watch. Did you mean watch?`,
		"seek", "departures", "wotch", list{"oldest"}, false)
	f.refuses("not_supported", "late: its positions are kept with its outputs", "seek", "late", "", list{"oldest"}, false)
	f.refuses("bad_arguments", `expected oldest, newest, offset or time, got "noon"`, "seek", "departures", "watch", list{"noon"}, false)
	f.refuses("bad_arguments", "partition is missing", "seek", "departures", "watch", list{"offset", 1}, false)
	f.refuses("bad_arguments", "dry: expected a bool", "seek", "departures", "watch", list{"oldest"}, 1)
	f.refuses("bad_arguments", "departures has no partition 7. It has: 0", "seek", "departures", "watch", list{"offset", 1, 7}, false)
	whole := f.conn
	f.conn = struct{ messaging.Connection }{whole}
	f.refuses("not_supported", "positions on departures cannot be moved", "seek", "departures", "watch", list{"oldest"}, false)
	one.did(t)
	two.did(t)
}

func TestASeekMovesEveryPartitionOrTheOneThatIsNamed(t *testing.T) {
	r := &fakeRoute{name: "score-stream", input: "departures"}
	f := operated(t, r)
	f.conn = messagingtest.Partitions(f.conn, 3)
	f.settle(r.Group(), 30)
	moves := f.ask("seek", "departures", "", list{"oldest"}, true).(list)[2].(list)
	ends := map[int64]int64{}
	for i, m := range moves {
		move := m.(list)
		if move[0].(int64) != int64(i) || move[1] != move[3] || move[2].(int64) != 0 {
			t.Fatalf("moves %v", moves)
		}
		ends[move[0].(int64)] = move[3].(int64)
	}
	if len(ends) != 3 || ends[0]+ends[1]+ends[2] != 30 {
		t.Fatalf("ends %v", ends)
	}
	got := fmt.Sprint(f.ask("seek", "departures", "", list{"offset", 1, 2}, true))
	if want := fmt.Sprintf("[score-stream false [[2 %d 1 %d]]]", ends[2], ends[2]); got != want {
		t.Fatalf("partition 2 alone: %s, want %s", got, want)
	}
}

func TestLettersOfSeveralPartitionsAreNumberedReplayedAndDropped(t *testing.T) {
	f := newFixture(t, "memory:")
	f.conn = messagingtest.Partitions(f.conn, 3)
	var all []messaging.Record
	for i := range 30 {
		e := event(fmt.Sprint(i))
		e.Key = fmt.Append(nil, "key-", i)
		all = append(all, e)
	}
	f.die("departures.dead", all...)
	if got := fmt.Sprint(f.ask("dead.list")); got != "[[departures.dead departures 30 5 5 [invalid_event 30]]]" {
		t.Errorf("list: %s", got)
	}
	var places list
	for n := 1; n <= 30; n++ { // the number of a letter is the same as often as it is asked
		first, again := f.ask("dead.show", "departures", n).(list), f.ask("dead.show", "departures", n).(list)
		if fmt.Sprint(first) != fmt.Sprint(again) {
			t.Fatalf("number %d is %v and %v", n, first, again)
		}
		places = append(places, list{first[0], first[1]})
	}
	for i := 1; i < len(places); i++ {
		before, here := places[i-1].(list), places[i].(list)
		if before[0].(int64) > here[0].(int64) || before[0] == here[0] && before[1].(int64) >= here[1].(int64) {
			t.Fatalf("number %d is at %v, behind %v", i+1, here, before)
		}
	}
	if n := len(f.ask("dead.replay", "departures", places[5:25]).(list)[0].(list)); n != 20 {
		t.Fatalf("%d replayed", n)
	}
	f.ask("dead.drop", "departures", places[:5])
	if back, left := len(f.tail("departures")), len(f.tail("departures.dead")); back != 20 || left != 5 {
		t.Fatalf("%d back, %d left", back, left)
	}
}

// askWithin is ask with the time that a caller gives.
func (f *fixture) askWithin(time time.Duration, method string, args ...any) any {
	f.Helper()
	v, err := f.callWithin(time, method, args...)
	if err != nil {
		f.Fatalf("%s: %v", method, err)
	}
	return v
}

func (f *fixture) callWithin(time time.Duration, method string, args ...any) (any, error) {
	f.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time)
	defer cancel()
	raw, err := msgp.AppendIntf(nil, args)
	if err != nil {
		f.Fatal(err)
	}
	answer, err := f.Handle(ctx, &wire.Hello{}, &wire.Call{Method: method, Args: raw})
	if err != nil {
		return nil, err
	}
	value, _, err := msgp.ReadIntfBytes(answer)
	return value, err
}
