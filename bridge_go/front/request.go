package front

import (
	"time"

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

func grown(answers []answer, n int) []answer {
	if cap(answers) < n {
		return make([]answer, n)
	}
	return answers[:n]
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
