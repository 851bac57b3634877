package shadow

import (
	"sync/atomic"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// Leases are those of a shadow's workers, as calls see them: what is read under one is read, what is written is not.
type Leases struct {
	route   *dispatch.Route
	dropped *atomic.Uint64
}

// Alive says whether a lease can still be answered.
func (l *Leases) Alive(lease wire.Lease) bool { return l.route.Alive(lease) }

// Stage drops the writes of a batch and counts them. ErrStale when the lease has ended, as for any worker.
func (l *Leases) Stage(lease wire.Lease, writes []dispatch.Staged) error {
	if !l.route.Alive(lease) {
		return dispatch.ErrStale
	}
	l.dropped.Add(uint64(len(writes)))
	return nil
}

// Called is told of answers, which are kept of the primary's calls alone.
func (l *Leases) Called(wire.Lease, string, []byte, []byte, *wire.CallError) {}
