package dispatch_test

import (
	"testing"

	"ds-runner.dev/ds-runner/bridge_go/dispatch/dispatchtest"
)

func TestARouteWithAStandbyIsReadyThroughADeath(t *testing.T) {
	log := dispatchtest.NewLog(100, 1, 0, false)
	r := start(t, log, nil)
	s := dispatchtest.HireStandby(r, "s", 1, dispatchtest.Echo)
	if is := r.Status(); is.Ready || is.Places() != 0 || len(is.Models) != 0 || !is.Workers[0].Standby {
		t.Fatalf("with a standby alone: %+v", is)
	}
	w := dispatchtest.Hire(r, "w", 2, dispatchtest.Echo)
	r.until("all is scored and the source is trusted", func() bool { return r.book.Events() == 100 && r.Status().Ready })
	if is := r.Status(); is.Places() != 1 || len(is.Workers) != 2 {
		t.Fatalf("with both: %+v", is)
	}
	w.Kill()
	r.until("the death is seen", func() bool {
		is := r.Status()
		if !is.Ready {
			t.Fatalf("the gap shows: %+v", is)
		}
		return len(is.Workers) == 1
	})
	log.Append(50, 1, 0)
	r.until("the standby scores", func() bool { return r.book.Events() == 150 })
	s.Drain("")
	r.until("nobody is left", func() bool { return !r.Status().Ready })
}
