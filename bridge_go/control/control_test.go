package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/tinylib/msgp/msgp"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
	_ "ds-runner.dev/ds-runner/bridge_go/messaging/file"
	_ "ds-runner.dev/ds-runner/bridge_go/messaging/memory"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// fixture is a program with two streams, dead letters of one, and a connection that all are on.
type fixture struct {
	*testing.T
	*Control
	conn    messaging.Connection
	drained int
}

func (f *fixture) Names() []string { return []string{"departures", "estimates", "departures.dead"} }
func (f *fixture) DeadLetters() map[string]string {
	return map[string]string{"departures.dead": "departures"}
}
func (f *fixture) OpenJSON(ctx context.Context, name string) (messaging.Connection, string, error) {
	return f.Open(ctx, name)
}

func (f *fixture) Open(_ context.Context, name string) (messaging.Connection, string, error) {
	return f.conn, "topic-of-" + name + f.suffix(), nil
}

func (f *fixture) suffix() string {
	if strings.Contains(f.Name(), "File") {
		return ".records.jsonl"
	}
	return ""
}

func newFixture(t *testing.T, url string) *fixture {
	t.Helper()
	conn, err := messaging.Open(context.Background(), messaging.Options{URL: url, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	f := &fixture{T: t, conn: conn}
	f.Control = New(Config{Streams: f, Status: func() any { return map[string]int{"in": 7} }, Drain: func() { f.drained++ }, Routes: func() []Route { return nil },
		Log: slog.New(slog.DiscardHandler)})
	return f
}

// call makes msgpack of the arguments and a value of the answer.
func (f *fixture) call(method string, args ...any) (any, error) {
	f.Helper()
	raw, err := msgp.AppendIntf(nil, args)
	if err != nil {
		f.Fatal(err)
	}
	if args == nil {
		raw = msgp.AppendArrayHeader(nil, 0)
	}
	answer, err := f.Handle(context.Background(), &wire.Hello{}, &wire.Call{Method: method, Args: raw})
	if err != nil || answer == nil {
		return nil, err
	}
	value, rest, err := msgp.ReadIntfBytes(answer)
	if err != nil || len(rest) > 0 {
		f.Fatalf("%s answered %x, %v", method, answer, err)
	}
	return value, nil
}

func (f *fixture) ask(method string, args ...any) any {
	f.Helper()
	v, err := f.call(method, args...)
	if err != nil {
		f.Fatalf("%s: %v", method, err)
	}
	return v
}

func (f *fixture) refuses(code, reason, method string, args ...any) {
	f.Helper()
	_, err := f.call(method, args...)
	var refused *wire.CallError
	if !errors.As(err, &refused) || refused.Code != code || !strings.Contains(refused.Reason, reason) {
		f.Errorf("%s%v: got %v, want %s: ...%s...", method, args, err, code, reason)
	}
}

type list = []any

func (f *fixture) tail(stream string) list {
	f.Helper()
	return f.ask("tail", stream, "", 1000, 0).(list)[0].(list)
}

// values are those of records, as text.
func values(records list) (all []string) {
	for _, r := range records {
		all = append(all, fmt.Sprintf("%s", r.(list)[4]))
	}
	return all
}

// die writes dead letters as the dispatcher does.
func (f *fixture) die(stream string, events ...messaging.Record) {
	f.Helper()
	var all []messaging.Outgoing
	for i, r := range events {
		r.Headers = append(r.Headers,
			messaging.Header{Name: dispatch.HeaderCode, Value: []byte("invalid_event")},
			messaging.Header{Name: dispatch.HeaderReason, Value: []byte("no carrier")},
			messaging.Header{Name: dispatch.HeaderSource, Value: fmt.Appendf(nil, "departures/0/%d", i)})
		all = append(all, messaging.Outgoing{Record: r})
	}
	s, err := f.stream(context.Background(), stream)
	if err == nil {
		err = s.write(context.Background(), all)
	}
	if err != nil {
		f.Fatal(err)
	}
}

func event(v string, headers ...messaging.Header) messaging.Record {
	return messaging.Record{Value: []byte(v), Key: []byte("k"), Time: 5, Headers: headers}
}

func TestWhatIsPublishedIsTailed(t *testing.T) {
	f := newFixture(t, "memory:")
	f.ask("publish", "departures", list{
		list{[]byte("a")}, list{"b", "k", list{"h", []byte("1"), "h", nil}, 17}, list{nil, nil, nil, nil}})
	got := f.tail("departures")
	for i, want := range []string{"[0 0 TIME <nil> [97] []]", "[0 1 17 [107] [98] [h [49] h <nil>]]", "[0 2 TIME <nil> <nil> []]"} {
		r := got[i].(list)
		if i != 1 {
			r[2] = "TIME"
		}
		if text := fmt.Sprint(r); text != want {
			t.Errorf("record %d: %s, want %s", i, text, want)
		}
	}
	page := f.ask("tail", "departures", "0:1", 1, 0).(list)
	if fmt.Sprint(values(page[0].(list)), page[1]) != "[b]0:2" {
		t.Errorf("a page: %v", page)
	}
	if end := f.ask("tail", "departures", "end", 0, 0).(list); fmt.Sprint(end) != "[[] 0:3]" {
		t.Errorf("the end: %v", end)
	}
	if none := f.ask("tail", "departures", "0:3", 10, 1).(list); fmt.Sprint(none) != "[[] 0:3]" {
		t.Errorf("nothing new: %v", none)
	}
}

func TestAnAnswerIsKeptBelowTheFrameAndGoesOn(t *testing.T) {
	f := newFixture(t, "memory:")
	big := bytes.Repeat([]byte("x"), answerBytes/2-1000)
	f.ask("publish", "departures", list{list{big}, list{big}, list{big}, list{append(big, bytes.Repeat([]byte("x"), answerBytes)...)}})
	next := any("")
	for _, want := range []int{2, 1, 1, 0} {
		page := f.ask("tail", "departures", next, 100, 0).(list)
		if len(page[0].(list)) != want {
			t.Fatalf("from %v: %d records, want %d", next, len(page[0].(list)), want)
		}
		next = page[1]
	}
}

func TestMistakesAreNamed(t *testing.T) {
	f := newFixture(t, "memory:?max_value=10B")
	f.refuses("unknown_method", "Did you mean publish?", "publsh")
	f.refuses("unknown_stream", `no stream "departure". Declared: departures, estimates, departures.dead. Did you mean departures?`,
		"tail", "departure", "", 1, 0)
	f.refuses("bad_arguments", "publish: stream: expected a str, got int", "publish", 7, list{})
	f.refuses("bad_arguments", "records is missing", "publish", "departures")
	f.refuses("bad_arguments", "records: expected an array", "publish", "departures", "x")
	f.refuses("bad_arguments", "records[1]: expected an array", "publish", "departures", list{list{"a"}, "b"})
	f.refuses("bad_arguments", "value is missing", "publish", "departures", list{list{}})
	f.refuses("bad_arguments", "value: expected bin, str or nil, got int", "publish", "departures", list{list{7}})
	f.refuses("bad_arguments", "header value is missing", "publish", "departures", list{list{"a", nil, list{"h"}}})
	f.refuses("bad_arguments", "timestamp: expected an int", "publish", "departures", list{list{"a", nil, nil, -1}})
	f.refuses("bad_arguments", "1 values too many", "publish", "departures", list{list{"a", nil, nil, 1, 2}})
	f.refuses("bad_arguments", "1 values too many", "tail", "departures", "", 1, 0, 0)
	f.refuses("bad_arguments", "cursor: expected a str, got int", "tail", "departures", 7, 1, 0)
	f.refuses("bad_arguments", `"yesterday" is no place in a topic`, "tail", "departures", "yesterday", 1, 0)
	f.refuses("bad_arguments", "max: expected an int from 0 to 10000", "tail", "departures", "", 10001, 0)
	f.refuses("bad_arguments", "1 values too many", "status", 1)
	f.refuses("bad_arguments", "letters is empty", "dead.drop", "departures.dead", list{})
	f.refuses("bad_arguments", "letters[1]: expected an array", "dead.drop", "departures.dead", list{list{0, 1}, "x"})
	f.refuses("bad_arguments", "offset is missing", "dead.drop", "departures.dead", list{list{0}})
	f.refuses("unknown_stream", "estimates holds no dead letters. These do: departures.dead", "dead.show", "estimates", 1)
	f.refuses("no_letter", "holds 0 dead letters", "dead.show", "departures.dead", 1)
	f.refuses("write_refused", "1 of 3 records were refused, the others are stored. Record 1:", "publish", "departures",
		list{list{"a"}, list{"more than ten bytes"}, list{"c"}})
	if got := values(f.tail("departures")); !slices.Equal(got, []string{"a", "c"}) {
		t.Errorf("stored: %v", got)
	}
	if _, err := f.Handle(context.Background(), nil, &wire.Call{Method: "status", Args: []byte{0xc0}}); err == nil {
		t.Error("arguments that are no array were taken")
	}
}

func TestDeadLettersAreListedAndShown(t *testing.T) {
	f := newFixture(t, "memory:")
	f.die("departures.dead", event("1"), event("2"), event("3"))
	if got := fmt.Sprint(f.ask("dead.list")); got != "[[departures.dead departures 3 5 5 [invalid_event 3]]]" {
		t.Errorf("list: %s", got)
	}
	for _, name := range []string{"departures.dead", "departures"} {
		if got := f.ask("dead.show", name, 2).(list); string(got[4].([]byte)) != "2" || len(got[5].(list)) != 6 {
			t.Errorf("%s: %v", name, got)
		}
	}
	f.refuses("no_letter", "holds 3 dead letters, there is no number 4", "dead.show", "departures", 4)
}

func TestReplayedLettersAreTheEventsThatTheyWere(t *testing.T) {
	f := newFixture(t, "memory:")
	own := []messaging.Header{{Name: "trace", Value: []byte("7")}, {Name: dispatch.HeaderSource, Value: []byte("elsewhere/0/9")}}
	f.die("departures.dead", event("1", own...), event("2"), event("3"), event(`{"ds-note":"left out"}`))
	got := fmt.Sprint(f.ask("dead.replay", "departures.dead", list{list{0, 0}, list{0, 2}, list{0, 3}, list{0, 99}}))
	if got != "[[[0 0] [0 2]] false [[0 3 its payload is left out; the event itself stands at departures/0/3] [0 99 there is no such dead letter]]]" {
		t.Fatalf("answer: %s", got)
	}
	back := f.tail("departures")
	if v := values(back); !slices.Equal(v, []string{"1", "3"}) {
		t.Fatalf("back: %v", v)
	}
	if first := fmt.Sprint(back[0]); first != "[0 0 5 [107] [49] [trace [55] ds-source [101 108 115 101 119 104 101 114 101 47 48 47 57]]]" {
		t.Errorf("the event came back as %s", first)
	}
	if left := values(f.tail("departures.dead")); !slices.Equal(left, []string{"2", `{"ds-note":"left out"}`}) {
		t.Errorf("left: %v", left)
	}
	if got := fmt.Sprint(f.ask("dead.replay", "departures", list{})); !strings.HasPrefix(got, "[[[0 1]] false [[0 3 ") {
		t.Errorf("all: %s", got)
	}
}

func TestALetterThatWasPublishedAndNotDeletedIsPublishedOnce(t *testing.T) {
	f := newFixture(t, "memory:")
	f.die("departures.dead", event("1"))
	whole := f.conn
	f.conn = deaf{whole}
	f.refuses("failed", "published, but not deleted", "dead.replay", "departures.dead", list{})
	f.conn = whole
	f.ask("dead.replay", "departures.dead", list{})
	if v := values(f.tail("departures")); !slices.Equal(v, []string{"1"}) {
		t.Fatalf("back: %v", v)
	}
}

// deaf is a connection that dies before it deletes.
type deaf struct{ messaging.Connection }

func (deaf) Delete(context.Context, string, []messaging.Position) error { return errors.New("gone") }

func TestReplayWorksInPagesAndSendsAMultipleOfThem(t *testing.T) {
	f := newFixture(t, "memory:")
	var all []messaging.Record
	for i := range 2*page + 10 {
		all = append(all, event(fmt.Sprint(i)))
	}
	f.die("departures.dead", all...)
	if n := len(f.ask("dead.replay", "departures", list{}).(list)[0].(list)); n != len(all) {
		t.Fatalf("%d replayed", n)
	}
	if back, left := len(f.tail("departures")), len(f.tail("departures.dead")); back != len(all) || left != 0 {
		t.Fatalf("%d back, %d left", back, left)
	}
}

func TestInFileStreamsReplayedLettersAreKept(t *testing.T) {
	f := newFixture(t, "file:")
	f.die("departures.dead", event("1"), event("2"))
	if got := fmt.Sprint(f.ask("dead.replay", "departures", list{list{0, 1}})); got != "[[[0 1]] true []]" {
		t.Fatalf("answer: %s", got)
	}
	if v := values(f.tail("departures")); !slices.Equal(v, []string{"2"}) {
		t.Fatalf("back: %v", v)
	}
	f.refuses("not_supported", "departures.dead cannot delete single records, nothing was dropped", "dead.drop", "departures", list{list{0, 0}})
}

func TestDroppedLettersAreGone(t *testing.T) {
	f := newFixture(t, "memory:")
	f.die("departures.dead", event("1"), event("2"), event("3"))
	f.ask("dead.drop", "departures.dead", list{list{0, 0}, list{0, 2}, list{0, 77}})
	if v := values(f.tail("departures.dead")); !slices.Equal(v, []string{"2"}) {
		t.Fatalf("left: %v", v)
	}
}

func TestStatusAndDrain(t *testing.T) {
	f := newFixture(t, "memory:")
	if got := f.ask("status").([]byte); string(got) != `{"in":7}` {
		t.Errorf("status: %s", got)
	}
	if f.ask("drain"); f.drained != 1 {
		t.Errorf("drained %d times", f.drained)
	}
}

func TestEveryMethodAndCodeIsDocumented(t *testing.T) {
	page, err := os.ReadFile("METHODS.md")
	if err != nil {
		t.Fatal(err)
	}
	names := slices.Collect(maps.Keys(New(Config{}).methods))
	for _, code := range append(names, "unknown_method", "bad_arguments", "unknown_stream", "no_letter", "write_refused",
		"not_supported", "busy", "deadline", "draining", "failed", "unknown_command", "unknown_version", "load_failed", "routed") {
		if !bytes.Contains(page, []byte("`"+code+"`")) {
			t.Errorf("METHODS.md does not name %s", code)
		}
	}
}

func FuzzArguments(f *testing.F) {
	seed, _ := msgp.AppendIntf(nil, list{"departures", list{list{"a", nil, list{"h", nil}, 1}}})
	f.Add("publish", seed)
	f.Fuzz(func(t *testing.T, method string, raw []byte) {
		if _, _, err := msgp.ReadIntfBytes(raw); err != nil {
			return // the wire lets only whole values through
		}
		fixture := newFixture(t, "memory:")
		_, err := fixture.Handle(context.Background(), &wire.Hello{}, &wire.Call{Method: method, Args: raw})
		if err != nil && told(err) != err {
			t.Fatalf("an error without a code: %v", err)
		}
	})
}
