package front

import (
	"time"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// How a request ends: by the fate of its last row, its deadline, its client leaving, or a refusal. What the route still has of it is
// dropped, or settled into the void.

// end takes a request out of the count. What the route still knows of it is settled into the void.
func (q *queue) end(r *request) {
	q.rows, q.bytes = q.rows-len(r.rows), q.bytes-r.bytes()
	r.before.after, r.after.before = r.after, r.before
	r.before, r.after = nil, nil
	r.live = false
	q.budget.give(r.bytes())
	q.stale = q.stale || r.taken > r.settled
	if q.rows == 0 && q.calm != nil {
		close(q.calm)
		q.calm = nil
	}
}

// abandon ends a request whose client has gone. It reports whether it was still live.
func (q *queue) abandon(r *request) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if r.live {
		q.end(r)
		return true
	}
	return false
}

// sweep is to be called often.
func (q *queue) sweep(now time.Time) {
	q.expire(now)
	q.dropStale()
}

// expire ends requests that are past their deadline. Their workers' slots stay taken until Python answers.
func (q *queue) expire(now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for r := q.all.after; r != &q.all; {
		next := r.after
		if now.After(r.deadline) {
			q.cutOff(r, problemTimeout)
		}
		r = next
	}
}

// cutOff ends a request without its answers.
func (q *queue) cutOff(r *request, why *problem) {
	q.end(r)
	r.cut = why
	r.done <- struct{}{}
}

// refuse ends the requests that no worker is scoring: those in line, and those whose rows the route still has or holds as suspects. What
// a worker has may be answered.
func (q *queue) refuse(why *problem) {
	q.mu.Lock()
	forget, lent := q.forget, len(q.sent) > 0
	for r := q.all.after; r != &q.all; {
		next := r.after
		if r.taken < len(r.rows) {
			q.cutOff(r, why)
		}
		r = next
	}
	for _, at := range q.again {
		if at.request.live {
			q.cutOff(at.request, why)
		}
	}
	q.mu.Unlock()
	if lent && forget != nil {
		everything := func(*messaging.Record) bool { return true }
		forget(everything, func(rows []messaging.Position) { q.dropped(rows, why) })
	}
}

// dropStale has the route drop rows that it has and no worker, where their requests have ended: they would cost Python time for nobody.
func (q *queue) dropStale() {
	q.mu.Lock()
	gone, forget := map[int64]struct{}{}, q.forget
	if q.stale && forget != nil {
		for offset, at := range q.sent {
			if !at.request.live {
				gone[offset] = struct{}{}
			}
		}
	}
	q.stale = false
	q.mu.Unlock()
	if len(gone) > 0 {
		forget(func(r *messaging.Record) bool { _, is := gone[r.Offset]; return is },
			func(rows []messaging.Position) { q.dropped(rows, problemTimeout) })
	}
}

// dropped takes note of rows that come back no more, and of why those still wait in vain who do.
func (q *queue) dropped(rows []messaging.Position, why *problem) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, row := range rows {
		if at, known := q.sent[row.Offset]; known && at.request.live {
			q.cutOff(at.request, why)
		}
		delete(q.sent, row.Offset)
	}
	if len(rows) > 0 {
		q.signal()
	}
}
