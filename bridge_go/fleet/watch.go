package fleet

import (
	"context"
	"maps"
	"slices"
	"time"
)

// A Wish is what the parent of workers is to have running, and to answer.
type Wish struct {
	Generation uint64   `json:"generation"`
	Versions   []Wanted `json:"versions"`
	Asks       []string `json:"asks"` // names whose versions are asked for
	// Weights are those of the last change by number, nothing while there was none. A parent that outlives the bridge brings
	// them to the next one.
	Weights map[string]int `json:"weights,omitempty"`
}

// Wanted is one version that workers are to have.
type Wanted struct {
	Name  string `json:"name"`
	Route string `json:"route"` // what its workers say in HELLO
	Model string `json:"model"` // its number; nothing for those that the parent began with
	Since uint64 `json:"since"` // another one for a version that was given up and is wanted again
}

// Watch returns what is wanted: at once when it is not what was seen, else at the next change or when the wait is over. A parent
// that has seen weights of another life of the bridge brings them back: nothing has been changed in this one, so they are in force again.
func (f *Fleet) Watch(ctx context.Context, seen uint64, wait time.Duration, remembered map[string]int) Wish {
	f.mu.Lock()
	if len(remembered) > 0 && f.given == nil && f.ctx != nil {
		f.given = remembered
		f.cfg.Log.Info("the parent of workers remembers how requests were given out", "weights", remembered)
		go func() {
			if err := f.Give(f.ctx, remembered); err != nil {
				f.cfg.Log.Error("requests cannot be given out as they were", "weights", remembered, "error", err)
			}
		}()
	}
	f.heard = time.Now()
	changed, same := f.changed, f.generation == seen
	f.mu.Unlock()
	if same {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.heard = time.Now()
	return f.wish()
}

func (f *Fleet) wish() Wish {
	w := Wish{Generation: f.generation, Weights: f.given, Versions: []Wanted{}, Asks: slices.AppendSeq([]string{}, maps.Keys(f.asks))}
	for _, name := range slices.Sorted(maps.Keys(f.lanes)) {
		w.Versions = append(w.Versions, Wanted{name, f.RouteName(name), f.lanes[name].model, f.lanes[name].since})
	}
	return w
}

// Named is the parent's answer to an ask: a version's number, or what is wrong with the name.
func (f *Fleet) Named(ref, model, wrong string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if a := f.asks[ref]; a != nil {
		delete(f.asks, ref)
		a.model, a.wrong = model, wrong
		close(a.answered)
	}
}

// Failed is the parent's word that a version cannot be loaded. Of one that answers, it is a worker's affair.
func (f *Fleet) Failed(name, reason string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if l := f.lanes[name]; l != nil && (l.swaps || l.Cause() != "") {
		l.failed = reason
	}
}
