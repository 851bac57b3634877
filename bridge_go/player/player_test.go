package player_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tinylib/msgp/msgp"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/dispatch/dispatchtest"
	"ds-runner.dev/ds-runner/bridge_go/player"
	"ds-runner.dev/ds-runner/bridge_go/tape"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

const nonce = 9

// A recorded batch of n events from an offset on, each answered with a line.
func batch(first int64, n int, sent time.Duration, calls ...tape.Call) *tape.Batch {
	b := &wire.Batch{
		Lease: wire.Lease{Nonce: 1, Batch: uint64(first + 1), Epoch: 1}, Attempt: 1, DeadlineMS: 5000, Stream: "in",
		Positions: []wire.Run{{Partition: 0, First: first, N: int64(n)}},
	}
	var lines []byte
	for i := range n {
		payload := fmt.Appendf(nil, `{"id":"0/%d"}`, first+int64(i))
		b.Payloads, b.Keys = append(b.Payloads, payload), append(b.Keys, []byte("k"))
		b.Headers, b.Timestamps = append(b.Headers, nil), append(b.Timestamps, 1)
		lines = append(dispatchtest.AppendAnswer(lines, payload), '\n')
	}
	return &tape.Batch{Worker: 1, Sent: int64(sent), Batch: b, Calls: calls,
		Answers: []wire.Message{&wire.Result{Lease: b.Lease, Count: uint64(n), Lines: lines}}}
}

func taped(frames ...tape.Frame) []byte {
	b := tape.Append([]byte(tape.Magic), &tape.Recording{Program: "p", Command: "c", Stream: "in", Began: 1, Lookups: true})
	for _, f := range frames {
		b = tape.Append(b, f)
	}
	return b
}

// A rig is a player at work.
type rig struct {
	*testing.T
	*player.Player
	ledger *bytes.Buffer
	ended  chan error
}

type unclosed struct{ io.Writer }

func (unclosed) Close() error { return nil }

func start(t *testing.T, data []byte, with func(*player.Config)) *rig {
	t.Helper()
	r := &rig{T: t, ledger: &bytes.Buffer{}, ended: make(chan error, 1)}
	c := player.Config{
		Program: "p", Command: "c", Stream: "in", Nonce: nonce, Deadline: time.Minute, HeartbeatEach: time.Second,
		Open:   func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil },
		Outlet: dispatch.NewLedgerOutlet(unclosed{r.ledger}),
	}
	if with != nil {
		with(&c)
	}
	p, err := player.New(c)
	if err != nil {
		t.Fatal(err)
	}
	r.Player = p
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	go func() { r.ended <- p.Run(ctx) }()
	return r
}

// lines are those of the ledger, by event, once the player has ended.
func (r *rig) lines() map[string]map[string]json.RawMessage {
	r.Helper()
	if err := <-r.ended; err != nil {
		r.Fatal(err)
	}
	all := map[string]map[string]json.RawMessage{}
	for line := range strings.Lines(r.ledger.String()) {
		var entry map[string]json.RawMessage
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			r.Fatal(err)
		}
		all[string(bytes.Trim(entry["event"], `"`))] = entry
	}
	return all
}

func arguments(texts ...string) []byte {
	b := msgp.AppendArrayHeader(nil, uint32(len(texts)))
	for _, t := range texts {
		b = msgp.AppendString(b, t)
	}
	return b
}

func kvGet(key string, value byte) tape.Call {
	return tape.Call{Method: "kv.get", Args: arguments("features", key), State: tape.Answered, Value: []byte{value}}
}

func TestBatchesAreSentAsTheyWereOneAtATime(t *testing.T) {
	var mu sync.Mutex
	var sizes []int
	r := start(t, taped(batch(0, 3, 0), batch(3, 1, 0), batch(4, 5, 0), &tape.End{Ended: 1}), nil)
	dispatchtest.Hire(r, "w1", 1, func(w *dispatchtest.Worker, b *wire.Batch) *wire.Result {
		mu.Lock()
		defer mu.Unlock()
		sizes = append(sizes, len(b.Payloads))
		if b.Nonce != nonce || b.Keys == nil || b.Headers != nil || b.Timestamps != nil {
			t.Errorf("%+v", b)
		}
		return dispatchtest.Echo(w, b)
	})
	lines := r.lines()
	if fmt.Sprint(sizes) != "[3 1 5]" || len(lines) != 9 {
		t.Fatalf("batches %v, %d lines", sizes, len(lines))
	}
	if s := r.Status(); s.Scored != 9 || s.Dead != 0 || !r.Report().Ended || r.Report().Batches != 3 {
		t.Fatalf("%+v, %+v", s, r.Report())
	}
}

func TestCallsAreAnsweredFromTheTapeInTheirOrder(t *testing.T) {
	recorded := []tape.Call{kvGet("a", 1), kvGet("a", 2), {Method: "sql.open", Args: arguments("x"), State: tape.Failed,
		Value: (&wire.CallError{Code: "bad_sql", Reason: "no"}).Append(nil)}}
	r := start(t, taped(batch(0, 1, 0, recorded...), batch(1, 1, 0, kvGet("b", 3))), nil)
	dispatchtest.Hire(r, "w1", 1, func(w *dispatchtest.Worker, b *wire.Batch) *wire.Result {
		if b.Positions[0].First == 0 {
			for _, want := range []byte{1, 2} {
				if got, err := r.Answer(b.Lease, &wire.Call{Method: "kv.get", Args: arguments("features", "a")}); err != nil || got[0] != want {
					t.Errorf("got %v, %v", got, err)
				}
			}
			var failed *wire.CallError
			if _, err := r.Answer(b.Lease, &wire.Call{Method: "sql.open", Args: arguments("x")}); !errors.As(err, &failed) || failed.Code != "bad_sql" {
				t.Errorf("got %v", err)
			}
		}
		return dispatchtest.Echo(w, b)
	})
	r.lines()
	if got := r.Report(); got.Unrecorded != 0 || got.Unasked != 1 {
		t.Fatalf("%+v", got)
	}
	if _, err := r.Answer(wire.Lease{Nonce: nonce, Batch: 1, Epoch: 1}, &wire.Call{Method: "kv.get"}); err == nil {
		t.Fatal("an ended lease was answered")
	}
}

func TestACallThatWasNotRecordedIsReportedAndAsksNobody(t *testing.T) {
	r := start(t, taped(batch(0, 2, 0, kvGet("a", 1))), nil)
	dispatchtest.Hire(r, "w1", 1, func(w *dispatchtest.Worker, b *wire.Batch) *wire.Result {
		var failed *wire.CallError
		if _, err := r.Answer(b.Lease, &wire.Call{Method: "kv.get", Args: arguments("features", "b")}); !errors.As(err, &failed) || failed.Code != "not_recorded" {
			t.Errorf("got %v", err)
		}
		if _, err := r.Answer(b.Lease, &wire.Call{Method: "stage", Args: arguments()}); err != nil {
			t.Errorf("writes that differ end the batch: %v", err)
		}
		return dispatchtest.Echo(w, b)
	})
	r.lines()
	got := r.Report()
	want := player.Asked{Event: "in/0/0", Method: "kv.get", Asked: `["features","b"]`, Recorded: `["features","a"]`}
	if got.Unrecorded != 2 || len(got.Calls) != 1 || got.Calls[0] != want {
		t.Fatalf("%+v", got)
	}
}

func TestATapeWithoutAnswersSaysSo(t *testing.T) {
	r := start(t, taped(batch(0, 1, 0, tape.Call{Method: "kv.get", Args: arguments("features", "a"), State: tape.Unkept})), nil)
	dispatchtest.Hire(r, "w1", 1, func(w *dispatchtest.Worker, b *wire.Batch) *wire.Result {
		if _, err := r.Answer(b.Lease, &wire.Call{Method: "kv.get", Args: arguments("features", "a")}); err == nil {
			t.Error("an answer that is not on the tape")
		}
		return dispatchtest.Echo(w, b)
	})
	r.lines()
	if r.Report().Unkept != 1 {
		t.Fatalf("%+v", r.Report())
	}
}

func TestTheSpacingOfBatchesIsKept(t *testing.T) {
	for _, c := range []struct {
		speed       float64
		gap, wanted time.Duration
	}{{1, 400 * time.Millisecond, 800 * time.Millisecond}, {10, 400 * time.Millisecond, 80 * time.Millisecond}, {0, time.Hour, 0}} {
		began := time.Now()
		r := start(t, taped(batch(0, 1, 0), batch(1, 1, c.gap), batch(2, 1, 2*c.gap)), func(g *player.Config) { g.Speed = c.speed })
		dispatchtest.Hire(r, "w1", 1, dispatchtest.Echo)
		r.lines()
		if took := time.Since(began); took < c.wanted-50*time.Millisecond {
			t.Errorf("speed %g took %v, wants %v", c.speed, took, c.wanted)
		}
	}
}

func TestAnEventThatCameAgainIsAnsweredOnce(t *testing.T) {
	failed := batch(0, 2, 0)
	failed.Answers = []wire.Message{&wire.Result{Lease: failed.Batch.Lease, Count: 2, Lines: []byte("1\n"),
		Errors: []wire.RowError{{Index: 1, Kind: wire.KindRetry, Code: "later"}}}}
	returned := batch(1, 1, 0)
	returned.Answers = []wire.Message{&wire.Return{Lease: returned.Batch.Lease, Code: "unavailable"}}
	r := start(t, taped(failed, returned, batch(1, 1, 0)), nil)
	played := 0
	dispatchtest.Hire(r, "w1", 1, func(w *dispatchtest.Worker, b *wire.Batch) *wire.Result {
		played++
		return dispatchtest.Echo(w, b)
	})
	if lines := r.lines(); len(lines) != 2 || played != 2 || r.Report().Unanswered != 1 || strings.Count(r.ledger.String(), "\n") != 2 {
		t.Fatalf("%d batches played, %d lines, %+v", played, len(lines), r.Report())
	}
}

func TestAWorkerThatDiesHasAnsweredWithThat(t *testing.T) {
	lost := batch(7, 1, 0)
	lost.Answers = nil
	dead := &tape.Fates{Runs: []tape.FateRun{{First: 7, N: 1, Kind: tape.Dead, Code: "worker_died"}}}
	r := start(t, taped(batch(0, 2, 0), lost, lost, dead, batch(8, 1, 0)), nil)
	var score dispatchtest.Score
	score = func(w *dispatchtest.Worker, b *wire.Batch) *wire.Result {
		if b.Positions[0].First == 7 {
			w.Kill()
			go dispatchtest.Hire(r, "w2", 2, score)
			return nil
		}
		return dispatchtest.Echo(w, b)
	}
	dispatchtest.Hire(r, "w1", 1, score)
	lines := r.lines()
	if len(lines) != 4 || !bytes.Contains(lines["in/0/7"]["dead"], []byte(`"worker_died"`)) || lines["in/0/8"]["outputs"] == nil {
		t.Fatalf("%v", lines)
	}
}

type cutter struct{ cut chan string }

func (c cutter) Cut(worker, _ string) { c.cut <- worker }

func TestAWorkerOverItsDeadlineIsEnded(t *testing.T) {
	r := start(t, taped(batch(0, 1, 0), batch(1, 1, 0)), func(c *player.Config) { c.Deadline = time.Second }) // the next one must answer in it
	c := cutter{make(chan string, 1)}
	defer r.Supervise(c)()
	hung := dispatchtest.Hire(r, "w1", 1, func(*dispatchtest.Worker, *wire.Batch) *wire.Result { return nil })
	if got := <-c.cut; got != "w1" {
		t.Fatalf("cut %s", got)
	}
	hung.Kill()
	dispatchtest.Hire(r, "w2", 2, dispatchtest.Echo)
	if lines := r.lines(); lines["in/0/0"]["dead"] == nil || lines["in/0/1"]["outputs"] == nil {
		t.Fatalf("%v", lines)
	}
}

func TestOnlyTheEventsThatAreWantedHaveLinesButTheirBatchesAreWhole(t *testing.T) {
	r := start(t, taped(batch(0, 3, 0), batch(3, 3, 0)), func(c *player.Config) { c.Only = []string{"in/0/4"} })
	var sizes []int
	dispatchtest.Hire(r, "w1", 1, func(w *dispatchtest.Worker, b *wire.Batch) *wire.Result {
		sizes = append(sizes, len(b.Payloads))
		return dispatchtest.Echo(w, b)
	})
	if lines := r.lines(); len(lines) != 1 || lines["in/0/4"] == nil || fmt.Sprint(sizes) != "[3]" {
		t.Fatalf("%v, batches %v", lines, sizes)
	}
}

func TestATornTapeIsPlayedAsFarAsItGoes(t *testing.T) {
	whole := taped(batch(0, 3, 0), batch(3, 3, 0))
	r := start(t, whole[:len(whole)-7], nil)
	dispatchtest.Hire(r, "w1", 1, dispatchtest.Echo)
	if lines := r.lines(); len(lines) != 3 || !strings.Contains(r.Report().Torn, "torn at byte") || r.Report().Ended {
		t.Fatalf("%d lines, %+v", len(lines), r.Report())
	}
}

func TestABatchThatDoesNotFitIntoTheWindowIsToldWithTheSettingToChange(t *testing.T) {
	r := start(t, taped(batch(0, 2_000, 0)), nil)
	dispatchtest.Hire(r, "w1", 1, dispatchtest.Echo)
	if err := <-r.ended; err == nil || !strings.Contains(err.Error(), "batch.events") {
		t.Fatalf("got %v", err)
	}
}

func TestAnEndBeforeTheEndOfTheTape(t *testing.T) {
	r := start(t, taped(batch(0, 1, 0), batch(1, 1, time.Hour)), func(c *player.Config) { c.Speed = 1 })
	dispatchtest.Hire(r, "w1", 1, dispatchtest.Echo)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := r.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-r.ended; err == nil {
		t.Fatal("a replay that was ended early says that all is well")
	}
}
