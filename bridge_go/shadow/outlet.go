package shadow

import (
	"context"
	"math"
	"runtime"
	"sync/atomic"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
)

// A comparison is where the fates of a shadow go: each is held against the primary's and counted.
type comparison struct {
	queue     *queue
	tally     *tally
	apart     float64
	tolerance *atomic.Uint64
}

// Settle implements dispatch.Outlet.
func (c *comparison) Settle(_ context.Context, fates []dispatch.Fate) ([]dispatch.Refusal, error) {
	within := tolerance{c.apart, math.Float64frombits(c.tolerance.Load())}
	for i := range fates {
		f := &fates[i]
		primary := c.queue.answered(f.Record)
		if primary == nil {
			continue
		}
		differences := compare(primary, f, within)
		c.tally.add(primary, f, differences)
		if len(differences) > 0 {
			runtime.Gosched() // reading JSON takes a while, and the primary's loop has a processor in common with this
		}
	}
	return nil, nil
}

// Close implements dispatch.Outlet.
func (c *comparison) Close(context.Context) error { return nil }
