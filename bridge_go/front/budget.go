package front

import "sync/atomic"

// A budget is the bytes of requests that the whole front keeps in memory: bodies that arrive, and rows that wait or are being scored,
// of every version. Nobody waits for it: what does not fit is refused.
type budget struct {
	limit, arrivals int64 // arrivals: of bodies that are not complete, or slow clients would keep out those that are quick
	used, arriving  atomic.Int64
}

func newBudget(limit, maxBody int) *budget {
	return &budget{limit: int64(limit), arrivals: int64(max(limit/2, min(limit, maxBody)))}
}

func (b *budget) take(n int) bool { return within(&b.used, int64(n), b.limit) }

func (b *budget) give(n int) { b.used.Add(-int64(n)) }

// arrive takes bytes for a body that is being read.
func (b *budget) arrive(n int) bool {
	if !within(&b.arriving, int64(n), b.arrivals) {
		return false
	}
	if !b.take(n) {
		b.arriving.Add(-int64(n))
		return false
	}
	return true
}

// arrived gives back what a body took while it was being read.
func (b *budget) arrived(n int) {
	b.arriving.Add(-int64(n))
	b.give(n)
}

func within(counted *atomic.Int64, n, limit int64) bool {
	if counted.Add(n) > limit {
		counted.Add(-n)
		return false
	}
	return true
}
