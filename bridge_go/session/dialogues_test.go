package session_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ds-runner.dev/ds-runner/bridge_go/session"
	"ds-runner.dev/ds-runner/bridge_go/wire"
	"ds-runner.dev/ds-runner/bridge_go/wire/wiretest"
)

var roles = map[string]wire.Role{"events": wire.RoleEvents, "calls": wire.RoleCalls, "supervisor": wire.RoleSupervisor,
	"control": wire.RoleControl}

func TestDialogues(t *testing.T) {
	stories := wiretest.Stories(t)
	if len(stories) < 100 {
		t.Fatalf("%d stories", len(stories))
	}
	for name, story := range stories {
		if story.BreaksTheRules == "bridge" {
			continue // for the worker's side: this machine says no such thing
		}
		t.Run(name, func(t *testing.T) { play(t, story) })
	}
}

// A bridge is the machine under test and what it has said and not been asked for yet.
type bridge struct {
	*session.Machine
	said  []wire.Message
	event session.Event
	ended *session.End
}

func play(t *testing.T, story *wiretest.Story) {
	b := &bridge{Machine: session.NewMachine(roles[story.Role])}
	for i, step := range story.Steps {
		b.event = nil
		switch {
		case step.Event == "eof":
			b.take(b.EOF("eof"))
		case step.From == "worker":
			if len(b.said) > 0 {
				t.Fatalf("step %d: said %v unasked", i, b.said[0].Type())
			}
			b.take(b.Receive(wire.Decode(step.Body(t), story.Minor)))
		default:
			b.speak(t, i, step, story.Minor)
		}
		b.compare(t, i, step)
	}
	if len(b.said) > 0 {
		t.Fatalf("said %v after the story", b.said[0].Type())
	}
}

func (b *bridge) take(s session.Step) {
	b.said = append(b.said, s.Write...)
	b.event = s.Event
	if s.End != nil {
		b.ended = s.End
	}
}

// speak has the machine say the step's frame, unless it has said it by itself.
func (b *bridge) speak(t *testing.T, i int, step wiretest.Step, minor uint8) {
	t.Helper()
	if step.Frame == nil {
		return // bytes that only a later version sends
	}
	if len(b.said) == 0 {
		m, err := wire.Decode(step.Body(t), minor)
		if err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		b.command(t, i, m)
	}
	if len(b.said) == 0 {
		t.Fatalf("step %d: said nothing, wants %v", i, step.Frame)
	}
	if diff := step.Told.Differs(t, wire.Append(nil, b.said[0])); diff != "" && step.Frame.Type() != "COLUMNS" {
		t.Fatalf("step %d: %s", i, diff)
	}
	b.said = b.said[1:]
}

func (b *bridge) command(t *testing.T, i int, m wire.Message) {
	t.Helper()
	var s session.Step
	var err error
	switch m := m.(type) {
	case *wire.Welcome:
		s, err = b.Welcome(m)
	case *wire.Batch:
		s, err = b.Send(m)
	case *wire.Columns:
		s, err = b.Send(payloadsOf(m))
	case *wire.Answer:
		s, err = b.Answer(m)
	case *wire.Cut:
		s, err = b.Cut(m)
	case *wire.Drain:
		s = b.Drain(m.Reason)
	case *wire.Bye:
		s = b.Close(m.Code, m.Reason)
	default:
		t.Fatalf("step %d: the bridge cannot be told to say %v", i, m.Type())
	}
	if err != nil {
		t.Fatalf("step %d: %v", i, err)
	}
	b.take(s)
}

// payloadsOf is a batch that takes as much of the window as its columns say: the machine knows batches alone, and who encodes
// them makes columns of them.
func payloadsOf(m *wire.Columns) *wire.Batch {
	payloads := make([][]byte, m.Events())
	payloads[0] = make([]byte, m.Bytes)
	return &wire.Batch{Lease: m.Lease, Positions: m.Positions, Payloads: payloads}
}

func (b *bridge) compare(t *testing.T, i int, step wiretest.Step) {
	t.Helper()
	if have := b.State().String(); have != step.State {
		t.Fatalf("step %d: state %s, wants %s (ended: %v)", i, have, step.State, b.ended)
	}
	if step.From == "worker" && step.Outcome != "" && outcome(b.event) != step.Outcome {
		t.Fatalf("step %d: %#v, wants it %s", i, b.event, step.Outcome)
	}
	if step.Returned != nil && !slices.Equal(returned(b.ended), *step.Returned) {
		t.Fatalf("step %d: returned %v, wants %v", i, returned(b.ended), *step.Returned)
	}
}

func outcome(e session.Event) string {
	switch e := e.(type) {
	case session.Window:
		return "windowed"
	case session.Settled:
		if e.Last {
			return "settled"
		}
		return "part"
	case session.Answered:
		if e.Last {
			return "settled"
		}
		return "part"
	case session.Returned:
		return "returned"
	case session.DroppedResult, session.DroppedAnswers, session.DroppedReturn:
		return "dropped"
	case session.WorkerDrains:
		return "draining"
	case session.Called:
		return "called"
	case session.Died:
		return "died"
	case session.Ignored:
		if _, ok := e.Message.(*wire.Skipped); ok {
			return "skipped"
		}
		return "ignored"
	}
	return ""
}

func returned(e *session.End) []uint64 {
	batches := []uint64{}
	if e != nil {
		for _, l := range e.Leases {
			batches = append(batches, l.Batch)
		}
	}
	return batches
}

// Every cell of the state table has a story, so that a changed cell cannot pass unseen.
func TestEveryCellOfTheStateTableHasAStory(t *testing.T) {
	columns := []string{"HELLO", "READY", "RESULT", "ANSWERS", "RETURN", "CALL", "PULSE", "DIED", "DRAIN", "BYE", "eof"}
	seen := map[string]bool{}
	for _, story := range wiretest.Stories(t) {
		state := "new"
		for _, step := range story.Steps {
			what := step.Event
			if step.From == "worker" && step.Frame != nil {
				what = step.Frame.Type()
			}
			seen[story.Role+" "+state+" "+what] = true
			state = step.State
		}
	}
	for _, state := range []string{"new", "greeted", "ready", "draining"} {
		for _, column := range columns {
			if !seen["events "+state+" "+column] {
				t.Errorf("no story of %s in state %s", column, state)
			}
		}
	}
	for _, role := range []string{"calls", "supervisor", "control"} {
		for _, column := range columns {
			if !seen[role+" greeted "+column] {
				t.Errorf("no story of %s on a greeted %s connection", column, role)
			}
		}
	}
}

// The machine is pure: whoever gives it a clock, a socket or a goroutine breaks the tests of both languages.
func TestThePackageImportsNoClockSocketOrLock(t *testing.T) {
	files, _ := filepath.Glob("*.go")
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, banned := range []string{`"net"`, `"os"`, `"time"`, `"sync"`, `"context"`, "go func"} {
			if strings.Contains(string(source), banned) {
				t.Errorf("%s has %s", file, banned)
			}
		}
	}
}
