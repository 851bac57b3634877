package dispatch

import (
	"context"
	"slices"

	"ds-runner.dev/ds-runner/bridge_go/delivery"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// FateKind is what became of an event.
type FateKind = delivery.Kind

const (
	Scored   = delivery.Scored
	Rejected = delivery.Rejected
	Dead     = delivery.Dead
)

// A Fate is the one end of one event, to be made durable.
type Fate struct {
	ID       delivery.Ticket
	Kind     FateKind
	Record   *messaging.Record // not nil
	Stream   string            // name of the input
	Outputs  [][]byte          // of a scored event; they point into the frame of its result
	Routes   []Routed          // outputs that go to another stream than the command's own, ascending
	Code     string            // of a rejected or dead event
	Reason   string
	Detail   []byte // JSON or nil
	Attempts int    // deliveries that it took
	Model    string // version that scored it last

	carried [][]byte // Outputs as their streams carry them, where those have formats of their own
}

// Routed sends one output of a fate to another stream.
type Routed struct {
	Index  int // into Outputs
	Stream string
}

// An Outlet makes fates durable. It is used by one goroutine.
type Outlet interface {
	// Settle returns when all fates are durable, in their order, but those refused for good: they are settled again as dead.
	// It retries everything else itself, with back-off, until the context ends. Another error ends the route.
	Settle(ctx context.Context, fates []Fate) (refused []Refusal, err error)
	Close(ctx context.Context) error
}

// A Refusal is a fate that will never be stored as it is.
type Refusal struct {
	Index        int // into the fates
	Code, Reason string
}

// fateOf fills f with what the core decided.
func (r *Route) fateOf(f *Fate, d *delivery.Fate, model string) {
	e := d.Event
	f.ID, f.Kind, f.Record, f.Stream = e, d.Kind, e.Record, r.cfg.Stream
	f.Attempts, f.Model = e.Tries+1, model
	if d.Failure == nil {
		return
	}
	f.Code, f.Reason, f.Detail = d.Failure.Code, d.Failure.Reason, d.Failure.Detail
	f.Model = d.Failure.Model
	if d.Kind == Dead {
		f.Attempts = e.Tries
	}
}

// collect takes the fates that the last call of the core gave; a is the result that it settled, if it was one.
func (r *Route) collect(a *answer) {
	decided := r.core.Fates()
	r.pending = slices.Grow(r.pending, len(decided))
	for i := range decided {
		d := &decided[i]
		r.pending = append(r.pending, Fate{})
		f := &r.pending[len(r.pending)-1]
		r.fateOf(f, d, a.model)
		if d.Kind == Scored {
			f.Outputs = a.outputs[d.First : d.First+d.N]
			f.Routes = a.routed(d.First, d.N)
		}
		if r.sequenced() {
			r.inSequence()
			continue
		}
		r.backlog += f.bytes()
	}
}

func (f *Fate) bytes() int {
	n := len(f.Record.Value) + len(f.Detail)
	for _, o := range f.Outputs {
		n += len(o)
	}
	return n
}
