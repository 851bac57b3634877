package front

import (
	"net/http"
	"time"
)

// hopeless is why a request would be refused whatever its body says, for as long as others are being refused: nobody reads, keeps and
// scans a body then to find that out. The verdict is that of [queue.admit] for one row. Where several versions have shares the body may
// be what decides on the version, and is read.
func (f *Front) hopeless(r *http.Request, start time.Time) *problem {
	shares := f.routing.Load().shares
	if len(shares) != 1 || !shares[0].Lane.queue.refusing.Load() {
		return nil
	}
	deadline, p := f.deadline(r.Header, start)
	if p != nil {
		return p
	}
	why := shares[0].Lane.queue.wouldRefuse(time.Until(deadline))
	if why == admitted {
		return nil
	}
	p = f.refused(why)
	f.numbers.refused(p)
	return p
}

// wouldRefuse is what admit would say to a single row; a queue that has been closed says nothing here.
func (q *queue) wouldRefuse(left time.Duration) refusal {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.rows+1 > q.maxRows:
		return full
	case q.tooLate(1, 1, left):
		return late
	}
	return admitted
}
