package fleet

import (
	"context"
	"fmt"
	"time"
)

// In place: where memory holds one version and not two, the only lane keeps its queue and its route, and the parent replaces its workers
// one by one. Until the last is replaced both versions answer. While none is there requests wait for it in the queue, which
// they do not for longer than their deadlines: with one worker a version that loads slowly costs requests, which `beside` never does.

// alone says that one version is to replace another in its place: which lane, and by what.
func (f *Fleet) alone(weights map[string]int) (name, ref string, yes bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.cfg.InPlace || len(weights) != 1 || len(f.lanes) != 1 {
		return "", "", false
	}
	for ref = range weights {
	}
	for name = range f.lanes {
	}
	return name, ref, true
}

// swap has the workers of a lane replaced. When one cannot be, those that were go back to what they had.
func (f *Fleet) swap(ctx context.Context, name, ref string) (err error) {
	model := ref
	if !number(ref) {
		if model, err = f.resolve(ctx, ref); err != nil {
			return err
		}
	}
	f.mu.Lock()
	l := f.lanes[name]
	before := l.version()
	f.wantInPlace(l, model)
	f.mu.Unlock()
	f.cfg.Log.Info("replacing workers one by one", "version", model, "before", before)
	if err = f.replaced(ctx, l, model); err != nil {
		f.mu.Lock()
		f.wantInPlace(l, before)
		l.swaps = false
		f.mu.Unlock()
		f.cfg.Log.Error("workers go back to the version before", "version", before, "error", err)
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	l.swaps = false
	f.given = map[string]int{model: 1}
	f.next()
	return nil
}

// wantInPlace has the parent replace the workers of a lane, with mu held.
func (f *Fleet) wantInPlace(l *lane, model string) {
	l.model, l.swaps, l.failed = model, true, ""
	f.next()
}

// replaced waits until all workers of a lane have a version.
func (f *Fleet) replaced(ctx context.Context, l *lane, model string) error {
	for {
		f.mu.Lock()
		failed := l.failed
		f.mu.Unlock()
		switch {
		case failed != "":
			return fmt.Errorf("version %s %w: %s", model, ErrLoad, failed)
		case l.Cause() == "" && l.Version() == model:
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not all workers have version %s: %w", model, ctx.Err())
		case <-time.After(lookEvery):
		}
		if err := f.unheard(); err != nil {
			return err
		}
	}
}
