package front

import (
	"io"
	"maps"
	"slices"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// What the route has of the queue: rows of requests go to it as records, a chunk of each in turns, and come back as fates, or are given
// back when the route leaves the source.

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
