package dispatch_test

import (
	"context"
	"testing"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/dispatch/dispatchtest"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

func TestAPausedRouteHasCommittedWhatItReadAndReadsNothingUntilItIsResumed(t *testing.T) {
	log := dispatchtest.NewLog(40_000, 2, 50, false)
	r := start(t, log, nil)
	dispatchtest.Hire(r, "w1", 1, dispatchtest.Echo)
	r.until("something is scored", func() bool { return r.Status().Scored > 0 })
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := r.Pause(ctx); err != nil {
		t.Fatal(err)
	}
	s := r.Status()
	if s.State != "paused" || s.Unsettled != 0 || !r.Paused() {
		t.Fatalf("after Pause: %+v", s)
	}
	if got := log.Committed(); got != int(s.In) {
		t.Fatalf("committed %d of %d events read", got, s.In)
	}
	r.Resume()
	r.until("all is scored", func() bool { return r.Status().Scored == 40_000 })
	r.audit(dispatchtest.Audit{Scored: 40_000})
}

func TestAPauseWhoseTimeIsUpLeavesTheSourceWithWorkOut(t *testing.T) {
	log := dispatchtest.NewLog(500, 1, 10, false)
	r := start(t, log, func(c *dispatch.Config) { c.Deadline = time.Minute })
	asleep := dispatchtest.Hire(r, "w1", 1, func(*dispatchtest.Worker, *wire.Batch) *wire.Result { return nil })
	r.until("a batch is out", func() bool { return r.Status().InFlight > 0 })
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := r.Pause(ctx); err != nil {
		t.Fatal(err)
	}
	asleep.Kill()
	r.Resume()
	dispatchtest.Hire(r, "w2", 2, dispatchtest.Echo)
	r.until("all is scored", func() bool { return r.Status().Scored == 500 })
}

func TestARouteThatBeginsPausedReadsNothingUntilItIsResumed(t *testing.T) {
	log := dispatchtest.NewLog(500, 1, 10, false)
	r := start(t, log, func(c *dispatch.Config) { c.Paused = true })
	dispatchtest.Hire(r, "w1", 1, dispatchtest.Echo)
	r.until("the worker has come", func() bool { return len(r.Status().Workers) == 1 })
	if s := r.Status(); s.State != "paused" || s.Ready || s.Why != "paused by the operator" || s.In != 0 {
		t.Fatalf("at the start: %+v", s)
	}
	r.Resume()
	r.until("all is scored", func() bool { return r.Status().Scored == 500 })
}
