package session

import (
	"fmt"

	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// A Machine is one connection. It is not safe for use from two goroutines.
type Machine struct {
	role     wire.Role
	state    State
	welcomed bool
	drained  wire.Message // a DRAIN that waits for WELCOME
	bridge   bool         // DRAIN was said by the bridge: the worker says goodbye
	columns  bool         // HELLO asked for them: answers may come as columns, too
	leases   leases
	calls    map[uint64]struct{} // in flight
}

// NewMachine starts a session after the preface has agreed on a role.
func NewMachine(role wire.Role) *Machine {
	return &Machine{role: role, calls: map[uint64]struct{}{}}
}

// State is the session's state.
func (m *Machine) State() State { return m.state }

// Receive takes what wire.Decode made of a frame, error included.
func (m *Machine) Receive(msg wire.Message, err error) Step {
	switch {
	case m.state == Closed:
		return Step{Event: Ignored{msg}}
	case err != nil:
		return m.broken(err)
	}
	switch msg := msg.(type) {
	case *wire.Skipped:
		return Step{Event: Ignored{msg}}
	case *wire.Bye:
		return Step{End: m.close(msg.Code, msg.Reason, ByWorker)}
	case *wire.Hello:
		return m.hello(msg)
	case *wire.Drain:
		return m.workerDrains(msg)
	}
	switch m.role {
	case wire.RoleEvents:
		return m.receiveEvents(msg)
	case wire.RoleCalls:
		return m.receiveCalls(msg)
	case wire.RoleSupervisor:
		return m.receiveSupervisor(msg)
	default:
		return m.receiveControl(msg)
	}
}

func (m *Machine) receiveEvents(msg wire.Message) Step {
	if m.state == New {
		return m.outOfOrder(msg)
	}
	if ready, ok := msg.(*wire.Ready); ok {
		return m.ready(ready)
	}
	if m.state == Greeted {
		return m.outOfOrder(msg)
	}
	switch msg := msg.(type) {
	case *wire.Result:
		return m.result(msg)
	case *wire.Answers:
		return m.answers(msg)
	case *wire.Return:
		return m.returned(msg)
	}
	return m.outOfOrder(msg)
}

func (m *Machine) receiveCalls(msg wire.Message) Step {
	if call, ok := msg.(*wire.Call); ok && m.state == Greeted {
		return m.call(call)
	}
	return m.receivePulse(msg)
}

func (m *Machine) receiveSupervisor(msg wire.Message) Step {
	if died, ok := msg.(*wire.Died); ok && m.state == Greeted {
		return Step{Event: Died{died}}
	}
	return m.receivePulse(msg)
}

func (m *Machine) receiveControl(msg wire.Message) Step {
	if call, ok := msg.(*wire.Call); ok && m.state == Greeted {
		return m.call(call)
	}
	return m.outOfOrder(msg)
}

func (m *Machine) receivePulse(msg wire.Message) Step {
	if pulse, ok := msg.(*wire.Pulse); ok && m.state == Greeted {
		return Step{Write: []wire.Message{pulse}}
	}
	return m.outOfOrder(msg)
}

func (m *Machine) hello(msg *wire.Hello) Step {
	if m.state != New {
		return m.outOfOrder(msg)
	}
	if missing := m.missing(msg); missing != "" {
		return m.Close(wire.ByeRefused, "HELLO."+missing+" is empty")
	}
	m.state = Greeted
	m.columns = msg.Wants&wire.WantColumns != 0
	m.leases.anyOrder = msg.Wants&wire.AnyOrder != 0
	return Step{Event: Hello{msg}}
}

// missing names the first field that the role needs and that is empty. The command line may leave all of them out.
func (m *Machine) missing(msg *wire.Hello) string {
	switch {
	case m.role == wire.RoleControl:
		return ""
	case msg.Program == "":
		return "program"
	case msg.Command == "":
		return "command"
	case msg.Worker == "":
		return "worker"
	}
	return ""
}

func (m *Machine) ready(msg *wire.Ready) Step {
	if m.state == Draining {
		return Step{Event: Ignored{msg}}
	}
	m.state = Ready
	m.leases.grant(msg)
	return Step{Event: Window{msg.Events, msg.Bytes}}
}

func (m *Machine) result(msg *wire.Result) Step {
	last, found, err := m.leases.settle(part{"RESULT", msg.Lease, msg.First, msg.Count})
	switch {
	case err != nil:
		return m.broken(err)
	case !found:
		return Step{Event: DroppedResult{msg}}
	}
	return m.goodbyeWhenDone(Step{Event: Settled{msg, last}})
}

// answers takes a result by columns. What is in the columns is judged by who knows the plan.
func (m *Machine) answers(msg *wire.Answers) Step {
	if !m.columns {
		return m.Close(wire.ByeOrder, "ANSWERS of a worker that has not asked for columns")
	}
	last, found, err := m.leases.settle(part{"ANSWERS", msg.Lease, msg.First, msg.Count})
	switch {
	case err != nil:
		return m.broken(err)
	case !found:
		return Step{Event: DroppedAnswers{msg}}
	}
	return m.goodbyeWhenDone(Step{Event: Answered{msg, last}})
}

func (m *Machine) returned(msg *wire.Return) Step {
	found, err := m.leases.giveBack(msg)
	switch {
	case err != nil:
		return m.broken(err)
	case !found:
		return Step{Event: DroppedReturn{msg}}
	}
	return m.goodbyeWhenDone(Step{Event: Returned{msg}})
}

// workerDrains: the receiver of a DRAIN is the one to say goodbye, here the bridge. A worker that was told to drain first
// is about to say it itself, so that its own DRAIN changes nothing.
func (m *Machine) workerDrains(msg *wire.Drain) Step {
	switch {
	case m.state == New:
		return m.outOfOrder(msg)
	case m.state == Draining:
		return Step{Event: Ignored{msg}}
	}
	m.state = Draining
	return m.goodbyeWhenDone(Step{Event: WorkerDrains{msg.Reason}})
}

func (m *Machine) goodbyeWhenDone(s Step) Step {
	if m.state == Draining && !m.bridge && m.leases.empty() {
		bye := m.Close(wire.ByeDone, "drained")
		s.Write, s.End = bye.Write, bye.End
	}
	return s
}

func (m *Machine) call(msg *wire.Call) Step {
	if _, used := m.calls[msg.ID]; used {
		return m.broken(&wire.Error{Code: wire.ByeOrder, At: "CALL.id", Why: fmt.Sprintf("%d is in flight", msg.ID)})
	}
	if len(m.calls) == wire.MaxCalls {
		return m.broken(&wire.Error{Code: wire.ByeLimit, At: "CALL", Why: fmt.Sprintf("more than %d in flight", wire.MaxCalls)})
	}
	m.calls[msg.ID] = struct{}{}
	return Step{Event: Called{msg}}
}

func (m *Machine) outOfOrder(msg wire.Message) Step {
	return m.Close(wire.ByeOrder, fmt.Sprintf("%v on a %v connection in state %v", msg.Type(), m.role, m.state))
}

// EOF tells that the stream has ended.
func (m *Machine) EOF(reason string) Step {
	if m.state == Closed {
		return Step{}
	}
	return Step{End: m.close(wire.ByeDone, reason, ByEOF)}
}
