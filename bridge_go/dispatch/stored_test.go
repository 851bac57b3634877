package dispatch_test

import (
	"context"
	"sync"
	"testing"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/dispatch/dispatchtest"
)

// choosy refuses every event of an even offset once.
type choosy struct{ *dispatchtest.Book }

func (c choosy) Settle(ctx context.Context, fates []dispatch.Fate) (refused []dispatch.Refusal, err error) {
	for i := range fates {
		if fates[i].Kind == dispatch.Scored && fates[i].Record.Offset%2 == 0 {
			refused = append(refused, dispatch.Refusal{Index: i, Code: "no", Reason: "even"})
		}
	}
	return refused, nil
}

func TestWhatIsToldOfAsStoredIsEachFateOnceAndNoneThatWasRefused(t *testing.T) {
	var mu sync.Mutex
	told := map[int64][]dispatch.FateKind{}
	log := dispatchtest.NewLog(1_000, 1, 0, true)
	r := start(t, log, func(c *dispatch.Config) {
		c.Bounded, c.Outlet = true, choosy{dispatchtest.NewBook()}
		c.Stored = func(fates []dispatch.Fate) {
			mu.Lock()
			defer mu.Unlock()
			for i := range fates {
				told[fates[i].Record.Offset] = append(told[fates[i].Record.Offset], fates[i].Kind)
			}
		}
	})
	dispatchtest.Hire(r, "w", 1, dispatchtest.Echo)
	r.ok()
	for offset := range int64(1_000) {
		want := dispatch.Scored
		if offset%2 == 0 {
			want = dispatch.Dead
		}
		if kinds := told[offset]; len(kinds) != 1 || kinds[0] != want {
			t.Fatalf("event %d was told of as %v, wants one %v", offset, kinds, want)
		}
	}
}
