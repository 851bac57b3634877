package dispatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/delivery"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/steps"
)

// maxHandover bounds the fates that the outlet gets at once, so that the first of them do not wait for too many others.
const maxHandover = 8192

// A handover is a slice of fates on its way through the outlet.
type handover struct {
	staged []Staged             // done first
	by     messaging.Transactor // nil outside of transactions
	upTo   []messaging.Position // behind fates, stored with them
	fates  []Fate
	at     int64
	lower  bool // the mark: nothing else
}

// A writer is the goroutine that settles.
type writer struct {
	cancel  context.CancelFunc
	done    chan struct{}
	log     *slog.Logger
	refused *atomic.Uint64 // staged writes given up
	mark    Mark           // or nil
	marked  time.Time      // when it was set last, zero while it is not
}

func (r *Route) startWriter(ctx context.Context) *writer {
	ctx, cancel := context.WithCancel(ctx)
	w := &writer{cancel: cancel, done: make(chan struct{}), log: r.log, refused: &r.cfg.Sinks.StagedRefusals, mark: r.cfg.Mark}
	go func() {
		defer close(w.done)
		defer cancel()
		for h := range r.out {
			refused, err := w.settle(ctx, r.cfg.Outlet, h)
			steps.At(steps.AfterProduce)
			if r.cfg.Stored != nil && err == nil {
				tellStored(r.cfg.Stored, h, refused)
			}
			r.post(func() { r.written(h, refused, err) })
		}
	}()
	return w
}

// tellStored tells of the fates of a handover but those refused, which come again as dead. A transaction that refuses one
// stores none.
func tellStored(tell func([]Fate), h handover, refused []Refusal) {
	if h.by != nil && len(refused) > 0 {
		return
	}
	first := 0
	for _, x := range append(refused, Refusal{Index: len(h.fates)}) {
		if stored := h.fates[first:x.Index]; len(stored) > 0 {
			tell(stored)
		}
		first = x.Index + 1
	}
}

func (w *writer) settle(ctx context.Context, to Outlet, h handover) ([]Refusal, error) {
	if err := w.apply(ctx, h.staged); err != nil {
		return nil, err
	}
	switch {
	case h.lower:
		w.lower()
		return nil, nil
	case len(h.fates) == 0:
		return nil, nil
	case h.by != nil:
		return to.(Composer).Transact(ctx, h.by, h.fates, h.upTo)
	}
	w.raise()
	return to.Settle(ctx, h.fates)
}

// handOver gives what is pending to the writer when it has nothing.
func (r *Route) handOver() {
	if r.writing > 0 || len(r.pending) == 0 && len(r.due) == 0 {
		return
	}
	if r.cfg.Transaction != nil {
		r.handOverTransaction()
		return
	}
	r.dropRevoked()
	fates := r.pending
	r.pending, r.spare = r.spare[:0], nil
	if len(fates) > maxHandover {
		r.pending = append(r.pending, fates[maxHandover:]...)
		clear(fates[maxHandover:])
		fates = fates[:maxHandover]
	}
	r.writing = len(fates) + len(r.due)
	r.marked, r.handedOver = r.cfg.Mark != nil, r.now
	r.out <- handover{staged: r.due, fates: fates, at: r.now}
	r.due = nil
}

// written takes note that fates are durable, and has those that were refused settled as dead.
func (r *Route) written(h handover, refused []Refusal, err error) {
	r.writing = 0
	if r.cfg.Transaction != nil && (err != nil || len(refused) > 0) {
		r.unwritten(h, refused, err)
		return
	}
	if err != nil {
		if !errors.Is(err, context.Canceled) {
			r.err = fmt.Errorf("dispatch: write results of %s: %w", r.cfg.Command, err)
		}
		return
	}
	if r.recorder != nil {
		r.recorder.stored(h.fates, refused)
	}
	var sink, total runs
	var again []Fate
	for i := range h.fates {
		f := &h.fates[i]
		r.backlog -= f.bytes()
		if len(refused) > 0 && refused[0].Index == i {
			again = r.refused(again, f, refused[0])
			refused = refused[1:]
			continue
		}
		total.add(&r.count.stages[stageTotal], r.now-f.ID.Offered)
		sink.add(&r.count.stages[stageSink], r.now-h.at)
		r.count.outputs += uint64(len(f.Outputs))
		r.core.Settled(f.ID, f.Kind)
	}
	total.end(&r.count.stages[stageTotal])
	sink.end(&r.count.stages[stageSink])
	if r.settled += len(h.fates); r.storedSince == 0 {
		r.storedSince = h.at
	}
	if len(again) > 0 { // else pending stays where it is, in a slice that comes back as spare
		r.pending = append(again, r.pending...)
	}
	clear(h.fates)
	r.spare = h.fates[:0]
	r.collect(&answer{})
}

// refused has a fate that will never be stored settled as dead: in its place, where fates are in order.
func (r *Route) refused(again []Fate, f *Fate, why Refusal) []Fate {
	if !r.cfg.Sequenced {
		r.core.Refused(f.ID, delivery.Failure{Code: why.Code, Reason: why.Reason, Model: f.Model})
		return again
	}
	dead := r.dead(*f, why)
	r.backlog += dead.bytes()
	return append(again, dead)
}
