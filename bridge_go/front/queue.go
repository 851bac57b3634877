package front

import (
	"context"
	"io"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// An answer is the fate of one row.
type answer struct {
	fate         fateKind
	outputs      [][]byte
	code, reason string
	detail       []byte
	model        string
}

type fateKind uint8

const (
	pending fateKind = iota
	scored
	rejected
	failed
)

// maxKeptRows bounds what a pooled request may hold on to.
const maxKeptRows = 1024

// A request is a body's rows on their way. All fields but body and rows belong to the queue's lock until done is signalled.
type request struct {
	body     []byte // never reused: a worker that lost its lease may still be writing it to a dying connection
	rows     []span
	headers  []messaging.Header // of each of its rows
	answers  []answer
	deadline time.Time
	done     chan struct{} // one signal, of the last fate or of the deadline
	version  string        // that the request asks for; nothing: by weight
	lane     *Lane         // that it was admitted to

	taken         int // rows that the route has got
	settled       int
	waiting, live bool     // in the line; counted
	cut           *problem // why it ended without its answers
	before, after *request // all that are live
}

func (r *request) bytes() int { return len(r.body) }

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

// request takes a clean one from the pool.
func (q *queue) request() *request { return q.pool.Get().(*request) }

// release puts a request back that was never admitted, or whose rows all have their fates. Others are left to the garbage
// collector: the route still knows them.
func (q *queue) release(r *request) {
	if cap(r.rows) > maxKeptRows {
		return
	}
	clear(r.answers)
	*r = request{rows: r.rows[:0], answers: r.answers[:0], done: r.done}
	q.pool.Put(r)
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

func grown(answers []answer, n int) []answer {
	if cap(answers) < n {
		return make([]answer, n)
	}
	return answers[:n]
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

// follow names who knows the pace of the batches, and who drops rows that have been lent.
func (q *queue) follow(pace func() dispatch.Pace, forget forgetter) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.pace, q.forget = pace, forget
}

// A forgetter is dispatch.Route.Forget.
type forgetter func(gone func(*messaging.Record) bool, dropped func([]messaging.Position))

// slowBatch is what a batch takes where nothing is gained by having the next one ready beside the worker.
const slowBatch = 10 * time.Millisecond

// lend bounds the rows that are with the route: for each worker a batch to score, and where that is soon done one to follow at once.
// The others wait here, where they take turns, and not in the route's own line.
func (q *queue) lend(workers int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	batches := 2
	if q.pace != nil && q.pace().Batch > slowBatch {
		batches = 1
	}
	q.lent = batches * q.batch * max(1, workers)
}

// take gives rows to the route, none if there are none or it has enough: from each request in line a chunk, a quarter of a
// batch, in turns.
func (q *queue) take(limit messaging.Limit) ([]messaging.Record, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := loan{queue: q, rows: min(limit.Events, q.lent-len(q.sent)), bytes: limit.Bytes}
	for l.rows > 0 && len(q.again) > 0 {
		if at := q.again[0]; at.request.live && !l.add(at) {
			return l.records, nil
		}
		q.again = q.again[1:]
	}
	for l.rows > 0 {
		r := q.pop()
		if r == nil {
			break
		}
		if r.live && !l.chunk(r) {
			break
		}
	}
	if len(l.records) == 0 && q.closed && q.rows == 0 {
		return nil, io.EOF
	}
	return l.records, nil
}

// A loan is the rows of one take, and the room that is left in it.
type loan struct {
	queue       *queue
	records     []messaging.Record
	rows, bytes int
}

// chunk lends the next rows of a request and puts it in line again if some remain. It reports whether there is room for more.
func (l *loan) chunk(r *request) bool {
	room := true
	for n := min(l.rows, max(1, l.queue.batch/4)); n > 0 && room && r.taken < len(r.rows); n-- {
		if room = l.add(row{r, r.taken}); room {
			r.taken++
		}
	}
	if r.taken < len(r.rows) {
		l.queue.push(r)
	}
	return room
}

// add lends one row, if it fits; the first always does.
func (l *loan) add(at row) bool {
	s := at.request.rows[at.index]
	if l.bytes -= s.to - s.from; l.bytes < 0 && len(l.records) > 0 {
		return false
	}
	q := l.queue
	if l.records == nil {
		l.records = make([]messaging.Record, 0, max(1, min(l.rows, q.rows-len(q.sent))))
	}
	l.records = append(l.records, messaging.Record{Value: at.request.body[s.from:s.to:s.to], Headers: at.request.headers, Offset: q.next})
	q.sent[q.next] = at
	q.next++
	l.rows--
	return true
}

// giveBack takes the rows that the route had when it left the source. Those of live requests go out again, first.
func (q *queue) giveBack() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, offset := range slices.Sorted(maps.Keys(q.sent)) {
		if at := q.sent[offset]; at.request.live {
			q.again = append(q.again, at)
		}
	}
	clear(q.sent)
}

// settle notes fates by the offsets of their rows, and wakes the handlers of requests that are complete.
func (q *queue) settle(n int, fate func(i int) (offset int64, a answer)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range n {
		offset, a := fate(i)
		at, known := q.sent[offset]
		if !known {
			continue
		}
		delete(q.sent, offset)
		r := at.request
		r.settled++
		r.answers[at.index] = a
		if r.live && r.settled == len(r.rows) {
			q.end(r)
			r.done <- struct{}{}
		}
	}
	if q.head < len(q.line) || len(q.again) > 0 || q.closed {
		q.signal()
	}
}

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
