//go:build faults

package app

import (
	"context"
	"os"
	"slices"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// Bugs that the fault tests must find: DS_FAULT names the one to run. An audit that misses them proves nothing.
//
//	commit-first   positions are committed when events are read, before their results are stored: a kill loses events
//	write-twice    every result is stored twice, under two message ids
var seeded = os.Getenv("DS_FAULT")

func seededSource(s messaging.Source) messaging.Source {
	if seeded == "commit-first" {
		return commitFirst{s}
	}
	return s
}

func seededOutlet(o dispatch.Outlet) dispatch.Outlet {
	if seeded == "write-twice" {
		return writeTwice{o}
	}
	return o
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

type writeTwice struct{ dispatch.Outlet }

func (o writeTwice) Settle(ctx context.Context, fates []dispatch.Fate) ([]dispatch.Refusal, error) {
	again := slices.Clone(fates)
	for i := range again {
		another := *again[i].Record
		another.Offset += 1 << 40 // message ids are made of it
		again[i].Record = &another
	}
	if refused, err := o.Outlet.Settle(ctx, again); err != nil {
		return refused, err
	}
	return o.Outlet.Settle(ctx, fates)
}
