// Package session is the bridge's side of a connection as a pure state machine: PROTOCOL.md section 5, role by role.
//
// Frames that came in go to Receive, the end of the stream to EOF, and what the bridge wants to say to Welcome, Send, Drain,
// Answer, Cut and Close. Each gives a Step: what to write, what to tell the application, and whether the session has ended.
// The package knows no socket, clock, lock or goroutine; whoever owns a Machine calls it from one place at a time and
// writes in the order of the steps.
package session

import (
	"fmt"

	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// A State is a row of the table in PROTOCOL.md section 5.
type State uint8

const (
	New State = iota
	Greeted
	Ready
	Draining
	Closed
)

var stateNames = [...]string{"new", "greeted", "ready", "draining", "closed"}

func (s State) String() string { return stateNames[s] }

// A Step is what follows from one thing that happened.
type Step struct {
	Write []wire.Message // in this order
	Event Event          // for the application; nil when there is nothing to tell
	End   *End           // set once, by the step that closed the session
}

// An End says how a session ended. As an error it is nil for a goodbye: see Err.
type End struct {
	Code   wire.ByeCode
	Reason string
	By     Side
	Leases []wire.Lease // unanswered, oldest first
}

// A Side is who ended a session.
type Side uint8

const (
	ByBridge Side = iota
	ByWorker
	ByEOF // the stream ended without a goodbye
)

var sideNames = [...]string{"the bridge said goodbye", "the worker said goodbye", "the connection was lost"}

// Err is nil when the session ended as both sides wanted.
func (e *End) Err() error {
	if e.By != ByEOF && e.Code == wire.ByeDone && len(e.Leases) == 0 {
		return nil
	}
	return e
}

func (e *End) Error() string {
	if e.By == ByEOF {
		return fmt.Sprintf("%s: %s", sideNames[e.By], e.Reason)
	}
	return fmt.Sprintf("%s: %v: %s", sideNames[e.By], e.Code, e.Reason)
}

// An Event is something that the application should hear.
type Event interface{ event() }

type (
	// Hello came, and waits for Welcome or Close.
	Hello struct{ *wire.Hello }
	// Window is a new one.
	Window struct{ Events, Bytes uint64 }
	// Settled is a result of an open lease, of the oldest unless HELLO said any order: its last part, or one before.
	Settled struct {
		*wire.Result
		Last bool
	}
	// Answered is such a result by columns.
	Answered struct {
		*wire.Answers
		Last bool
	}
	// Returned is the oldest open lease given back.
	Returned struct{ *wire.Return }
	// DroppedResult, DroppedAnswers and DroppedReturn are of a lease that is not open on this connection. They change nothing.
	DroppedResult  struct{ *wire.Result }
	DroppedAnswers struct{ *wire.Answers }
	DroppedReturn  struct{ *wire.Return }
	// WorkerDrains wants no more batches.
	WorkerDrains struct{ Reason string }
	// Called waits for Answer.
	Called struct{ *wire.Call }
	// Died is a parent's word.
	Died struct{ *wire.Died }
	// Ignored is a frame that has no effect in this state.
	Ignored struct{ wire.Message }
)

func (Hello) event()          {}
func (Window) event()         {}
func (Settled) event()        {}
func (Answered) event()       {}
func (Returned) event()       {}
func (DroppedResult) event()  {}
func (DroppedAnswers) event() {}
func (DroppedReturn) event()  {}
func (WorkerDrains) event()   {}
func (Called) event()         {}
func (Died) event()           {}
func (Ignored) event()        {}
