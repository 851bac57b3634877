package front

import (
	"math/rand/v2"
	"strconv"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
)

// When to refuse what would not be answered in time: rather at once, when its client can go elsewhere, than after it has waited.
const (
	enoughBatches = 20 // before their average is believed,
	fewBatches    = 5  // or fewer, when they took
	longEnough    = time.Second
	shareOfTime   = 0.8 // of what is left of the deadline
	longestRetry  = 30  // seconds
)

// tooLate says that a request of so many rows would not be answered by its deadline: the batches until its last row is answered, its own
// among them, over those that workers score at a time, and the age of the one that is under way, which tells of a model that has become slow
// before any average does. An empty queue refuses nothing: somebody has to find out whether the model has become quick again.
func (q *queue) tooLate(rows, bytes int, left time.Duration) bool {
	if q.pace == nil {
		return false
	}
	p := q.pace()
	return known(p) && q.waiting(p) > 0 && q.estimate(p, rows, bytes) > time.Duration(shareOfTime*float64(left))
}

// known says that enough batches have been answered to speak of an average. A slow model's backlog is as long as a deadline before there
// are twenty of them.
func known(p dispatch.Pace) bool {
	return p.Batches >= enoughBatches || p.Batches >= fewBatches && p.Batch*time.Duration(p.Batches) >= longEnough
}

// waiting are the rows that no worker has.
func (q *queue) waiting(p dispatch.Pace) int { return max(0, q.rows-p.Out) }

// estimate is how long a request would wait for its last answer if it came now.
func (q *queue) estimate(p dispatch.Pace, rows, bytes int) time.Duration {
	waiting := q.waiting(p)
	batches := (waiting + rows + q.batch - 1) / q.batch
	if q.batchBytes > 0 && q.rows > 0 {
		batches = max(batches, (q.bytes/q.rows*waiting+bytes+q.batchBytes-1)/q.batchBytes)
	}
	return p.Age + p.Batch*time.Duration(batches)/time.Duration(max(1, p.AtOnce))
}

// wait is what a single row that comes now has to expect, 0 while nobody knows.
func (q *queue) wait() time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.pace == nil {
		return 0
	}
	return q.estimate(q.pace(), 1, 0)
}

// again is when a client that was refused should try again: when what waits now has been answered or the breaker closes. At least a
// second, at most half a minute, and jittered, so that clients that were refused together do not come back together.
func (f *Front) again(now time.Time) string {
	longest := time.Duration(0)
	for _, share := range f.routing.Load().shares {
		l := share.Lane
		longest = max(longest, l.queue.wait(), l.seen.Load().until.Sub(now))
	}
	seconds := min(longestRetry, max(1, int((longest+time.Second-1)/time.Second)))
	return strconv.Itoa(seconds + rand.IntN(2+seconds/2))
}
