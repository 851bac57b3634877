package dispatchtest

import (
	"context"
	"fmt"
	"io"
	"sync"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// A Log is a topic in memory with the position of one group. It outlives the routes that read it, as a broker does.
type Log struct {
	mu        sync.Mutex
	records   []messaging.Record
	committed map[int32]int64 // last settled offset
	bounded   bool
	fail      error
	grown     chan struct{}
	opened    int
	closed    int
}

// NewLog holds n events of 300 bytes over a number of partitions, with as many keys; key number 0 is no key. A bounded one ends.
func NewLog(n, partitions, keys int, bounded bool) *Log {
	l := &Log{committed: map[int32]int64{}, bounded: bounded, grown: make(chan struct{})}
	l.Append(n, partitions, keys)
	return l
}

// Append adds events. Offsets of a partition count from 0.
func (l *Log) Append(n, partitions, keys int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := map[int32]int64{}
	for i := range l.records {
		next[l.records[i].Partition]++
	}
	for i := range n {
		key := i % max(1, keys)
		r := messaging.Record{Partition: int32(key % partitions), Value: make([]byte, 300)}
		r.Offset = next[r.Partition]
		next[r.Partition]++
		if key > 0 {
			r.Key = fmt.Appendf(nil, "key-%d", key)
		}
		copy(r.Value, fmt.Sprintf("%d/%d ", r.Partition, r.Offset))
		l.records = append(l.records, r)
	}
	close(l.grown)
	l.grown = make(chan struct{})
}

// Fail makes opening and reading fail until it is called with nil.
func (l *Log) Fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fail = err
	close(l.grown)
	l.grown = make(chan struct{})
}

// Opened is how often a source was opened and closed.
func (l *Log) Opened() (opened, closed int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.opened, l.closed
}

// Committed is the number of events behind which the group goes on.
func (l *Log) Committed() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, offset := range l.committed {
		n += int(offset) + 1
	}
	return n
}

// Records are all events of the log.
func (l *Log) Records() []messaging.Record {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]messaging.Record(nil), l.records...)
}

// Open is a dispatch.Config.Open.
func (l *Log) Open(context.Context, []byte) (messaging.Source, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail != nil {
		return nil, l.fail
	}
	l.opened++
	return &source{log: l}, nil
}

type source struct {
	log  *Log
	next int
}

func (s *source) Read(ctx context.Context, limit messaging.Limit) ([]messaging.Record, error) {
	for {
		records, grown, err := s.read(limit)
		if len(records) > 0 || err != nil {
			return records, err
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (s *source) read(limit messaging.Limit) (out []messaging.Record, grown chan struct{}, err error) {
	l := s.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail != nil {
		return nil, nil, l.fail
	}
	for bytes := 0; s.next < len(l.records) && len(out) < limit.Events; s.next++ {
		r := l.records[s.next]
		if upTo, ok := l.committed[r.Partition]; ok && r.Offset <= upTo {
			continue
		}
		if bytes += len(r.Value); bytes > limit.Bytes && len(out) > 0 {
			break
		}
		out = append(out, r)
	}
	if len(out) == 0 && l.bounded {
		return nil, nil, io.EOF
	}
	return out, l.grown, nil
}

func (s *source) Commit(_ context.Context, upTo []messaging.Position) error {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	for _, p := range upTo {
		if old, ok := s.log.committed[p.Partition]; ok && old > p.Offset {
			return fmt.Errorf("commit of partition %d goes back from %d to %d", p.Partition, old, p.Offset)
		}
		s.log.committed[p.Partition] = p.Offset
	}
	return nil
}

func (s *source) Lag(context.Context) int64 {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	return int64(len(s.log.records) - s.next)
}

func (s *source) Close(context.Context) error {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	s.log.closed++
	return nil
}
