package dispatch_test

import (
	"testing"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/dispatch/dispatchtest"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// A register keeps the names of the workers that a parent was asked to end.
type register chan string

func (c register) Cut(worker, _ string) { c <- worker }

func TestAParentThatComesLateIsAskedToEndTheWorkersThatHungMeanwhile(t *testing.T) { // T13 with a lost link of the parent
	log := dispatchtest.NewLog(10, 1, 0, true)
	// Long enough for a worker that is well to answer on a machine that has other things to do: it would be cut as well.
	r := start(t, log, func(c *dispatch.Config) { c.Bounded, c.Deadline = true, time.Second })
	release := make(chan struct{})
	defer close(release)
	hangs := func(w *dispatchtest.Worker, b *wire.Batch) *wire.Result {
		<-release
		return nil
	}
	hung := dispatchtest.Hire(r, "hung", 1, hangs)
	r.until("it is closed", func() bool { return hung.Closed() == wire.ByeDeadline })
	slow := dispatchtest.Hire(r, "slow", 2, hangs)
	r.until("so is the other", func() bool { return slow.Closed() == wire.ByeDeadline })
	dispatchtest.Hire(r, "slow", 2, dispatchtest.Echo) // it was only late, and has dialled again

	cuts := make(register, 2)
	defer r.Supervise(cuts)()

	if name := <-cuts; name != "hung" {
		t.Fatalf("asked to end %s", name)
	}
	r.ok()
	if len(cuts) > 0 {
		t.Fatalf("asked to end %s, too", <-cuts)
	}
	r.audit(dispatchtest.Audit{Scored: 10})
}
