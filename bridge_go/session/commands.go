package session

import (
	"errors"
	"fmt"

	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// ErrClosed is the error of what cannot be said any more.
var ErrClosed = errors.New("session: the connection is closed")

// Welcome answers HELLO.
func (m *Machine) Welcome(w *wire.Welcome) (Step, error) {
	if m.state == Closed {
		return Step{}, ErrClosed
	}
	if m.state != Greeted && m.state != Draining || m.welcomed {
		return Step{}, fmt.Errorf("session: WELCOME in state %v", m.state)
	}
	m.welcomed = true
	s := Step{Write: []wire.Message{w}}
	if m.drained != nil {
		s.Write = append(s.Write, m.drained)
	}
	return s, nil
}

// Send leases a batch to the worker. While the worker drains ErrClosed is returned: it takes no more. Any other error is a
// mistake of the caller's, and nothing was leased.
func (m *Machine) Send(b *wire.Batch) (Step, error) {
	switch {
	case m.state == Closed, m.state == Draining && !m.bridge:
		return Step{}, ErrClosed
	case m.state != Ready:
		return Step{}, fmt.Errorf("session: BATCH in state %v", m.state)
	}
	if err := m.leases.open(b); err != nil {
		return Step{}, err
	}
	return Step{Write: []wire.Message{b}}, nil
}

// Drain says that no more batches will come. On an events connection the worker answers what it has and says goodbye.
func (m *Machine) Drain(reason string) Step {
	if m.state == Closed || m.state == New || m.bridge {
		return Step{}
	}
	m.bridge = true
	if m.role == wire.RoleEvents {
		m.state = Draining
	}
	drain := &wire.Drain{Reason: wire.Text(reason, wire.MaxReason)}
	if !m.welcomed {
		m.drained = drain
		return Step{}
	}
	return Step{Write: []wire.Message{drain}}
}

// Answer answers a call in flight. It is ErrClosed when nobody waits for it any more.
func (m *Machine) Answer(a *wire.Answer) (Step, error) {
	if _, waiting := m.calls[a.ID]; !waiting || m.state == Closed {
		return Step{}, ErrClosed
	}
	delete(m.calls, a.ID)
	return Step{Write: []wire.Message{a}}, nil
}

// Cut asks a supervisor to end a worker.
func (m *Machine) Cut(c *wire.Cut) (Step, error) {
	if m.state == Closed {
		return Step{}, ErrClosed
	}
	if m.role != wire.RoleSupervisor || !m.welcomed {
		return Step{}, fmt.Errorf("session: CUT on a %v connection in state %v", m.role, m.state)
	}
	return Step{Write: []wire.Message{c}}, nil
}

// Close says goodbye. It does nothing on a closed session.
func (m *Machine) Close(code wire.ByeCode, reason string) Step {
	if m.state == Closed {
		return Step{}
	}
	bye := &wire.Bye{Code: code, Reason: wire.Text(reason, wire.MaxReason)}
	return Step{Write: []wire.Message{bye}, End: m.close(code, bye.Reason, ByBridge)}
}

func (m *Machine) close(code wire.ByeCode, reason string, by Side) *End {
	m.state = Closed
	clear(m.calls)
	return &End{Code: code, Reason: reason, By: by, Leases: m.leases.all()}
}

// broken closes with the code of the rule that was broken.
func (m *Machine) broken(err error) Step {
	var rule *wire.Error
	if errors.As(err, &rule) {
		return m.Close(rule.Code, rule.Reason())
	}
	return m.Close(wire.ByeMalformed, err.Error())
}
