package dispatch_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/delivery"
	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/dispatch/dispatchtest"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// A spring is a source of so many events, each made when it is read.
type spring struct {
	left, size int
	next       int64
	committed  atomic.Int64
}

func (s *spring) Read(ctx context.Context, limit messaging.Limit) ([]messaging.Record, error) {
	n := min(s.left, limit.Events, max(1, limit.Bytes/s.size))
	if n == 0 {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	block, records := make([]byte, n*s.size), make([]messaging.Record, n)
	for i := range records {
		value := block[i*s.size : (i+1)*s.size]
		copy(value, fmt.Sprint("0/", s.next, " "))
		records[i] = messaging.Record{Offset: s.next, Key: value[:8], Value: value}
		s.next++
	}
	s.left -= n
	return records, nil
}

func (s *spring) Commit(_ context.Context, upTo []messaging.Position) error {
	s.committed.Store(upTo[0].Offset + 1)
	return nil
}
func (s *spring) Lag(context.Context) int64   { return -1 }
func (s *spring) Close(context.Context) error { return nil }

// A drain takes records at a pace, or never.
type drain struct {
	dead  bool
	pace  time.Duration // of each write
	asked atomic.Int64
}

func (d *drain) Write(ctx context.Context, records []messaging.Outgoing) error {
	d.asked.Add(1)
	if d.dead {
		<-ctx.Done()
		return ctx.Err()
	}
	time.Sleep(d.pace)
	return nil
}
func (d *drain) Info() messaging.SinkInfo    { return messaging.SinkInfo{InOrder: true} }
func (d *drain) Close(context.Context) error { return nil }

// heap watches how much is in use at most, beyond what was in use before.
func heap(t *testing.T) (peak func() int) {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	before, most, over, done := m.HeapInuse, uint64(0), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for tick := time.NewTicker(20 * time.Millisecond); ; {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapInuse)
			select {
			case <-tick.C:
			case <-over:
				tick.Stop()
				return
			}
		}
	}()
	return func() int {
		close(over)
		<-done
		return int(most) - int(min(most, before))
	}
}

// bookkeeping is what an event takes besides its bytes and those of its results.
const bookkeeping = 1 << 10

// bound is DESIGN.md's: the collector lets the heap grow to twice what is alive.
func bound(intake delivery.Room, size, output, inFlight int) int {
	events := min(intake.Events, intake.Bytes/size+1)
	results := min(events*output, 64<<20+inFlight*output)
	return 2*(events*(size+bookkeeping)+results) + 8<<20
}

func TestMemoryIsBoundWithADeadSinkAndASlowOne(t *testing.T) {
	events := 1_000_000
	if os.Getenv("DS_LONG") != "" {
		events = 10_000_000
	}
	intake := delivery.Room{Events: 16384, Bytes: 64 << 20}
	const inFlight = 1024 // the window of a worker of dispatchtest
	for _, c := range []struct {
		name         string
		size, output int
		sink         *drain
		sequenced    bool
	}{
		{"dead, small events", 300, 40, &drain{dead: true}, false},
		{"dead, large events", 16 << 10, 40, &drain{dead: true}, false},
		{"dead, large results", 300, 16 << 10, &drain{dead: true}, false},
		{"slow, small events", 300, 40, &drain{pace: time.Millisecond}, false},
		{"slow, in sequence", 300, 40, &drain{pace: time.Millisecond}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, peak := &spring{left: events, size: c.size}, heap(t)
			r := start(t, noLog(), func(g *dispatch.Config) {
				g.Open = func(context.Context, []byte) (messaging.Source, error) { return s, nil }
				g.Order, g.Sequenced = delivery.ByKey, c.sequenced
				g.Outlet = dispatch.NewStreamOutlet(dispatch.StreamConfig{Program: "p", Command: "c", Main: dispatch.Target{Stream: "out", Sink: c.sink}})
			})
			answer := make([]byte, c.output)
			dispatchtest.Hire(r, "w", 1, func(_ *dispatchtest.Worker, b *wire.Batch) *wire.Result {
				x := &wire.Result{Lease: b.Lease, Count: uint64(len(b.Payloads))}
				for range b.Payloads {
					x.Lines = append(append(x.Lines, answer...), '\n')
				}
				return x
			})
			if c.sink.dead {
				settled := uint64(0)
				r.until("the sink is asked, and nothing more is read", func() bool {
					was := settled
					settled = r.Status().In
					time.Sleep(300 * time.Millisecond)
					return c.sink.asked.Load() > 0 && settled > 0 && settled == was
				})
				if in := r.Status().In; in > uint64(intake.Events) {
					t.Errorf("%d events were read", in)
				}
			} else {
				for deadline := time.Now().Add(10 * time.Minute); s.committed.Load() < int64(events); time.Sleep(10 * time.Millisecond) {
					if time.Now().After(deadline) {
						t.Fatalf("%d of %d committed", s.committed.Load(), events)
					}
				}
			}
			used, most := peak(), bound(intake, c.size, c.output, inFlight)
			t.Logf("heap at most %d MiB, bound %d MiB", used>>20, most>>20)
			// Where others have the processors, the collector finishes late, and the heap grows on meanwhile.
			if used > most+most/20 {
				t.Errorf("the heap had %d bytes, the bound is %d", used, most)
			}
			r.cancel()
			r.end()
		})
	}
}
