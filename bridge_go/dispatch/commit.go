package dispatch

import (
	"context"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/steps"
)

const (
	commitTimeout = 10 * time.Second
	lagEvery      = time.Second
)

// commit sends positions to the committer: not at each settled event, since a commit is a round trip and often a write, and
// one too few costs only duplicates after a crash.
func (r *Route) commit() {
	switch {
	case r.settled == 0:
	case r.commitAt == 0:
		r.commitAt = r.now + int64(r.cfg.CommitEvery)
	}
	due := r.commitAt != 0 && r.now >= r.commitAt || r.settled >= r.cfg.CommitEvents
	if f := r.feed; due && f != nil && f.commits != nil && !f.committing {
		r.gather()
		r.settled, r.commitAt = 0, 0
		if len(r.position) == 0 || f.left {
			return
		}
		f.committing, f.asked = true, r.now
		f.commits <- r.positions()
		clear(r.position)
	} else if due {
		r.commitAt = r.now + int64(r.cfg.CommitEvery)
	}
}

// gather takes the positions that have moved out of the core. Those of a source that stores them with the outputs are
// stored already.
func (r *Route) gather() {
	moved := r.core.Commits()
	if t := r.cfg.Transaction; t != nil && t.By == nil {
		r.count.commits += uint64(len(moved))
		return
	}
	for _, p := range moved {
		r.position[p.Partition] = p
	}
}

// committer is the goroutine that commits.
func (r *Route) committer(f *feed) {
	var last error
	defer func() { f.commitDone <- last; close(f.commitDone) }()
	tick := time.NewTicker(lagEvery)
	defer tick.Stop()
	for {
		select {
		case positions, open := <-f.commits:
			if !open {
				return
			}
			steps.At(steps.BeforeCommit)
			ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
			last = f.src.Commit(ctx, positions)
			cancel()
			err := last
			r.post(func() { r.committed(f, positions, err) })
		case <-tick.C:
			r.lag(f)
		}
	}
}

func (r *Route) lag(f *feed) {
	ctx, cancel := context.WithTimeout(context.Background(), lagEvery)
	defer cancel()
	lag := f.src.Lag(ctx)
	r.post(func() { r.count.lag = lag })
}

// committed takes note of a commit. Positions of one that failed are committed with the next.
func (r *Route) committed(f *feed, positions []messaging.Position, err error) {
	f.committing = false
	if err == nil {
		r.count.commits++
		r.storedSince, r.astray, r.told = 0, false, false
		if r.settled > 0 {
			r.storedSince = f.asked
		}
		return
	}
	r.overstayed()
	r.count.commitErrors++
	r.log.Warn("commit failed", "stream", r.cfg.Stream, "error", err)
	if f != r.feed || f.left {
		return
	}
	for _, p := range positions {
		if newer, ok := r.position[p.Partition]; !ok || newer.Epoch == p.Epoch && newer.Offset < p.Offset {
			r.position[p.Partition] = p
		}
	}
	r.settled++
	r.commitAt = r.now + int64(time.Second)
}
