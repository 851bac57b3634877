//go:build faults

package app

import (
	"context"
	"errors"
	"os"
	"slices"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/front"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/steps"
)

// Bugs that the fault tests must find: DS_FAULT names the one to run. An audit that misses them proves nothing.
//
//	commit-first   positions are committed when events are read, before their results are stored: a kill loses events
//	write-twice    every result is stored twice, under two message ids
//	half-stored    half of the results are stored, and all are taken for it
//	hang-up        a front that is to drain closes its connections, and what was sent on them is not answered
var seeded = os.Getenv("DS_FAULT")

func seededSource(s messaging.Source) messaging.Source {
	if seeded == "commit-first" {
		return commitFirst{s}
	}
	return s
}

func seededOutlet(o dispatch.Outlet) dispatch.Outlet {
	switch seeded {
	case "write-twice":
		return writeTwice{o}
	case "half-stored":
		return halfStored{o}
	}
	return o
}

// seededSink lets the bridge come to a step between two records of one write, whatever the connector. Kafka's has it in itself, for
// its transactions.
func seededSink(s messaging.Sink) messaging.Sink {
	if steps.Wanted(steps.HalfResults) {
		return halved{s}
	}
	return s
}

type halved struct{ messaging.Sink }

func (s halved) Write(ctx context.Context, records []messaging.Outgoing) error {
	half := len(records) / 2
	first := s.Sink.Write(ctx, records[:half])
	if first == nil {
		steps.At(steps.HalfResults)
	}
	return together(first, s.Sink.Write(ctx, records[half:]), half)
}

// seededFates does the same between two fates.
func seededFates(w messaging.FateWriter) messaging.FateWriter {
	if steps.Wanted(steps.HalfResults) {
		return halvedFates{w}
	}
	return w
}

type halvedFates struct{ messaging.FateWriter }

func (w halvedFates) WriteFates(ctx context.Context, fates []messaging.FateWrite) error {
	half := len(fates) / 2
	first := w.FateWriter.WriteFates(ctx, fates[:half])
	if first == nil {
		steps.At(steps.HalfResults)
	}
	return together(first, w.FateWriter.WriteFates(ctx, fates[half:]), half)
}

// together is the error of a write of two parts, the second of which began at half.
func together(first, second error, half int) error {
	var failed []messaging.WriteFailure
	for i, err := range []error{first, second} {
		var partial *messaging.WriteError
		if err != nil && !errors.As(err, &partial) {
			return err
		}
		if partial == nil {
			continue
		}
		for _, f := range partial.Failed {
			f.Index += i * half
			failed = append(failed, f)
		}
	}
	if failed == nil {
		return nil
	}
	slices.SortFunc(failed, func(a, b messaging.WriteFailure) int { return a.Index - b.Index })
	return &messaging.WriteError{Failed: failed}
}

type commitFirst struct{ messaging.Source }

func (s commitFirst) Read(ctx context.Context, limit messaging.Limit) ([]messaging.Record, error) {
	records, err := s.Source.Read(ctx, limit)
	if err != nil {
		return nil, err
	}
	last := records[len(records)-1]
	return records, s.Source.Commit(ctx, []messaging.Position{{Partition: last.Partition, Offset: last.Offset}})
}

// writeTwice is a Composer whatever it holds: transactions are asked of those alone that are one.
type writeTwice struct{ dispatch.Outlet }

func (o writeTwice) Settle(ctx context.Context, fates []dispatch.Fate) ([]dispatch.Refusal, error) {
	if refused, err := o.Outlet.Settle(ctx, renumbered(fates)); err != nil {
		return refused, err
	}
	return o.Outlet.Settle(ctx, fates)
}

func (o writeTwice) Transact(ctx context.Context, t messaging.Transactor, fates []dispatch.Fate, upTo []messaging.Position) ([]dispatch.Refusal, error) {
	refused, err := o.Outlet.(dispatch.Composer).Transact(ctx, t, append(slices.Clone(fates), renumbered(fates)...), upTo)
	return slices.DeleteFunc(refused, func(r dispatch.Refusal) bool { return r.Index >= len(fates) }), err
}

// renumbered are the same fates of other events: message ids are made of their offsets.
func renumbered(fates []dispatch.Fate) []dispatch.Fate {
	again := slices.Clone(fates)
	for i := range again {
		another := *again[i].Record
		another.Offset += 1 << 40
		again[i].Record = &another
	}
	return again
}

type halfStored struct{ dispatch.Outlet }

func (o halfStored) Settle(ctx context.Context, fates []dispatch.Fate) ([]dispatch.Refusal, error) {
	return o.Outlet.Settle(ctx, fates[:(len(fates)+1)/2])
}

func seededDrain(f *front.Front) func(context.Context) error {
	if seeded == "hang-up" {
		return func(context.Context) error { return f.Close() }
	}
	return f.Drain
}
