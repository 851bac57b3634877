package session_test

import (
	"testing"

	"ds-runner.dev/ds-runner/bridge_go/session"
	"ds-runner.dev/ds-runner/bridge_go/wire"
	"ds-runner.dev/ds-runner/bridge_go/wire/wiretest"
)

// Whatever a worker says: a session ends at most once, says nothing after its end, and every lease is answered or returned,
// never both.
func FuzzT24Machine(f *testing.F) {
	script := frames(f)
	f.Add(uint8(1), []byte{0, 1, 200, 2, 3})
	f.Add(uint8(2), []byte{0, 4, 4, 5})
	f.Fuzz(func(t *testing.T, role uint8, moves []byte) {
		l := &ledger{Machine: session.NewMachine(wire.Role(role%4 + 1)), t: t, open: map[wire.Lease]bool{}}
		for i, move := range moves {
			l.move(move, i, script)
		}
		l.take(l.EOF("end of the input"))
		if !l.ended || len(l.open) > 0 {
			t.Fatalf("ended %v with %v open", l.ended, l.open)
		}
	})
}

// frames are all that the stories' workers say.
func frames(f *testing.F) [][]byte {
	var script [][]byte
	seen := map[string]bool{}
	for _, name := range []string{"life-of-an-events-connection", "columns", "columns-in-parts", "result-in-parts", "return-of-the-rest", "drain-of-the-worker", "calls", "supervisor",
		"control", "unknown-type-above-128", "unknown-type-below-128"} {
		for _, step := range wiretest.Stories(f)[name].Steps {
			if body := step.Body(f); step.From == "worker" && !seen[string(body)] {
				seen[string(body)] = true
				script = append(script, body)
			}
		}
	}
	return script
}

// A ledger is a machine whose leases are counted.
type ledger struct {
	*session.Machine
	t     *testing.T
	open  map[wire.Lease]bool
	ended bool
}

// move is a frame from the worker, or for large numbers something that the bridge wants.
func (l *ledger) move(move byte, number int, script [][]byte) {
	switch {
	case move < 200:
		l.take(l.Receive(wire.Decode(script[int(move)%len(script)], wire.Minor)))
	case move < 230:
		b := &wire.Batch{Lease: wire.Lease{Nonce: 1, Batch: uint64(7 + number%3)}, Payloads: make([][]byte, 2+int(move)%3)}
		if step, err := l.Send(b); err == nil {
			l.open[b.Lease] = true
			l.take(step)
		}
	case move < 240:
		if step, err := l.Welcome(&wire.Welcome{Nonce: 1}); err == nil {
			l.take(step)
		}
	case move < 250:
		l.take(l.Drain("drain"))
	default:
		l.take(l.Close(wire.ByeDone, "enough"))
	}
}

func (l *ledger) take(s session.Step) {
	if l.ended && (len(s.Write) > 0 || s.End != nil) {
		l.t.Fatalf("said %v after the end", s.Write)
	}
	switch e := s.Event.(type) {
	case session.Settled:
		if e.Last {
			l.close(e.Result.Lease)
		}
	case session.Answered:
		if e.Last {
			l.close(e.Answers.Lease)
		}
	case session.Returned:
		l.close(e.Return.Lease)
	}
	if s.End != nil {
		l.ended = true
		for _, lease := range s.End.Leases {
			l.close(lease)
		}
	}
}

func (l *ledger) close(lease wire.Lease) {
	if !l.open[lease] {
		l.t.Fatalf("%+v ended twice", lease)
	}
	delete(l.open, lease)
}
