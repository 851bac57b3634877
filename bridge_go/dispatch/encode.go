package dispatch

import (
	"context"
	"fmt"
	"slices"
)

// An Encoder makes of a result what a stream carries. It waits for what may pass until the context ends; any other error is the
// value's own, for good.
type Encoder func(ctx context.Context, value []byte) ([]byte, error)

// encode makes of outputs what their streams carry: all that are to be stored together, before the first of them is stored. Fates
// with one that does not fit are refused. It is done once for each fate, however often that is tried; results stay beside, for those
// who look at them.
func (o *StreamOutlet) encode(ctx context.Context, fates []Fate, refused refusals) error {
	if !o.encodes {
		return nil
	}
	for i := range fates {
		f := &fates[i]
		if f.Kind != Scored || f.carried != nil {
			continue
		}
		carried, err := o.carried(ctx, f)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			o.c.Counts.Refusals.Add(1)
			refused.add(i, "output_refused", err.Error())
			continue
		}
		f.carried = carried
	}
	return nil
}

// carried are the outputs of a fate as their streams carry them.
func (o *StreamOutlet) carried(ctx context.Context, f *Fate) (_ [][]byte, err error) {
	carried, routes := slices.Clone(f.Outputs), f.Routes
	for j := range carried {
		to := o.c.Main
		if len(routes) > 0 && routes[0].Index == j {
			to, routes = o.c.Routed[routes[0].Stream], routes[1:]
		}
		if to.Encode == nil {
			continue
		}
		if carried[j], err = to.Encode(ctx, carried[j]); err != nil {
			return nil, fmt.Errorf("%s: %w", to.Stream, err)
		}
	}
	return carried, nil
}

// toStore are the outputs as they are stored.
func (f *Fate) toStore() [][]byte {
	if f.carried != nil {
		return f.carried
	}
	return f.Outputs
}

// encodesAny says whether a target has a format of its own.
func encodesAny(c StreamConfig) bool {
	encodes := c.Main.Encode != nil
	for _, to := range c.Routed {
		encodes = encodes || to.Encode != nil
	}
	return encodes
}
