package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

type sink struct {
	c      *connection
	topic  string
	client *kgo.Client
	limits *limits
	batch  batch
	once   sync.Once
	closed atomic.Bool
}

func (c *connection) openSink(t topic) (*sink, error) {
	s := &sink{c: c, topic: t.name, limits: &limits{c: c}}
	var err error
	// Without the last option a record whose answer does not come could not be given up, and Write would wait for a dead broker for ever.
	// What is given up may be stored: the caller, who tries it again, is told no more than that it may not be.
	s.client, err = c.producer(s.limits.batch, kgo.AllowIdempotentProduceCancellation())
	if err == nil {
		s.limits.of(t.name)
	}
	return s, err
}

func (s *sink) Write(ctx context.Context, records []messaging.Outgoing) error {
	if s.closed.Load() {
		return messaging.ErrClosed
	}
	if len(records) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.c.settings.write)
	defer cancel()
	defer s.batch.reset()
	s.batch.fill(s.topic, records)
	limit := s.limits.value(s.topic)
	s.batch.send(ctx, s.client, func(i int) bool { return len(records[i].Value) > limit })
	s.againAlone(ctx)
	return s.c.outcome(&s.batch, records, limit)
}

// againAlone writes what was refused for its size once more, one by one: the broker says it of a batch, and the topic's limit may have
// been lowered since it was asked for.
func (s *sink) againAlone(ctx context.Context) {
	b := &s.batch
	for i := range b.records {
		if !errors.Is(b.failure(i), kerr.MessageTooLarge) || len(b.records) == 1 {
			continue
		}
		r := &b.records[i]
		delete(b.failed, r)
		b.done.Add(1)
		s.client.Produce(ctx, r, b.settled)
		if err := s.client.Flush(ctx); err != nil {
			s.client.UnsafeAbortBufferedRecords()
		}
		b.done.Wait()
	}
}

// outcome says what became of each record.
func (c *connection) outcome(b *batch, records []messaging.Outgoing, limit int) error {
	var failed []messaging.WriteFailure
	again := map[int32]bool{} // partitions in which a record will be tried again, and so all behind it
	for i := range records {
		err := b.failure(i)
		switch {
		case len(records[i].Value) > limit:
			failed = append(failed, messaging.WriteFailure{Index: i, Permanent: true, Err: tooLarge(len(records[i].Value), limit)})
		case err != nil && permanent(err):
			failed = append(failed, messaging.WriteFailure{Index: i, Permanent: true, Err: c.explain("write to "+b.records[i].Topic, err)})
		case err != nil:
			again[b.records[i].Partition] = true
			failed = append(failed, messaging.WriteFailure{Index: i, Err: c.explain("write to "+b.records[i].Topic, err)})
		case again[b.records[i].Partition]:
			failed = append(failed, messaging.WriteFailure{Index: i, Err: errBehind})
		}
	}
	if failed == nil {
		return nil
	}
	return &messaging.WriteError{Failed: failed}
}

var errBehind = errors.New("kafka: a record before it in its partition was not written")

func tooLarge(size, limit int) error {
	return fmt.Errorf("kafka: value of %d bytes is over the limit of %d: raise max.message.bytes of the topic, or max_value of the connection", size, limit)
}

func (s *sink) Info() messaging.SinkInfo {
	return messaging.SinkInfo{MaxBytes: s.limits.value(s.topic), InOrder: true}
}

func (s *sink) Close(context.Context) error {
	s.once.Do(func() {
		s.closed.Store(true)
		s.client.Close()
		s.c.forget(s)
	})
	return nil
}

// limits knows the largest batch of topics, once it has asked.
type limits struct {
	c     *connection
	known sync.Map // topic -> int32
}

// of asks the broker on first use.
func (l *limits) of(topic string) int32 {
	if n, ok := l.known.Load(topic); ok {
		return n.(int32)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	n := l.c.largest(ctx, topic)
	l.known.Store(topic, n)
	return n
}

// batch is what the client asks while it holds locks: it does not wait for an answer.
func (l *limits) batch(topic string) int32 {
	if n, ok := l.known.Load(topic); ok {
		return n.(int32)
	}
	return fallbackBatch
}

// value is the largest value that is written.
func (l *limits) value(topic string) int {
	n := int(l.of(topic)) - roomForTheRest
	if most := int(l.c.settings.maxValue); most > 0 {
		n = min(n, most)
	}
	return n
}
