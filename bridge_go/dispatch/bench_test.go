package dispatch_test

import (
	"context"
	"fmt"
	"io"
	"syscall"
	"testing"

	"ds-runner.dev/ds-runner/bridge_go/delivery"
	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/dispatch/dispatchtest"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// BenchmarkRoute is what an event of 300 bytes with an answer of 40 costs in a route, without a socket: source, core, frames, results,
// outlet with headers, sink. cpu-ns/event is the process's, with the fake worker and the garbage collector.
func BenchmarkRoute(b *testing.B) {
	for _, order := range []delivery.Order{delivery.Unordered, delivery.ByKey} {
		for _, workers := range []int{1, 2} {
			b.Run(fmt.Sprintf("order=%d/workers=%d", order, workers), func(b *testing.B) { benchRoute(b, order, workers) })
		}
	}
}

func benchRoute(b *testing.B, order delivery.Order, workers int) {
	src := newEndless(b.N)
	sink := &counting{}
	r := dispatch.New(dispatch.Config{
		Program: "p", Command: "c", Stream: "departures", Nonce: nonce, Bounded: true, Order: order,
		Open:   func(context.Context, []byte) (messaging.Source, error) { return src, nil },
		Outlet: dispatch.NewStreamOutlet(dispatch.StreamConfig{Program: "p", Command: "c", Main: dispatch.Target{Stream: "estimates", Sink: sink}}),
	})
	answers := answersOf(src)
	b.ReportAllocs()
	b.ResetTimer()
	before := cpu()
	for i := range workers {
		dispatchtest.Hire(r, fmt.Sprint("w", i), uint64(i+1), answers)
	}
	if err := r.Run(context.Background()); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(cpu()-before)/float64(b.N), "cpu-ns/event")
	if sink.n != b.N {
		b.Fatalf("%d outputs of %d events", sink.n, b.N)
	}
}

func cpu() int64 {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return u.Utime.Nano() + u.Stime.Nano()
}

// answersOf answers from a buffer that is made once: the worker's own cost is not a route's.
func answersOf(*endless) dispatchtest.Score {
	lines := make([]byte, 0, 256*41)
	for range 256 {
		lines = append(lines, `{"arr_delay":12.25,"late":false,"n":12345}`[:40]+"\n"...)
	}
	return func(_ *dispatchtest.Worker, b *wire.Batch) *wire.Result {
		n := len(b.Payloads)
		return &wire.Result{Lease: b.Lease, Count: uint64(n), Lines: append([]byte(nil), lines[:41*n]...)}
	}
}

// endless is a source of events that cost nothing to make.
type endless struct {
	next, n int
	value   []byte
	keys    [][]byte
}

func newEndless(n int) *endless {
	e := &endless{n: n, value: make([]byte, 300)}
	for i := range 10_000 {
		e.keys = append(e.keys, fmt.Appendf(nil, "key-%d", i))
	}
	return e
}

func (e *endless) Read(_ context.Context, limit messaging.Limit) ([]messaging.Record, error) {
	n := min(limit.Events, e.n-e.next, limit.Bytes/300+1)
	if n == 0 {
		return nil, io.EOF
	}
	records := make([]messaging.Record, n)
	for i := range records {
		records[i] = messaging.Record{Key: e.keys[(e.next*7919)%len(e.keys)], Value: e.value, Offset: int64(e.next)}
		e.next++
	}
	return records, nil
}

func (e *endless) Commit(context.Context, []messaging.Position) error { return nil }
func (e *endless) Lag(context.Context) int64                          { return 0 }
func (e *endless) Close(context.Context) error                        { return nil }

type counting struct{ n int }

func (c *counting) Write(_ context.Context, records []messaging.Outgoing) error {
	c.n += len(records)
	return nil
}
func (c *counting) Info() messaging.SinkInfo    { return messaging.SinkInfo{} }
func (c *counting) Close(context.Context) error { return nil }
