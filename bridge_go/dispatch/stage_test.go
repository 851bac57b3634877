package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/dispatch/dispatchtest"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// staging answers each batch after it has staged one write for it.
func staging(r **rig, apply func(context.Context) error) dispatchtest.Score {
	return func(w *dispatchtest.Worker, b *wire.Batch) *wire.Result {
		if err := (*r).Stage(b.Lease, []dispatch.Staged{{What: "put", Apply: apply}}); err != nil {
			panic(err)
		}
		return dispatchtest.Echo(w, b)
	}
}

func TestStagedWritesAreDoneOnceABatchAndBeforeItsFates(t *testing.T) { // DELIVERY 12
	var r *rig
	var applied, failed atomic.Int64
	log := dispatchtest.NewLog(1_000, 1, 10, true)
	r = start(t, log, bounded)
	dispatchtest.Hire(r, "w1", 1, staging(&r, func(context.Context) error {
		if failed.Add(1) == 1 {
			return errors.New("not now") // what may pass is tried again
		}
		applied.Add(1)
		return nil
	}))
	r.ok()
	r.audit(dispatchtest.Audit{Scored: 1_000})
	if got := applied.Load(); got < 4 {
		t.Fatalf("%d writes for 1,000 events in batches of 256", got)
	}
}

func TestAWriteThatIsRefusedForGoodIsGivenUp(t *testing.T) {
	var r *rig
	counts := &dispatch.SinkCounts{}
	r = start(t, dispatchtest.NewLog(100, 1, 10, true), func(c *dispatch.Config) { c.Bounded, c.Sinks = true, counts })
	dispatchtest.Hire(r, "w1", 1, staging(&r, func(context.Context) error {
		return fmt.Errorf("too large: %w", dispatch.ErrRefused)
	}))
	r.ok()
	if counts.StagedRefusals.Load() == 0 {
		t.Fatal("nothing was counted")
	}
}

func TestWritesOfABatchThatWasTakenBackAreDropped(t *testing.T) {
	var r *rig
	var applied atomic.Int64
	r = start(t, dispatchtest.NewLog(10, 1, 10, true), bounded)
	staged := make(chan wire.Lease, 1)
	first := dispatchtest.Hire(r, "w1", 1, func(_ *dispatchtest.Worker, b *wire.Batch) *wire.Result {
		err := r.Stage(b.Lease, []dispatch.Staged{{What: "put", Apply: func(context.Context) error { applied.Add(1); return nil }}})
		if err != nil {
			panic(err)
		}
		staged <- b.Lease
		return nil
	})
	lease := <-staged
	first.Kill()
	<-first.Done()
	r.until("the lease has ended", func() bool { return !r.Alive(lease) })
	if err := r.Stage(lease, nil); !errors.Is(err, dispatch.ErrStale) {
		t.Fatalf("staging under a lease that has ended: %v", err)
	}
	dispatchtest.Hire(r, "w2", 2, dispatchtest.Echo)
	r.ok()
	if applied.Load() != 0 {
		t.Fatal("the write of a batch that was never answered was done")
	}
}
