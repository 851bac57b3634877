package messagingtest

import (
	"context"
	"sync"
	"testing"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// sharing asks what holds when several processes read a topic for one group.
func sharing(t *testing.T, h Harness) {
	if !h.Can.Shares {
		return
	}
	t.Run("gives a second reader partitions, and tells the first", func(t *testing.T) {
		p := startShared(t, h, false)
		if len(p.taken) == 0 || len(p.taken) > 3 {
			t.Fatalf("partitions %v were taken away, of 4", p.taken)
		}
	})
	t.Run("refuses commits of an assignment that is over", func(t *testing.T) {
		p := startShared(t, h, false)
		p.first.Commit(p.ctx, lasts(p.takenRecords())) // an error or not: it must not have moved the other's position
		p.must(p.first.Close(p.ctx))
		p.must(p.second.Close(p.ctx))
		p.reopen()
		p.inOrder(p.read(p.source(group), shared)) // nothing was committed by anybody
	})
	t.Run("keeps the commits of partitions that stayed", func(t *testing.T) {
		p := startShared(t, h, false)
		var stayed []messaging.Record
		for _, r := range p.firstRead {
			if !p.taken[r.Partition] {
				stayed = append(stayed, r)
			}
		}
		p.commitAll(p.first, stayed)
		p.must(p.first.Close(p.ctx))
		p.must(p.second.Close(p.ctx))
		p.reopen()
		for _, r := range p.read(p.source(group), shared-len(stayed)) {
			if !p.taken[r.Partition] {
				t.Fatalf("%d/%d was committed and came again", r.Partition, r.Offset)
			}
		}
	})
}

// shared is how many records are in the topic that a pair reads.
const shared = 120

// A pair are two readers of one group: the first had read everything, and committed nothing, when the second came and took
// partitions from it.
type pair struct {
	*bench
	first, second messaging.Source
	firstRead     []messaging.Record

	mu    sync.Mutex
	taken map[int32]bool // from the first, and read by the second
}

func startShared(t *testing.T, h Harness, transactional bool) *pair {
	t.Helper()
	p := &pair{bench: startPartitioned(t, h, 4), taken: map[int32]bool{}}
	p.write(keyed(0, shared)...)
	// The second may have all of a partition before the first is told: each looks whether all that was taken has begun to come.
	revoked, seen := map[int32]bool{}, map[int32]bool{}
	until, enough := context.WithCancel(p.ctx)
	defer enough()
	look := func() {
		for partition := range revoked {
			if !seen[partition] {
				return
			}
		}
		if len(revoked) > 0 {
			enough()
		}
	}
	p.first = p.open(p.conn, transactional, func(partitions []int32) {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, partition := range partitions {
			revoked[partition] = true
		}
		look()
	})
	p.firstRead = p.read(p.first, shared)
	other := h.Connect(t)
	t.Cleanup(func() { other.Close(context.Background()) })
	p.second = p.open(other, transactional, nil)
	ctx, stop := context.WithCancel(p.ctx)
	var reading sync.WaitGroup
	reading.Go(func() { p.pump(ctx, p.first, func(messaging.Record) bool { return true }) })
	p.pump(until, p.second, func(r messaging.Record) bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		seen[r.Partition] = true
		look()
		return until.Err() == nil
	})
	stop()
	reading.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	for partition := range revoked {
		if seen[partition] {
			p.taken[partition] = true
		}
	}
	return p
}

func (p *pair) open(conn messaging.Connection, transactional bool, revoked func([]int32)) messaging.Source {
	p.Helper()
	s, err := conn.Source(p.ctx, messaging.SourceConfig{Topic: p.topic, Group: group, OnRevoke: revoked, Transactional: transactional})
	p.must(err)
	p.Cleanup(func() { s.Close(context.Background()) })
	return s
}

// pump reads until it is told to stop, or its context ends.
func (p *pair) pump(ctx context.Context, s messaging.Source, more func(messaging.Record) bool) {
	for {
		records, err := s.Read(ctx, messaging.Limit{Events: 1, Bytes: 1})
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			p.Errorf("reading for a group of two: %v", err)
			return
		}
		for _, r := range records {
			if !more(r) {
				return
			}
		}
	}
}

// takenRecords are what the first had read of partitions that are the second's now.
func (p *pair) takenRecords() (all []messaging.Record) {
	for _, r := range p.firstRead {
		if p.taken[r.Partition] {
			all = append(all, r)
		}
	}
	return all
}
