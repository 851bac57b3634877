package failover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/messaging/messagingtest"
)

var topics atomic.Int64

// A pair is two connections in memory, and what a program would open of them.
type pair struct {
	testing.TB
	dir   string
	conns map[string]messaging.Connection
	gates [2]*gate
}

func newPair(t testing.TB, dir string) *pair {
	t.Helper()
	p := &pair{TB: t, dir: dir, conns: map[string]messaging.Connection{}}
	for s, name := range []string{"one", "two"} {
		c, err := messaging.Open(t.Context(), messaging.Options{Name: name, URL: "memory:?max_value=2MiB"})
		if err != nil {
			t.Fatal(err)
		}
		p.gates[s] = &gate{Connection: c, open: make(chan struct{})}
		close(p.gates[s].open)
		p.conns[name] = p.gates[s]
	}
	return p
}

func (p *pair) other(_ context.Context, name string) (messaging.Connection, error) {
	if c := p.conns[name]; c != nil {
		return c, nil
	}
	return nil, fmt.Errorf("no connection %q", name)
}

func (p *pair) connect(settings ...string) *connection {
	p.Helper()
	given := map[string]string{"primary": "one", "secondary": "two", "id": "value", "after": "500ms", "back": "50ms", "window": "1m"}
	for i := 0; i < len(settings); i += 2 {
		given[settings[i]] = settings[i+1]
	}
	c, err := messaging.Open(context.Background(), messaging.Options{Name: "both", URL: "failover:", Settings: given, StateDir: p.dir, Other: p.other})
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { c.Close(context.Background()) })
	return c.(*connection)
}

// A gate is a connection whose sources stand still while it is shut, in reads and commits, as those of a stopped broker do; or fail.
type gate struct {
	messaging.Connection
	mu    sync.Mutex
	open  chan struct{}
	fails bool
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = make(chan struct{})
}

func (g *gate) let() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.open)
}

func (g *gate) fail(on bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fails = on
}

func (g *gate) pass(ctx context.Context) error {
	g.mu.Lock()
	open, fails := g.open, g.fails
	g.mu.Unlock()
	if fails {
		return fmt.Errorf("the broker is on fire: %w", io.EOF) // which is no end
	}
	select {
	case <-open:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *gate) Source(ctx context.Context, sc messaging.SourceConfig) (messaging.Source, error) {
	src, err := g.Connection.Source(ctx, sc)
	if err != nil {
		return nil, err
	}
	return &gated{src, g}, nil
}

func (g *gate) Seek(ctx context.Context, topic, group string, to messaging.Target, dry bool) ([]messaging.Move, error) {
	return g.Connection.(messaging.Seeker).Seek(ctx, topic, group, to, dry)
}

func (g *gate) Generation(ctx context.Context, topic, group string) (int, error) {
	return g.Connection.(messaging.Seeker).Generation(ctx, topic, group)
}

type gated struct {
	messaging.Source
	g *gate
}

// Read stands still behind the gate even if it began to wait before it was shut.
func (s *gated) Read(ctx context.Context, limit messaging.Limit) ([]messaging.Record, error) {
	for {
		if err := s.g.pass(ctx); err != nil {
			return nil, err
		}
		if s.Source.Lag(ctx) > 0 {
			return s.Source.Read(ctx, limit)
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (s *gated) Commit(ctx context.Context, upTo []messaging.Position) error {
	if err := s.g.pass(ctx); err != nil {
		return err
	}
	return s.Source.Commit(ctx, upTo)
}

// unsought hides that the connection is a Seeker: the battery asks for the moves of one system, and here are those of two.
type unsought struct{ messaging.Connection }

func TestConformance(t *testing.T) {
	messagingtest.Run(t, messagingtest.Harness{
		Connect: func(t *testing.T) messaging.Connection { return unsought{newPair(t, t.TempDir()).connect()} },
		Topic:   func(*testing.T) string { return fmt.Sprint("topic-", topics.Add(1)) },
		Can: messagingtest.Capabilities{
			Keys: true, Headers: true, Nulls: true, Empty: true, Binary: true, Times: true,
			Deduplicates: true, Deletes: true, MaxBytes: 2 << 20,
		},
	})
}

// A reading is an open source with what was read of it.
type reading struct {
	*pair
	c   *connection
	src messaging.Source
}

func (p *pair) read(settings ...string) *reading {
	p.Helper()
	r := &reading{pair: p, c: p.connect(settings...)}
	r.begin()
	return r
}

func (r *reading) begin() {
	r.Helper()
	src, err := r.c.Source(r.Context(), messaging.SourceConfig{Topic: "t", Group: "p/c"})
	if err != nil {
		r.Fatal(err)
	}
	r.src = src
	r.Cleanup(func() { src.Close(context.Background()) })
}

func (p *pair) write(s side, values ...string) {
	p.Helper()
	sink, err := p.gates[s].Connection.Sink(p.Context(), messaging.SinkConfig{Topic: "t"})
	if err != nil {
		p.Fatal(err)
	}
	for _, v := range values {
		if err := sink.Write(p.Context(), []messaging.Outgoing{{Record: messaging.Record{Value: []byte(v)}}}); err != nil {
			p.Fatal(err)
		}
	}
}

func (p *pair) both(values ...string) {
	p.Helper()
	p.write(primary, values...)
	p.write(secondary, values...)
}

// wants reads these values, from a side, and settles them.
func (r *reading) wants(from side, values ...string) {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), time.Minute)
	defer cancel()
	for len(values) > 0 {
		got, err := r.src.Read(ctx, messaging.Limit{Events: len(values), Bytes: 1 << 20})
		if err != nil {
			r.Fatalf("%v, before %v", err, values)
		}
		for i, one := range got {
			if s, _ := inside(one.Partition); s != from || string(one.Value) != values[i] {
				r.Fatalf("got %s from the %s, want %v from the %s", one.Value, s, values, from)
			}
		}
		last := got[len(got)-1]
		if err := r.src.Commit(ctx, []messaging.Position{{Partition: last.Partition, Offset: last.Offset, Epoch: last.Epoch}}); err != nil {
			r.Fatal(err)
		}
		values = values[len(got):]
	}
}

func (r *reading) switches() uint64 {
	s := r.src.(*source)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.k.count.switches
}

func (r *reading) nothing(d time.Duration) {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), d)
	defer cancel()
	if got, err := r.src.Read(ctx, messaging.Limit{Events: 10, Bytes: 1 << 20}); !errors.Is(err, context.DeadlineExceeded) {
		r.Fatalf("got %v, %v, want nothing", got, err)
	}
}

func TestTheSecondIsTakenWhenTheFirstStandsStillAndTheFirstWhenItGoesOn(t *testing.T) {
	r := newPair(t, t.TempDir()).read()
	r.both("0", "1", "2")
	r.wants(primary, "0", "1", "2")
	r.gates[primary].shut()
	r.both("3", "4")
	begun := time.Now()
	r.wants(secondary, "3", "4")
	if waited := time.Since(begun); waited < 500*time.Millisecond {
		t.Fatalf("switched after %s", waited)
	}
	r.both("5")
	r.wants(secondary, "5")
	r.gates[primary].let()
	for end := time.Now().Add(time.Minute); r.switches() < 2 && time.Now().Before(end); {
		r.nothing(20 * time.Millisecond) // the primary shows 3, 4 and 5, and keeps up for 50 ms
	}
	r.both("6", "7")
	r.wants(primary, "6", "7")
	if n := r.switches(); n != 2 {
		t.Fatalf("%d switches", n)
	}
}

func TestWhatTheClientSaysDecidesNothing(t *testing.T) {
	r := newPair(t, t.TempDir()).read()
	r.gates[primary].fail(true)
	r.write(primary, "0")
	r.nothing(700 * time.Millisecond) // the secondary has nothing more: there is no reason to switch
	r.gates[primary].fail(false)
	r.wants(primary, "0")
	r.gates[primary].fail(true)
	r.both("1")
	r.write(secondary, "0") // late, and known
	r.wants(secondary, "1")
}

func TestAnIdlePrimaryIsNoStalledOne(t *testing.T) {
	r := newPair(t, t.TempDir()).read("after", "2s")
	r.both("0")
	r.wants(primary, "0")
	r.nothing(2200 * time.Millisecond)
	r.write(secondary, "1") // first here, as it may be with a mirror the other way
	time.Sleep(20 * time.Millisecond)
	r.write(primary, "1")
	r.wants(primary, "1")
	if n := r.switches(); n != 0 {
		t.Fatalf("%d switches", n)
	}
}

func TestARestartWithinTheWindowKnowsWhatWasSettled(t *testing.T) {
	for _, dir := range []string{t.TempDir(), ""} { // with a journal, and on one connection without
		r := newPair(t, dir).read()
		r.gates[secondary].shut()
		r.both("0", "1", "2")
		r.wants(primary, "0", "1", "2")
		if err := r.src.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if dir != "" {
			r.c.Close(t.Context())
			r.c = r.connect()
		}
		r.begin()
		r.gates[secondary].let()
		r.gates[primary].shut()
		r.both("3")
		r.wants(secondary, "3") // and none of those before
	}
}

func TestADeadSideHoldsUpNoCommit(t *testing.T) {
	r := newPair(t, t.TempDir()).read()
	r.both("0", "1")
	got, err := r.src.Read(t.Context(), messaging.Limit{Events: 2, Bytes: 1 << 20})
	if err != nil || len(got) == 0 {
		t.Fatal(err)
	}
	r.gates[primary].shut()
	begun := time.Now()
	if err := r.src.Commit(t.Context(), []messaging.Position{{Offset: got[0].Offset}}); err != nil || time.Since(begun) > commitTime/2 {
		t.Fatalf("%v after %s", err, time.Since(begun))
	}
	if err := r.src.Close(t.Context()); err != nil || time.Since(begun) > time.Minute {
		t.Fatalf("%v after %s", err, time.Since(begun))
	}
}

func TestSourcesThatAreDeadWhenTheBridgeStartsAreNoObstacle(t *testing.T) {
	p := newPair(t, t.TempDir())
	one := p.conns["one"]
	delete(p.conns, "one")
	r := p.read()
	if _, err := r.c.Incarnation(t.Context(), "t"); err != nil {
		t.Fatal(err)
	}
	if n, err := r.c.Generation(t.Context(), "t", "p/c"); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	p.write(secondary, "0")
	r.wants(secondary, "0")
	_ = one
}

func TestTheIncarnationIsKnownWhileASideIsDead(t *testing.T) {
	p := newPair(t, t.TempDir())
	c := p.connect()
	whole, err := c.Incarnation(t.Context(), "t")
	if err != nil || whole == "" {
		t.Fatal(err)
	}
	delete(p.conns, "one")
	if half, err := c.Incarnation(t.Context(), "t"); half != whole || err != nil {
		t.Fatalf("%s became %s, %v", whole, half, err)
	}
}

func TestASeekMovesBothSidesAndForgetsWhatWasSettled(t *testing.T) {
	p := newPair(t, t.TempDir())
	r := p.read()
	r.both("0", "1", "2")
	r.wants(primary, "0", "1", "2")
	oldest := messaging.Target{Kind: messaging.TargetOldest}
	if _, err := r.c.Seek(t.Context(), "t", "p/c", oldest, false); !errors.Is(err, messaging.ErrBusy) {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond) // lets the secondary show all it has
	r.src.Close(t.Context())
	dry, err := r.c.Seek(t.Context(), "t", "p/c", oldest, true)
	if err != nil || len(dry) != 2 || dry[0].Partition != 0 || dry[1].Partition != 1 || dry[0].From != 3 || dry[0].To != 0 {
		t.Fatalf("%+v %v", dry, err)
	}
	moved, err := r.c.Seek(t.Context(), "t", "p/c", oldest, false)
	if err != nil || !slices.Equal(dry, moved) {
		t.Fatalf("%+v %v", moved, err)
	}
	if n, err := r.c.Generation(t.Context(), "t", "p/c"); n < 1 || err != nil {
		t.Fatalf("generation %d, %v", n, err)
	}
	r.begin()
	r.wants(primary, "0", "1", "2")
	r.src.Close(t.Context())
	if _, err := r.c.Seek(t.Context(), "t", "p/c", messaging.Target{Kind: messaging.TargetOffset, Partition: -1}, true); err == nil {
		t.Fatal("an offset was taken for both sides")
	}
	if m, err := r.c.Seek(t.Context(), "t", "p/c", messaging.Target{Kind: messaging.TargetOffset, Partition: 1, Offset: 1}, false); err != nil || len(m) != 1 || m[0].Partition != 1 {
		t.Fatalf("%+v %v", m, err)
	}
}

func TestABrowserIsGivenTheSecondaryWhereThePrimaryFails(t *testing.T) {
	p := newPair(t, t.TempDir())
	c := p.connect()
	p.write(secondary, "0", "1", "2")
	delete(p.conns, "one")
	got, after, err := c.Browse(t.Context(), "t", messaging.Oldest, 2)
	if err != nil || len(got) != 2 || got[0].Partition != 1 || after != "1:2" {
		t.Fatalf("%v %s %v", got, after, err)
	}
	if got, _, err = c.Browse(t.Context(), "t", after, 2); err != nil || len(got) != 1 {
		t.Fatalf("%v %v", got, err)
	}
}

func TestEventsAreNamedByWhatIsAskedFor(t *testing.T) {
	r := messaging.Record{Key: []byte("k"), Value: []byte(`{"id": 7, "a": {"b": "x\u0041", "n": null, "o": {}}, "f": false}`), Headers: []messaging.Header{{Name: "h", Value: []byte("v")}, {Name: "null"}}}
	for text, want := range map[string]string{
		"key": "k", "header:h": "v", "value.id": "7", "value.a.b": `"xA`, "value.f": "false", "value": string(r.Value),
		"header:x": "", "header:null": "", "value.none": "", "value.a": "", "value.a.n": "", "value.a.o": "", "value.id.x": "", "value.a.b.c": "",
	} {
		n, err := parseName(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, found := n.find(&r); string(got) != want || found != (want != "") {
			t.Errorf("%s: %q %v, want %q", text, got, found, want)
		}
	}
	for _, text := range []string{"", "header:", "headers:x", "value.", "value.a..b", "id", "Key"} {
		if _, err := parseName(text); err == nil || !strings.Contains(err.Error(), "id is") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestAnEventWithoutAnIDIsAFaultThatSaysSo(t *testing.T) {
	r := newPair(t, t.TempDir()).read("id", "value.id")
	r.write(primary, `{"id": 1}`, `{"x": 1}`, "no JSON", `{"id": 2}`)
	var all []messaging.Record
	for len(all) < 4 {
		some, err := r.src.Read(t.Context(), messaging.Limit{Events: 4, Bytes: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, some...)
	}
	for i, faulty := range []bool{false, true, true, false} {
		if f := all[i].Fault; (f != nil) != faulty || faulty && (f.Code != "no_id" || !strings.Contains(f.Reason, "value.id")) {
			t.Errorf("%s: %+v", all[i].Value, f)
		}
	}
}

func TestMistakesInSettingsAreNamed(t *testing.T) {
	for url, want := range map[string]string{
		"failover:":                                            "primary and secondary are to name",
		"failover:?primary=a":                                  "primary and secondary are to name",
		"failover:?primary=a&secondary=a&id=key":               "are both a",
		"failover:?primary=both&secondary=a&id=key":            "wraps itself",
		"failover:?primary=a&secondary=b":                      "id is missing",
		"failover:?primary=a&secondary=b&id=x":                 "expected key, header:NAME",
		"failover:?primary=a&secondary=b&id=key&after=1h":      "has to be longer",
		"failover:?primary=a&secondary=b&id=key&window_ids=-1": "window_ids is",
		"failover:?primary=a&secondary=b&id=key&x=1":           "no setting",
	} {
		if _, err := messaging.Open(t.Context(), messaging.Options{Name: "both", URL: url}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", url, err)
		}
	}
	c := newPair(t, "").connect()
	if _, err := c.Source(t.Context(), messaging.SourceConfig{Topic: "t", Transactional: true}); !errors.Is(err, messaging.ErrNotSupported) {
		t.Fatal(err)
	}
}
