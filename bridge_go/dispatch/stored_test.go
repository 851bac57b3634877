package dispatch_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/dispatch/dispatchtest"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
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

// A gossip keeps what a route tells of.
type gossip struct {
	mu   sync.Mutex
	told map[string][]dispatch.FateKind // by partition/offset
}

func (g *gossip) hear(fates []dispatch.Fate) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range fates {
		id := fmt.Sprintf("%d/%d", fates[i].Record.Partition, fates[i].Record.Offset)
		g.told[id] = append(g.told[id], fates[i].Kind)
	}
}

// once fails unless each event was told of once, as dead where that is so.
func (g *gossip) once(t *testing.T, records []messaging.Record, dead func(messaging.Record) bool) {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, r := range records {
		want := dispatch.Scored
		if dead(r) {
			want = dispatch.Dead
		}
		if kinds := g.told[fmt.Sprintf("%d/%d", r.Partition, r.Offset)]; len(kinds) != 1 || kinds[0] != want {
			t.Fatalf("event %d/%d was told of as %v, wants one %v", r.Partition, r.Offset, kinds, want)
		}
	}
}

func TestWhatIsToldOfAsStoredIsEachFateOnceAndNoneThatWasRefused(t *testing.T) {
	g := &gossip{told: map[string][]dispatch.FateKind{}}
	log := dispatchtest.NewLog(1_000, 1, 0, true)
	r := start(t, log, func(c *dispatch.Config) {
		c.Bounded, c.Outlet, c.Stored = true, choosy{dispatchtest.NewBook()}, g.hear
	})
	dispatchtest.Hire(r, "w", 1, dispatchtest.Echo)
	r.ok()
	g.once(t, log.Records(), func(r messaging.Record) bool { return r.Offset%2 == 0 })
}

func TestATransactionIsToldOfWhenItIsStoredAndNotWhenARecordOfItIsRefused(t *testing.T) {
	g := &gossip{told: map[string][]dispatch.FateKind{}}
	c := newCluster(2, 500, 1)
	c.faults = false
	c.refuse = func(o *messaging.Outgoing) bool { return strings.HasPrefix(string(o.Value), "f 0/40.") }
	r := transactional(t, c, func(d *dispatch.Config) { d.Stored = g.hear })
	dispatchtest.Hire(r, "w", 1, dispatchtest.Echo)
	r.until("all positions are stored", c.settled)
	r.until("all is told of", func() bool { g.mu.Lock(); defer g.mu.Unlock(); return len(g.told) == 1_000 })
	for _, partition := range c.topic {
		g.once(t, partition, func(r messaging.Record) bool { return r.Partition == 0 && r.Offset == 40 })
	}
}
