package dispatch_test

import (
	"bytes"
	"context"
	"testing"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/dispatch/dispatchtest"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

type page struct {
	bytes.Buffer
	closed bool
}

func (p *page) Close() error { p.closed = true; return nil }

func TestALedgerHasALineForEveryFate(t *testing.T) {
	var p page
	o := dispatch.NewLedgerOutlet(&p)
	routed := scored(2, `{"a":1}`, "plain text")
	routed.Routes = []dispatch.Routed{{Index: 1, Stream: "alerts"}}
	rejected := dead(3)
	rejected.Kind, rejected.Detail = dispatch.Rejected, nil
	settle(t, o, scored(0, `{"late":true}`), scored(1), routed, rejected, dead(4))
	if err := o.Close(context.Background()); err != nil || !p.closed {
		t.Fatal(err, p.closed)
	}
	want := `{"event":"departures/0/0","outputs":[{"late":true}],"model":"3"}
{"event":"departures/0/1","outputs":[],"model":"3"}
{"event":"departures/0/2","outputs":[{"a":1},"plain text"],"routes":{"1":"alerts"},"model":"3"}
{"event":"departures/0/3","rejected":{"code":"raised","reason":"ValueError: no"},"model":"3"}
{"event":"departures/0/4","dead":{"code":"raised","reason":"ValueError: no","detail":{"a":1},"attempts":2},"model":"3"}
`
	if p.String() != want {
		t.Fatalf("got\n%s\nwants\n%s", p.String(), want)
	}
}

// poisoned is a log with one event that raises in the middle.
type poisoned struct {
	*dispatchtest.Log
	n, poison int
}

func newPoisoned(*testing.T) *poisoned {
	return &poisoned{dispatchtest.NewLog(3_000, 1, 0, true), 3_000, 1_500}
}

func (p *poisoned) hire(r *rig) {
	dispatchtest.Hire(r, "w", 1, dispatchtest.Failing(func(id string) wire.ErrKind {
		if id == "0/1500" {
			return wire.KindFail
		}
		return 0
	}))
}
