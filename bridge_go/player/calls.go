package player

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/tinylib/msgp/msgp"

	"ds-runner.dev/ds-runner/bridge_go/calls"
	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/tape"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

var (
	_ calls.Leases = (*Player)(nil)
	_ calls.Replay = (*Player)(nil)
)

// Alive implements calls.Leases: the batch at work.
func (p *Player) Alive(l wire.Lease) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.turn != nil && p.turn.lease == l && !p.turn.isOver()
}

// Stage implements calls.Leases. Nothing comes here: Answer has answered.
func (p *Player) Stage(wire.Lease, []dispatch.Staged) error { return dispatch.ErrStale }

// Called implements calls.Leases; a replay is not recorded.
func (p *Player) Called(wire.Lease, string, []byte, []byte, *wire.CallError) {}

// Answer implements calls.Replay: the answer that a call of the same method and arguments was given in this batch, in their order. A call
// that the tape does not have is reported and refused: it is the difference to explain, and no system is asked.
func (p *Player) Answer(l wire.Lease, call *wire.Call) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.turn
	if t == nil || t.lease != l || t.isOver() {
		return nil, &wire.CallError{Code: "stale_lease", Reason: dispatch.ErrStale.Error()}
	}
	for i, c := range t.recorded.Calls {
		if t.used[i] || c.Method != call.Method || !bytes.Equal(c.Args, call.Args) {
			continue
		}
		t.used[i] = true
		switch c.State {
		case tape.Answered:
			return c.Value, nil
		case tape.Failed:
			return nil, failure(c.Value)
		}
		p.report.Unkept++
		p.note(t, call)
		return nil, notRecorded("the tape was recorded without the answers of calls", call)
	}
	p.note(t, call)
	if call.Method == "stage" {
		return nil, nil // what it would write differs, and is written nowhere: the answers can still be compared
	}
	return nil, notRecorded("the recording has no such call in this batch", call)
}

// maxAsked bounds the calls of a report, one a batch.
const maxAsked = 20

func (p *Player) note(t *turn, call *wire.Call) {
	p.report.Unrecorded++
	if t.asked || len(p.report.Calls) == maxAsked {
		return
	}
	t.asked = true
	p.report.Calls = append(p.report.Calls, Asked{
		Event: p.plan.id(placesOf(t.recorded.Batch)[0]), Method: call.Method, Asked: shown(call.Args), Recorded: t.nearest(call.Method),
	})
}

// nearest is the next recorded call of a method, the first that was not made again.
func (t *turn) nearest(method string) string {
	for i, c := range t.recorded.Calls {
		if c.Method == method && !t.used[i] {
			return shown(c.Args)
		}
	}
	return ""
}

const maxShown = 500

// shown are arguments as JSON.
func shown(args []byte) string {
	var text bytes.Buffer
	if _, err := msgp.UnmarshalAsJSON(&text, args); err != nil {
		return fmt.Sprintf("%d bytes", len(args))
	}
	if text.Len() > maxShown {
		text.Truncate(maxShown)
		text.WriteString("...")
	}
	return text.String()
}

func notRecorded(why string, call *wire.Call) error {
	return &wire.CallError{Code: "not_recorded", Reason: why + ": " + call.Method + " " + shown(call.Args)}
}

// failure is the recorded error of a call.
func failure(value []byte) error {
	a := wire.Answer{Value: value}
	if e := a.Failure(); e != nil {
		return e
	}
	return errors.New("the recorded error cannot be read")
}
