package shadow

import (
	"context"
	"io"
	"slices"
	"strings"
	"sync"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// A queue holds events with what the primary answered, from their offer until the shadow has answered, too. It is the source of
// the shadow's route, and bounded: what does not fit is dropped and counted. Copies are made, so that what it holds is as large
// as what it counts: a record of the primary may keep a whole fetch in memory.
type queue struct {
	limit  messaging.Limit
	budget budget

	mu       sync.Mutex
	used     messaging.Limit // waiting and being scored
	waiting  []*chunk
	answers  map[*messaging.Record]*answer // the primary's, of what is being scored, by the record that the route was given
	done     uint64                        // events that the shadow has answered
	dropped  uint64
	spared   uint64 // that the budget has no room for
	ended    bool
	arrivals chan struct{} // has room for one
}

// maxChunk bounds the events of a chunk, so that room for bytes is not made too seldom.
const maxChunk = 256

// A chunk is events that were offered together, and for each the primary's answer. They share one block of bytes, which is
// free when the last of them has been answered.
type chunk struct {
	records []messaging.Record // that wait
	answers []answer           // of these
	bytes   int
	left    int // that have not been answered
}

// An answer is what the primary made of an event.
type answer struct {
	kind    dispatch.FateKind
	outputs [][]byte
	routes  []dispatch.Routed
	model   string
	chunk   *chunk
}

func newQueue(limit messaging.Limit) *queue {
	return &queue{limit: limit, answers: map[*messaging.Record]*answer{}, arrivals: make(chan struct{}, 1)}
}

// offer puts copies of as many fates behind the queue as there is room for, the first ones.
func (q *queue) offer(fates []dispatch.Fate) {
	for part := range slices.Chunk(fates, maxChunk) {
		if n, bytes := q.reserve(part); n > 0 {
			q.add(copied(part[:n], bytes))
		}
	}
}

func (q *queue) add(c *chunk) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = append(q.waiting, c)
	q.tell()
}

// reserve counts the fates that fit, and drops the others.
func (q *queue) reserve(fates []dispatch.Fate) (n, bytes int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	room := q.budget.room(q.done, q.used.Events)
	if room < len(fates) && !q.ended {
		q.spared += uint64(len(fates) - room)
		fates = fates[:room]
	}
	for ; n < len(fates) && !q.ended; n++ {
		more := size(&fates[n])
		if q.used.Events == q.limit.Events || q.used.Bytes+more > q.limit.Bytes {
			break
		}
		q.used.Events++
		q.used.Bytes += more
		bytes += more
	}
	q.dropped += uint64(len(fates) - n)
	return n, bytes
}

// size is what an event and its answer hold.
func size(f *dispatch.Fate) int {
	n := len(f.Record.Key) + len(f.Record.Value)
	for i := range f.Record.Headers {
		n += len(f.Record.Headers[i].Name) + len(f.Record.Headers[i].Value)
	}
	for _, o := range f.Outputs {
		n += len(o)
	}
	return n
}

// copied is a chunk of the events and answers of fates, in one block of the bytes that size counted.
func copied(fates []dispatch.Fate, bytes int) *chunk {
	block := make([]byte, 0, bytes)
	keep := func(b []byte) []byte {
		if b == nil {
			return nil
		}
		from := len(block)
		block = append(block, b...)
		return block[from:len(block):len(block)]
	}
	c := &chunk{make([]messaging.Record, len(fates)), make([]answer, len(fates)), bytes, len(fates)}
	outputs := make([][]byte, 0, outputsOf(fates))
	for i := range fates {
		f := &fates[i]
		c.records[i] = record(f.Record, keep)
		from := len(outputs)
		for _, o := range f.Outputs {
			outputs = append(outputs, keep(o))
		}
		c.answers[i] = answer{f.Kind, outputs[from:len(outputs):len(outputs)], f.Routes, f.Model, c}
	}
	return c
}

func outputsOf(fates []dispatch.Fate) (n int) {
	for i := range fates {
		n += len(fates[i].Outputs)
	}
	return n
}

func record(r *messaging.Record, keep func([]byte) []byte) messaging.Record {
	mine := *r
	mine.Epoch = 0      // the affair of the primary's source
	mine.Original = nil // of dead letters, which a shadow has none of; it would keep what size does not count
	mine.Key, mine.Value, mine.Headers = keep(r.Key), keep(r.Value), slices.Clone(r.Headers)
	for i := range mine.Headers {
		h := &mine.Headers[i]
		h.Name, h.Value = strings.Clone(h.Name), keep(h.Value)
	}
	return mine
}

// answered gives the primary's answer for an event that the shadow has answered, and makes room.
func (q *queue) answered(r *messaging.Record) *answer {
	q.mu.Lock()
	defer q.mu.Unlock()
	a := q.answers[r]
	if a != nil {
		delete(q.answers, r)
		q.done++
		q.used.Events--
		if a.chunk.left--; a.chunk.left == 0 {
			q.used.Bytes -= a.chunk.bytes
		}
	}
	return a
}

// end has nothing more taken, and Read answer io.EOF behind what is queued.
func (q *queue) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ended = true
	q.tell()
}

// abandon drops what is left.
func (q *queue) abandon() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.dropped += uint64(q.used.Events)
	q.used, q.waiting = messaging.Limit{}, nil
	clear(q.answers)
}

func (q *queue) figures() (used messaging.Limit, dropped uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.used, q.dropped
}

// sparedEvents are those that the budget had no room for.
func (q *queue) sparedEvents() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.spared
}

func (q *queue) tell() {
	select {
	case q.arrivals <- struct{}{}:
	default:
	}
}

// Read implements messaging.Source.
func (q *queue) Read(ctx context.Context, limit messaging.Limit) ([]messaging.Record, error) {
	for {
		if records, over := q.next(limit); len(records) > 0 {
			return records, nil
		} else if over {
			return nil, io.EOF
		}
		select {
		case <-q.arrivals:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (q *queue) next(limit messaging.Limit) (records []messaging.Record, over bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		return nil, q.ended
	}
	first := q.waiting[0]
	n, bytes := 1, len(first.records[0].Value)
	for n < min(len(first.records), limit.Events) && bytes < limit.Bytes {
		bytes += len(first.records[n].Value)
		n++
	}
	records = first.records[:n:n]
	for i := range records {
		q.answers[&records[i]] = &first.answers[i]
	}
	if first.records, first.answers = first.records[n:], first.answers[n:]; len(first.records) == 0 {
		q.waiting[0] = nil
		q.waiting = q.waiting[1:]
	}
	return records, false
}

// Commit implements messaging.Source: there is no position, an event that was offered is never read again.
func (q *queue) Commit(context.Context, []messaging.Position) error { return nil }

// Lag implements messaging.Source.
func (q *queue) Lag(context.Context) int64 {
	used, _ := q.figures()
	return int64(used.Events)
}

// Close implements messaging.Source. The queue outlives it.
func (q *queue) Close(context.Context) error { return nil }
