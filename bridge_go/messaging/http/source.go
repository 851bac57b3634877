package http

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// A request is a sender's, with its events, until it is answered and nobody holds its events any more.
type request struct {
	id      string
	sum     [32]byte // of the body
	events  [][]byte
	key     []byte
	headers []messaging.Header
	room    *share

	done chan struct{}
	fate *problem // nil when all is stored; to be read when done is closed

	// of the source, under its lock
	partition int32
	first     int64 // offset of the first event
	read      int   // events that were handed out
	ended     bool
}

// end closes done, once; the first fate holds. The caller has the source's lock, or the request is nobody else's yet.
func (r *request) end(fate *problem) {
	if !r.ended {
		r.ended, r.fate = true, fate
		close(r.done)
	}
}

// A source hands requests out. Each request that is held has a partition of its own, so that its answer waits for its own
// events and not for those of another that has to be tried again: positions are prefixes of partitions. Partitions are used
// again when all of a request is settled, with offsets that go on increasing.
type source struct {
	h *hooks
	t *topic

	mu      sync.Mutex
	next    int64 // offset
	waiting []*request
	held    map[int32]*request // handed out, in whole or in part
	free    []int32            // partitions, last used first
	made    int32              // partitions
	unread  int                // events in waiting
	stopped bool               // its reader reads no more
	closed  bool
	changed chan struct{} // closed and replaced when there is something to read
}

func newSource(h *hooks, t *topic) *source {
	// Offsets go on from the clock, so that those of an earlier source of this life are not met again.
	return &source{h: h, t: t, next: time.Now().UnixMicro(), held: map[int32]*request{}, changed: make(chan struct{})}
}

// offer takes a request over, or says why not.
func (s *source) offer(r *request) *problem {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.stopped {
		return problemEnding
	}
	if n := len(s.free); n > 0 {
		r.partition, s.free = s.free[n-1], s.free[:n-1]
	} else {
		r.partition = s.made
		s.made++
	}
	r.first = s.next
	s.next += int64(len(r.events))
	s.unread += len(r.events)
	s.waiting = append(s.waiting, r)
	s.announce()
	return nil
}

func (s *source) announce() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// Read implements messaging.Source. A reader whose context is cancelled does not come back, as far as senders are concerned: what it
// has not read is given back to them now and not when the source is closed, which may take long.
func (s *source) Read(ctx context.Context, limit messaging.Limit) ([]messaging.Record, error) {
	for {
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			return nil, messaging.ErrClosed
		}
		if err := ctx.Err(); err != nil {
			if errors.Is(err, context.Canceled) {
				s.stop()
			}
			s.mu.Unlock()
			return nil, err
		}
		s.stopped = false
		records, changed := s.some(limit), s.changed
		s.mu.Unlock()
		if len(records) > 0 {
			return records, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// stop gives back what nobody has read.
func (s *source) stop() {
	s.stopped = true
	for _, r := range s.waiting {
		if r.read == 0 {
			s.giveBack(r, problemEnding)
		}
	}
	s.waiting, s.unread = nil, 0
}

// some hands events out, in the order in which their requests came.
func (s *source) some(limit messaging.Limit) (records []messaging.Record) {
	bytes := 0
	for len(s.waiting) > 0 {
		r := s.waiting[0]
		s.held[r.partition] = r
		for r.read < len(r.events) {
			event := r.events[r.read]
			if bytes += len(event) + len(r.key); len(records) > 0 && (len(records) >= limit.Events || bytes > limit.Bytes) {
				return records
			}
			records = append(records, r.record(r.read))
			r.read++
			s.unread--
		}
		s.waiting[0] = nil
		s.waiting = s.waiting[1:]
	}
	return records
}

// headerEventID is the header in which an event keeps its request's id; those of several events have their number behind it.
const headerEventID = "idempotency-key"

func (r *request) record(i int) messaging.Record {
	headers := r.headers
	if r.id != "" {
		id := r.id
		if len(r.events) > 1 {
			id += "/" + strconv.Itoa(i)
		}
		headers = append(headers[:len(headers):len(headers)], messaging.Header{Name: headerEventID, Value: []byte(id)})
	}
	return messaging.Record{
		Key: r.key, Value: r.events[i], Headers: headers, Time: time.Now().UnixNano(), Partition: r.partition, Offset: r.first + int64(i),
	}
}

// Commit implements messaging.Source. It is what answers: a request whose events are all settled.
func (s *source) Commit(_ context.Context, upTo []messaging.Position) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range upTo {
		r := s.held[p.Partition]
		if r == nil || r.read == 0 || p.Offset < r.first+int64(r.read)-1 || r.read < len(r.events) {
			continue
		}
		s.giveBack(r, nil)
	}
	return nil
}

// giveBack ends a request of which nobody holds an event: its partition is free, and its room too.
func (s *source) giveBack(r *request, fate *problem) {
	delete(s.held, r.partition)
	s.free = append(s.free, r.partition)
	if fate != nil {
		s.t.answers.drop(r)
	}
	r.end(fate)
	r.room.release()
	r.key, r.headers = nil, nil
	clear(r.events) // those that remember the request's answer do not hold its body
}

// withdraw takes a request out whose sender does not wait any longer. Once any of its events has been read it stays, since it
// will be scored: the sender that tries again with the same id then waits for the same events.
func (s *source) withdraw(r *request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.ended || r.read > 0 {
		return
	}
	for i, w := range s.waiting {
		if w == r {
			s.waiting = append(s.waiting[:i:i], s.waiting[i+1:]...)
			s.unread -= len(r.events)
			s.giveBack(r, problemUnsettled)
			return
		}
	}
}

// Lag implements messaging.Source.
func (s *source) Lag(context.Context) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int64(s.unread)
}

// Close implements messaging.Source. Senders whose events have no fate are told to send them again.
func (s *source) Close(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	for _, r := range s.waiting {
		if r.read == 0 {
			s.giveBack(r, problemEnding)
		}
	}
	for _, r := range s.held {
		s.giveBack(r, problemEnding)
	}
	s.waiting, s.unread = nil, 0
	s.announce()
	s.h.left(s.t, s)
	return nil
}
