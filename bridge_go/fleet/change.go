package fleet

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Give gives the requests out by weights, of versions or aliases: it loads what is not loaded, waits until all of them can answer,
// and only then changes anything. What has no weight any more answers what it has and ends, behind the back of the caller. A
// weight of 0 keeps a version loaded for those who name it. It returns when the requests are given out, or with what kept it.
func (f *Fleet) Give(ctx context.Context, weights map[string]int) error {
	if !f.changing.TryLock() {
		return fmt.Errorf("%w: another change of versions is under way", ErrBusy)
	}
	defer f.changing.Unlock()
	if name, ref, alone := f.alone(weights); alone {
		return f.swap(ctx, name, ref)
	}
	shares, added, err := f.load(ctx, slices.Sorted(maps.Keys(weights)))
	if err != nil {
		return err
	}
	given := map[string]int{}
	for ref, name := range shares {
		if _, twice := given[name]; twice {
			f.discard(added)
			return fmt.Errorf("%w: %s and another name of the list mean the same version", ErrUnknown, ref)
		}
		given[name] = weights[ref]
	}
	f.take(given)
	return nil
}

// take gives the requests to lanes that are ready, and retires the others.
func (f *Fleet) take(given map[string]int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.shares = map[string]int{}
	for name, weight := range given {
		if weight > 0 {
			f.shares[name] = weight
		}
	}
	f.share()
	f.given = map[string]int{}
	for name, weight := range given {
		f.given[f.lanes[name].version()] = weight
	}
	f.next()
	f.cfg.Log.Info("requests are given out", "weights", f.told())
	for name, l := range f.lanes {
		if _, kept := given[name]; !kept && !l.ending {
			l.ending = true
			f.ends.Go(func() { f.retire(context.Background(), name, l) })
		}
	}
}

// told are the weights by version, with mu held.
func (f *Fleet) told() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(f.shares)) {
		parts = append(parts, fmt.Sprintf("%s: %d", f.lanes[name].version(), f.shares[name]))
	}
	return strings.Join(parts, ", ")
}

// Load has a version or alias loaded beside the others. It gets only the requests that name it.
func (f *Fleet) Load(ctx context.Context, ref string) error {
	if !f.changing.TryLock() {
		return fmt.Errorf("%w: another change of versions is under way", ErrBusy)
	}
	defer f.changing.Unlock()
	_, _, err := f.load(ctx, []string{ref})
	return err
}

// Unload ends a version that gets no requests but by its name. It returns when its workers are gone.
func (f *Fleet) Unload(ctx context.Context, ref string) error {
	if !f.changing.TryLock() {
		return fmt.Errorf("%w: another change of versions is under way", ErrBusy)
	}
	defer f.changing.Unlock()
	f.mu.Lock()
	name, known := f.find(ref)
	if !known && !number(ref) {
		f.mu.Unlock()
		model, err := f.resolve(ctx, ref)
		if err != nil {
			return err
		}
		f.mu.Lock()
		name, known = f.find(model)
	}
	if !known {
		defer f.mu.Unlock()
		return unknown("version %s is not loaded", ref)
	}
	l := f.lanes[name]
	if f.shares[name] > 0 {
		defer f.mu.Unlock()
		return fmt.Errorf("version %s %w: give them to another one first", ref, ErrRouted)
	}
	ending := l.ending
	l.ending = true
	f.mu.Unlock()
	if ending {
		return fmt.Errorf("%w: version %s is ending already", ErrBusy, ref)
	}
	f.retire(ctx, name, l)
	return nil
}

// load finds or makes the lanes of names and waits until they can answer. It returns them by name, and those that it made.
func (f *Fleet) load(ctx context.Context, refs []string) (found map[string]string, added []string, err error) {
	found = map[string]string{}
	for _, ref := range refs {
		name, isNew, err := f.lay(ctx, ref)
		if err != nil {
			f.discard(added)
			return nil, nil, err
		}
		if found[ref] = name; isNew {
			added = append(added, name)
		}
	}
	for _, name := range slices.Sorted(maps.Values(found)) {
		if err := f.await(ctx, name); err != nil {
			f.discard(added)
			return nil, nil, err
		}
	}
	return found, added, nil
}

// lay finds the lane of a version or alias, or makes it.
func (f *Fleet) lay(ctx context.Context, ref string) (name string, isNew bool, err error) {
	model := ref
	if !number(ref) {
		if model, err = f.resolve(ctx, ref); err != nil {
			return "", false, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if name, known := f.find(model); known {
		if f.lanes[name].ending {
			return "", false, fmt.Errorf("%w: version %s is ending", ErrBusy, model)
		}
		return name, false, nil
	}
	if len(f.lanes) >= Most {
		return "", false, fmt.Errorf("%w: %d versions are loaded, which is the most", ErrBusy, Most)
	}
	if f.ctx == nil || f.closing {
		return "", false, fmt.Errorf("%w: the bridge is starting or ending", ErrBusy)
	}
	l := f.lane(f.cfg.Front.Add(model), model, model)
	f.lanes[model] = l
	f.start(l)
	f.next()
	f.cfg.Log.Info("loading", "version", model)
	return model, true, nil
}

func number(ref string) bool { return strings.Trim(ref, "0123456789") == "" }

// resolve asks the parent what version a name means.
func (f *Fleet) resolve(ctx context.Context, ref string) (string, error) {
	f.mu.Lock()
	a := &ask{answered: make(chan struct{})}
	f.asks[ref] = a
	f.next()
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		delete(f.asks, ref)
		f.mu.Unlock()
	}()
	for {
		select {
		case <-a.answered:
			if a.wrong != "" {
				return "", unknown("%s", a.wrong)
			}
			return a.model, nil
		case <-ctx.Done():
			return "", errors.Join(ctx.Err(), f.unheard())
		case <-time.After(lookEvery):
			if err := f.unheard(); err != nil {
				return "", err
			}
		}
	}
}

// unheard says so when no parent of workers asks what is wanted.
func (f *Fleet) unheard() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.heard) < f.cfg.Patience {
		return nil
	}
	return fmt.Errorf("%w: no parent of workers is connected that could load a version", ErrBusy)
}

// await waits until a lane can answer.
func (f *Fleet) await(ctx context.Context, name string) error {
	f.mu.Lock()
	l := f.lanes[name]
	f.mu.Unlock()
	for {
		f.mu.Lock()
		failed := l.failed
		f.mu.Unlock()
		switch {
		case l.Cause() == "":
			return nil
		case failed != "":
			return fmt.Errorf("version %s %w: %s", l.version(), ErrLoad, failed)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("version %s is not ready (%s): %w", l.version(), l.Cause(), ctx.Err())
		case <-time.After(lookEvery):
		}
		if err := f.unheard(); err != nil && l.model != "" {
			return err
		}
	}
}

// discard takes lanes out that have never had a share.
func (f *Fleet) discard(names []string) {
	for _, name := range names {
		f.mu.Lock()
		l := f.lanes[name]
		l.ending = true
		f.mu.Unlock()
		f.retire(context.Background(), name, l)
	}
}

// retire has a lane answer what it has, then its workers end: first the parent is told that they are not wanted any more, so that it
// ends them when they say goodbye instead of having them dial again.
func (f *Fleet) retire(ctx context.Context, name string, l *lane) {
	settled, cancel := context.WithTimeout(ctx, f.cfg.Settle)
	f.cfg.Front.Retire(settled, l.Lane)
	cancel()
	f.mu.Lock()
	delete(f.lanes, name)
	f.next()
	f.mu.Unlock()
	goodbye, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer cancel()
	if err := l.route.Drain(goodbye); err != nil {
		f.cfg.Log.Warn("a replaced version did not end well", "version", l.version(), "error", err)
	}
	f.cfg.Log.Info("version ended", "version", l.version())
}
