package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"ds-runner.dev/ds-runner/bridge_go/delivery"
	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/dispatch/dispatchtest"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// A moody sink refuses records for now, whichever it likes, and stores those behind them.
type moody struct {
	shelf
	rng     *rand.Rand
	refused int
	widest  int
	inOrder bool
}

func (m *moody) Write(_ context.Context, records []messaging.Outgoing) error {
	m.widest = max(m.widest, len(records))
	var failed []messaging.WriteFailure
	for i := range records {
		if m.refused < 40 && m.rng.IntN(20) == 0 {
			m.refused++
			failed = append(failed, messaging.WriteFailure{Index: i, Err: errors.New("busy")})
			continue
		}
		m.records = append(m.records, copyOf(&records[i]))
	}
	if failed != nil {
		return &messaging.WriteError{Failed: failed}
	}
	return nil
}

func (m *moody) Info() messaging.SinkInfo { return messaging.SinkInfo{InOrder: m.inOrder} }

// through scores 2,000 events into a sink.
func through(t *testing.T, m *moody, order delivery.Order) {
	t.Helper()
	r := start(t, dispatchtest.NewLog(2_000, 2, 40, true), func(g *dispatch.Config) {
		g.Bounded, g.Order = true, order
		g.Outlet = dispatch.NewStreamOutlet(dispatch.StreamConfig{Program: "p", Command: "c", Main: dispatch.Target{Stream: "out", Sink: m}})
	})
	dispatchtest.Hire(r, "w", 1, dispatchtest.Echo)
	r.ok()
	if len(m.records) != 2_000 {
		t.Fatalf("%d records", len(m.records))
	}
}

func TestARecordThatIsWrittenAgainIsNotOvertakenByALaterOneOfItsLane(t *testing.T) { // DELIVERY 20
	for name, order := range map[string]delivery.Order{"key": delivery.ByKey, "partition": delivery.ByPartition} {
		t.Run(name, func(t *testing.T) {
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			m := &moody{rng: rand.New(rand.NewPCG(seed, 1))}
			through(t, m, order)
			last := map[string]int{}
			for i := range m.records {
				var partition, offset int
				fmt.Sscanf(header(&m.records[i], dispatch.HeaderSource), "in/%d/%d", &partition, &offset)
				lane := fmt.Sprint(partition)
				if order == delivery.ByKey {
					if m.records[i].Key == nil {
						continue
					}
					lane = string(m.records[i].Key)
				}
				if before, seen := last[lane]; seen && before > offset {
					t.Fatalf("%s: %d came behind %d, %d were refused", lane, offset, before, m.refused)
				}
				last[lane] = offset
			}
			if m.refused < 20 {
				t.Fatalf("only %d were refused", m.refused)
			}
		})
	}
}

func TestASinkThatKeepsTheOrderItselfGetsAllAtOnceAndSoDoesOneWithoutAnOrder(t *testing.T) {
	for _, m := range []*moody{{refused: 1000, inOrder: true}, {refused: 1000}} {
		order := delivery.Unordered
		if m.inOrder {
			order = delivery.ByKey
		}
		if through(t, m, order); m.widest < 100 {
			t.Errorf("in order %v: at most %d records at once", m.inOrder, m.widest)
		}
	}
}
