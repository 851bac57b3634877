package server

import (
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// An outbox is what a connection has still to write. It is guarded by the connection's lock.
type outbox struct {
	rest  []byte // of frames that the socket did not take at once; before the queue
	queue []wire.Message
	bytes int  // about what rest and queue take on the wire
	busy  bool // the writer has something to write
	limit int
	last  bool          // nothing is added any more; the writer ends when the queue is empty
	wake  chan struct{} // holds a token when there may be something to do
	room  chan struct{} // closed and made anew each time the writer takes the queue
}

func newOutbox(limit int) outbox {
	return outbox{limit: limit, wake: make(chan struct{}, 1), room: make(chan struct{})}
}

// put adds messages. It is false when they do not fit; nothing is added then. An empty box takes anything.
func (o *outbox) put(list []wire.Message) bool {
	size := 0
	for _, m := range list {
		size += weight(m)
	}
	if o.bytes > 0 && o.bytes+size > o.limit {
		return false
	}
	o.queue = append(o.queue, list...)
	o.bytes += size
	o.signal()
	return true
}

// finish lets the writer end after what is queued.
func (o *outbox) finish() {
	o.last = true
	o.signal()
}

func (o *outbox) clear() {
	clear(o.queue)
	o.rest, o.queue, o.bytes = nil, o.queue[:0], 0
}

// idle says that nothing is to be written before what comes next.
func (o *outbox) idle() bool { return o.bytes == 0 && !o.busy }

// keep leaves the rest of frames to the writer. The box is idle.
func (o *outbox) keep(rest []byte) {
	o.rest, o.bytes = append([]byte(nil), rest...), len(rest)
	o.signal()
}

func (o *outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// take gives the writer what there is and takes an empty slice in exchange.
func (o *outbox) take(empty []wire.Message) (rest []byte, list []wire.Message, last bool) {
	rest, list = o.rest, o.queue
	o.rest, o.queue, o.bytes, o.busy = nil, empty, 0, true
	close(o.room)
	o.room = make(chan struct{})
	return rest, list, o.last
}

// frameWeight covers the fields of any frame that are not counted one by one.
const frameWeight = 64

// weight is about the size of a message on the wire, and of what it keeps alive.
func weight(m wire.Message) int {
	switch m := m.(type) {
	case *wire.Batch:
		return frameWeight + batchWeight(m)
	case *wire.Answer:
		return frameWeight + len(m.Value)
	case *wire.Cut:
		return frameWeight + len(m.Worker) + len(m.Reason)
	default:
		return frameWeight
	}
}

// eventWeight is the head of a payload and the slice that holds it.
const eventWeight = 32

func batchWeight(m *wire.Batch) int {
	n := eventWeight*len(m.Payloads) + m.Bytes()
	for _, key := range m.Keys {
		n += eventWeight + len(key)
	}
	for _, pairs := range m.Headers {
		for _, p := range pairs {
			n += 2*eventWeight + len(p.Name) + len(p.Value)
		}
	}
	return n
}
