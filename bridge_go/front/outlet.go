package front

import (
	"context"

	"ds-runner.dev/ds-runner/bridge_go/delivery"
	"ds-runner.dev/ds-runner/bridge_go/dispatch"
)

// Route makes the route of this front: c with the front as its source and its outlet, one batch in flight a worker unless c says more, no order.
// It is watched for readiness from then on.
func (f *Front) Route(c dispatch.Config) *dispatch.Route { return f.first.Route(c) }

// behindStuck is how many rows may be answered behind one that has no fate, before no more are taken: its request's time should be over
// first. So many are forty thousand a second for ten seconds, at 200 bytes each.
var behindStuck = delivery.Room{Events: 1 << 19, Bytes: 1 << 30}

// Route is [Front.Route] of this lane.
func (l *Lane) Route(c dispatch.Config) *dispatch.Route {
	c.Open, c.Outlet = l.Open, l.Outlet()
	c.OneInFlight, c.Adaptive, c.Order, c.Span = true, true, delivery.Unordered, behindStuck
	route := dispatch.New(c)
	l.abreast = c.Concurrency
	l.queue.follow(route.Pace, route.Forget)
	l.Watch(route.Status)
	return route
}

// Watch names who knows whether requests can be answered. It is asked ten times a second; until it has answered nothing is
// ready.
func (f *Front) Watch(status func() dispatch.Status) { f.first.Watch(status) }

// Outlet gives fates to the requests that wait for them.
func (f *Front) Outlet() dispatch.Outlet { return f.first.Outlet() }

type outlet struct{ queue *queue }

func kindOf(kind dispatch.FateKind) fateKind {
	switch kind {
	case dispatch.Scored:
		return scored
	case dispatch.Rejected:
		return rejected
	}
	return failed
}

// Settle never waits and never refuses: an answer without a reader is forgotten.
func (o outlet) Settle(_ context.Context, fates []dispatch.Fate) ([]dispatch.Refusal, error) {
	o.queue.settle(len(fates), func(i int) (int64, answer) {
		f := &fates[i]
		return f.Record.Offset, answer{
			fate: kindOf(f.Kind), outputs: own(f), code: f.Code, reason: f.Reason, detail: f.Detail, model: f.Model,
		}
	})
	return nil, nil
}

func (o outlet) Close(context.Context) error { return nil }

// own are the outputs that go to the client; those that the model routes to other streams have no way from here.
func own(f *dispatch.Fate) [][]byte {
	if len(f.Routes) == 0 {
		return f.Outputs
	}
	routed := make(map[int]bool, len(f.Routes))
	for _, r := range f.Routes {
		routed[r.Index] = true
	}
	var outputs [][]byte
	for i, output := range f.Outputs {
		if !routed[i] {
			outputs = append(outputs, output)
		}
	}
	return outputs
}
