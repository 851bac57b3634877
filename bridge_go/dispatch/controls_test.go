package dispatch_test

import (
	"context"
	"testing"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/dispatch/dispatchtest"
)

// Each of these has a bug seeded, and the audit must find it: an audit that finds nothing anywhere proves nothing.

func TestT0aTheAuditFindsPositionsCommittedBeforeResultsAreStored(t *testing.T) {
	if lost := storm(t, true).Lost; lost == 0 {
		t.Fatal("events are committed before they are stored, the bridge is killed, and the audit has lost none")
	}
	if a := storm(t, false); a.Lost != 0 {
		t.Fatalf("without the bug: %+v", a)
	}
}

// storm kills a bridge again and again while it scores.
func storm(t *testing.T, seeded bool) dispatchtest.Audit {
	log, book := dispatchtest.NewLog(20_000, 1, 0, false), dispatchtest.NewBook()
	for kills := 0; log.Committed() < 20_000; kills++ {
		var outlet dispatch.Outlet = book
		kill := func() {}
		if seeded {
			outlet, kill = dispatchtest.Premature(book, 20*time.Millisecond)
		}
		r := start(t, log, func(c *dispatch.Config) { c.Outlet = outlet })
		dispatchtest.Hire(r, "w", 1, dispatchtest.Echo)
		time.Sleep(time.Duration(2+kills%9+kills/5) * time.Millisecond) // longer and longer: where the machine is slow, it ends too
		kill()
		r.cancel()
		r.end()
	}
	return book.Audit(log.Records())
}

func TestT0bTheAuditFindsResultsThatAreAppliedWrongly(t *testing.T) {
	for name, c := range map[string]struct {
		bug   func([]dispatch.Fate) []dispatch.Fate
		found func(dispatchtest.Audit) int
	}{
		"applied twice":             {dispatchtest.Twice, func(a dispatchtest.Audit) int { return a.Duplicates }},
		"index off by one":          {dispatchtest.Shifted, func(a dispatchtest.Audit) int { return a.Wrong }},
		"half a batch acknowledged": {dispatchtest.Half, func(a dispatchtest.Audit) int { return a.Lost }},
	} {
		t.Run(name, func(t *testing.T) {
			log, book := dispatchtest.NewLog(2_000, 1, 0, true), dispatchtest.NewBook()
			r := start(t, log, func(cfg *dispatch.Config) {
				cfg.Bounded, cfg.Outlet = true, dispatchtest.Tampering(book, c.bug)
			})
			dispatchtest.Hire(r, "w", 1, dispatchtest.Echo)
			if err := r.end(); err != nil && err != context.Canceled {
				t.Fatal(err)
			}
			if a := book.Audit(log.Records()); c.found(a) == 0 {
				t.Fatalf("not found: %+v", a)
			}
		})
	}
}
