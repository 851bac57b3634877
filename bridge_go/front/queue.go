package front

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
)

// A queue holds requests between their handlers and the route. It counts rows and bytes from admission to the last fate, and
// refuses what is over the limit; it is first in, first out over requests, but a long list gives way after each chunk, so
// that it does not starve single rows.
type queue struct {
	maxRows, maxBytes, batch, batchBytes int

	budget *budget              // of the whole front
	pace   func() dispatch.Pace // of the route; nil while nobody knows
	forget forgetter

	mu     sync.Mutex
	line   []*request // from head
	head   int
	all    request // head of the ring of live requests
	rows   int
	bytes  int
	sent   map[int64]row // given to the route, by offset
	next   int64
	again  []row // given before, and given back when the source was left
	lent   int   // most rows with the route
	stale  bool  // rows of requests that have ended are with the route
	closed bool
	calm   chan struct{} // made by idle, closed when nothing is live

	refusing atomic.Bool   // what came last was refused, for there is too much
	wake     chan struct{} // of the one reader
	pool     sync.Pool
}

// A row is one event of a request.
type row struct {
	request *request
	index   int
}

type refusal int

const (
	admitted refusal = iota
	full
	late    // it would not be answered in time
	tooMany // more rows or bytes than would ever fit
	ended
)

func newQueue(maxRows, maxBytes, batch int) *queue {
	q := &queue{maxRows: maxRows, maxBytes: maxBytes, batch: batch, budget: newBudget(maxBytes, maxBytes), sent: map[int64]row{}, wake: make(chan struct{}, 1)}
	q.lend(1)
	q.all.before, q.all.after = &q.all, &q.all
	q.pool.New = func() any { return &request{done: make(chan struct{}, 1)} }
	return q
}

// admit puts a request in line. Its rows are counted until it ends.
func (q *queue) admit(r *request) refusal {
	n := len(r.rows)
	r.answers = grown(r.answers, n)
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return ended
	case n > q.maxRows || r.bytes() > q.maxBytes:
		return tooMany
	case q.rows+n > q.maxRows || q.bytes+r.bytes() > q.maxBytes:
		q.refusing.Store(true)
		return full
	case q.tooLate(n, r.bytes(), time.Until(r.deadline)):
		q.refusing.Store(true)
		return late
	case !q.budget.take(r.bytes()):
		return full
	}
	if q.refusing.Load() {
		q.refusing.Store(false)
	}
	q.rows, q.bytes = q.rows+n, q.bytes+r.bytes()
	r.live = true
	r.before, r.after = q.all.before, &q.all
	r.before.after, q.all.before = r, r
	q.push(r)
	q.signal()
	return admitted
}

func (q *queue) push(r *request) {
	if q.head > 64 && q.head*2 > len(q.line) {
		n := copy(q.line, q.line[q.head:])
		clear(q.line[n:])
		q.line, q.head = q.line[:n], 0
	}
	r.waiting = true
	q.line = append(q.line, r)
}

func (q *queue) pop() *request {
	if q.head == len(q.line) {
		q.line, q.head = q.line[:0], 0
		return nil
	}
	r := q.line[q.head]
	q.line[q.head] = nil
	q.head++
	r.waiting = false
	return r
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// idle waits until no request is live, or the context ends.
func (q *queue) idle(ctx context.Context) {
	q.mu.Lock()
	if q.rows == 0 {
		q.mu.Unlock()
		return
	}
	if q.calm == nil {
		q.calm = make(chan struct{})
	}
	calm := q.calm
	q.mu.Unlock()
	select {
	case <-calm:
	case <-ctx.Done():
	}
}

// close refuses further requests; the source ends when the line is empty.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.signal()
}

// load is the rows and bytes that are counted.
func (q *queue) load() (rows, bytes int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.rows, q.bytes
}

// lag is how many rows no worker has yet.
func (q *queue) lag() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return int64(max(0, q.rows-len(q.sent)))
}
