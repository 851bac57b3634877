package dispatch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// A Staged is a write that a model has asked for while it scored a batch: an event published, a key put. It is done with the
// batch's result, before that is settled, or never: a batch that is scored again asks for its writes again.
type Staged struct {
	What  string // for messages: publish to alerts, put into features
	Bytes int
	// Apply does it, and is tried again until the context ends. An error that wraps ErrRefused is given up.
	Apply func(ctx context.Context) error
}

var (
	// ErrStale is answered to what comes under a lease that has ended.
	ErrStale = errors.New("the lease has ended: the batch was answered, or belongs to another worker")
	// ErrRefused marks a staged write that will never succeed.
	ErrRefused = errors.New("refused")
)

// maxStaged bounds the bytes that one batch may have staged.
const maxStaged = 64 << 20

// Stage keeps writes of a batch until its result comes. ErrStale when the lease has ended.
func (r *Route) Stage(l wire.Lease, writes []Staged) error {
	err := ErrStale
	r.ask(reachable, func() {
		if r.core.Alive(l.Nonce, l.Batch, l.Epoch) {
			err = r.stage(l, writes)
		}
	})
	return err
}

func (r *Route) stage(l wire.Lease, writes []Staged) error {
	bytes := 0
	for _, w := range append(r.staged[l], writes...) {
		bytes += w.Bytes
	}
	if bytes > maxStaged {
		return fmt.Errorf("a batch may write %d MiB beside its outputs, this one has %d bytes: %w", maxStaged>>20, bytes, ErrRefused)
	}
	if r.staged == nil {
		r.staged = map[wire.Lease][]Staged{}
	}
	r.staged[l] = append(r.staged[l], writes...)
	return nil
}

// unstage hands the writes of a batch that has been answered in full to the writer, in front of its last fates.
func (r *Route) unstage(l wire.Lease) {
	writes, ok := r.staged[l]
	if !ok || r.core.Alive(l.Nonce, l.Batch, l.Epoch) {
		return
	}
	delete(r.staged, l)
	r.due = append(r.due, writes...)
}

// forgetStaged drops the writes of batches that were taken back.
func (r *Route) forgetStaged() {
	for l := range r.staged {
		if !r.core.Alive(l.Nonce, l.Batch, l.Epoch) {
			delete(r.staged, l)
		}
	}
}

// apply does staged writes, one after the other, until each is done or refused.
func (w *writer) apply(ctx context.Context, writes []Staged) error {
	for _, s := range writes {
		for pause := 50 * time.Millisecond; ; pause = min(2*pause, 10*time.Second) {
			err := s.Apply(ctx)
			if err == nil {
				break
			}
			if errors.Is(err, ErrRefused) {
				w.log.Error("a write of the model was given up", "write", s.What, "error", err)
				w.refused.Add(1)
				break
			}
			w.log.Warn("a write of the model failed, trying again", "write", s.What, "error", err)
			if err := sleep(ctx, pause/2+rand.N(pause)); err != nil {
				return err
			}
		}
	}
	return nil
}
