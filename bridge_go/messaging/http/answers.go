package http

import (
	"sync"
	"time"
)

// Answers remember requests by their ids for a while, so that one that is sent again gets the answer of the first: while it is
// at work by waiting for it, afterwards at once. They live in memory alone: a bridge that was killed takes a repetition for new.
type answers struct {
	window time.Duration
	most   int
	now    func() time.Time

	mu    sync.Mutex
	known map[string]*request
	order []remembered // by time
}

type remembered struct {
	r  *request
	at time.Time
}

func newAnswers(window time.Duration, most int) *answers {
	return &answers{window: window, most: most, now: time.Now, known: map[string]*request{}}
}

// enter finds the request of the same id, or notes this one. Another body under a known id is a mistake of the sender.
func (a *answers) enter(r *request) (*request, *problem) {
	if r.id == "" || a.window == 0 || a.most == 0 {
		return r, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.forget()
	if first := a.known[r.id]; first != nil {
		if first.sum != r.sum {
			return nil, problemReused
		}
		return first, nil
	}
	a.known[r.id] = r
	a.order = append(a.order, remembered{r, a.now()})
	return r, nil
}

// forget drops what is old or too much. A request that is at work stays known to those that wait for it.
func (a *answers) forget() {
	oldest := a.now().Add(-a.window)
	for len(a.order) > 0 && (len(a.order) >= a.most || a.order[0].at.Before(oldest)) {
		a.remove(a.order[0].r)
		a.order[0] = remembered{}
		a.order = a.order[1:]
	}
}

// drop takes a request out that was not taken: when it is sent again it is new.
func (a *answers) drop(r *request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.remove(r)
}

func (a *answers) remove(r *request) {
	if a.known[r.id] == r {
		delete(a.known, r.id)
	}
}
