package dispatch

import (
	"context"
	"errors"
	"slices"

	"ds-runner.dev/ds-runner/bridge_go/delivery"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// Exactly once, by transactions: fates are put into the order of their partitions (sequence.go), collected for a while, and
// stored together with the position behind the last of each partition. Scoring is over by then, so a transaction is open
// only as long as its writes take.
//
// What can go wrong between reading and storing, and why nothing is stored twice:
//
//	partition revoked    its fates are dropped here, and a transaction that holds some is refused whole by the source, which
//	                     knows the assignment of each position; the others are handed over again
//	outputs refused      nothing was stored; the refused events are dead, and the same fates are handed over again
//	anything else        nobody knows what is stored: the source is opened again, and begins where the store says

// sequenced says whether fates wait for those in front of them in their partition.
func (r *Route) sequenced() bool { return r.cfg.Transaction != nil || r.cfg.Sequenced }

// inSequence takes the fate that collect has just appended, and puts in its place what may be stored now.
func (r *Route) inSequence() {
	last := len(r.pending) - 1
	f := r.pending[last]
	before := r.pending[:last]
	r.pending = r.sequence.add(before, f)
	for i := last; i < len(r.pending); i++ {
		r.backlog += r.pending[i].bytes()
	}
}

// dropRevoked lets go of fates that can no longer be stored.
func (r *Route) dropRevoked() {
	if !r.sequenced() {
		return
	}
	for _, f := range r.sequence.revoked() {
		r.core.Settled(f.ID, f.Kind)
	}
	r.pending = slices.DeleteFunc(r.pending, func(f Fate) bool {
		if !f.ID.Revoked() {
			return false
		}
		r.backlog -= f.bytes()
		r.core.Settled(f.ID, f.Kind)
		return true
	})
}

// handOverTransaction gives the writer one transaction, when it is large enough or old enough, or nothing more will come.
func (r *Route) handOverTransaction() {
	r.dropRevoked()
	if len(r.pending) == 0 && len(r.due) == 0 {
		r.flushAt = 0
		return
	}
	t := r.cfg.Transaction
	if r.flushAt == 0 {
		r.flushAt = r.now + int64(t.Every)
	}
	last := r.drain != nil || r.eof || r.paused != nil
	if len(r.pending) < t.Events && r.now < r.flushAt && !last && r.backlog < r.cfg.MaxBacklog {
		return
	}
	fates := slices.Clone(r.pending[:min(len(r.pending), t.Events)])
	r.pending = slices.Delete(r.pending, 0, len(fates))
	r.flushAt = 0
	r.writing = len(fates) + len(r.due)
	r.out <- handover{staged: r.due, by: r.transactor(), upTo: positionsBehind(fates), fates: fates, at: r.now}
	r.due = nil
}

// transactor is the sink, or the source that is open. Without one, nothing can be stored.
func (r *Route) transactor() messaging.Transactor {
	if by := r.cfg.Transaction.By; by != nil {
		return by
	}
	if r.feed != nil {
		if by, ok := r.feed.src.(messaging.Transactor); ok {
			return by
		}
	}
	return noTransactor{}
}

type noTransactor struct{}

func (noTransactor) Transact(context.Context, []messaging.Write, []messaging.Position) error {
	return errors.New("the source is not open, or has no transactions")
}

// positionsBehind are the last positions of each partition among fates, which are in order.
func positionsBehind(fates []Fate) []messaging.Position {
	last := map[int32]messaging.Position{}
	for i := range fates {
		r := fates[i].Record
		last[r.Partition] = messaging.Position{Partition: r.Partition, Offset: r.Offset, Epoch: r.Epoch}
	}
	upTo := make([]messaging.Position, 0, len(last))
	for _, p := range last {
		upTo = append(upTo, p)
	}
	slices.SortFunc(upTo, func(a, b messaging.Position) int { return int(a.Partition - b.Partition) })
	return upTo
}

// unwritten deals with a transaction of which nothing is known to be stored.
func (r *Route) unwritten(h handover, refused []Refusal, err error) {
	var revoked *messaging.RevokedError
	switch {
	case err == nil, errors.As(err, &revoked) && r.knewRevoked(h.fates):
		r.putBack(h.fates, refused)
		return
	case errors.Is(err, context.Canceled):
	default:
		r.count.sourceErrors++
		r.log.Error("transaction failed, going on from the stored positions", "fates", len(h.fates), "error", err)
		r.reopen()
	}
	for i := range h.fates {
		r.backlog -= h.fates[i].bytes()
		if f := &h.fates[i]; f.ID.Revoked() {
			r.core.Settled(f.ID, f.Kind)
		}
	}
}

// knewRevoked says whether the loop has been told, too, of the partitions that the source has lost.
func (r *Route) knewRevoked(fates []Fate) bool {
	return slices.ContainsFunc(fates, func(f Fate) bool { return f.ID.Revoked() })
}

// putBack hands fates over again, in their places: those refused as dead, those revoked not at all.
func (r *Route) putBack(fates []Fate, refused []Refusal) {
	again := make([]Fate, 0, len(fates)+len(r.pending))
	for i, f := range fates {
		r.backlog -= f.bytes()
		if len(refused) > 0 && refused[0].Index == i {
			f = r.dead(f, refused[0])
			refused = refused[1:]
		}
		if f.ID.Revoked() {
			r.core.Settled(f.ID, f.Kind)
			continue
		}
		r.backlog += f.bytes()
		again = append(again, f)
	}
	r.pending = append(again, r.pending...)
	r.flushAt = r.now
}

// dead is a fate that was refused.
func (r *Route) dead(f Fate, why Refusal) Fate {
	return Fate{
		ID: f.ID, Kind: delivery.Dead, Record: f.Record, Stream: f.Stream, Attempts: f.Attempts, Model: f.Model,
		Code: why.Code, Reason: why.Reason,
	}
}

// reopen leaves the source and opens it again, later each time that it comes to nothing.
func (r *Route) reopen() {
	if r.feed == nil || r.feed.leaving {
		return
	}
	if r.feed.lasted(r.now) {
		r.failures = 0
	}
	r.retryOpen = r.now + int64(min(lastReopen, firstReopen<<min(r.failures, 20)))
	r.failures++
	r.leaveFeed(context.Background())
	r.dropRevoked()
}
