package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/steps"
)

// A transactor is a source with a producer of its own, whose transactions cover the source's offsets. They are two clients, as in
// Java's: the group's member id and generation travel with the offsets, and the broker refuses those of a member that it has given up.
type transactor struct {
	*source
	identity *identity
	producer *kgo.Client
	limits   *limits
	topics   map[string]bool // that are known to exist
	batch    batch
	once     sync.Once

	poisoned error // why nothing more can be written; of Transact alone
}

func (s *source) transactional() (messaging.Source, error) {
	id, err := identify(s.c.options, s.config.Group, s.config.Topic, s.c.settings.instance)
	if err != nil {
		s.Close(context.Background())
		return nil, err
	}
	t := &transactor{source: s, identity: id, limits: &limits{c: s.c}, topics: map[string]bool{}}
	t.producer, err = s.c.producer(t.limits.batch, kgo.TransactionalID(id.name), kgo.TransactionTimeout(s.c.settings.transaction))
	if err == nil {
		err = t.takeOver()
	}
	if err != nil {
		return nil, errors.Join(err, t.Close(context.Background()))
	}
	return t, s.c.keep(t)
}

// takeOver ends what a process before this one left open under the same id. Until then the group's offsets cannot be read, so it is not
// left to the first transaction.
func (t *transactor) takeOver() error {
	ctx, cancel := context.WithTimeout(context.Background(), t.c.settings.connect)
	defer cancel()
	_, _, err := t.producer.ProducerID(ctx)
	return t.c.explain("begin as "+t.identity.name, err)
}

func (t *transactor) Transact(ctx context.Context, writes []messaging.Write, upTo []messaging.Position) error {
	select {
	case <-t.closed:
		return messaging.ErrClosed
	default:
	}
	if t.poisoned != nil {
		return t.poisoned
	}
	moves, stale := t.held.settlements(upTo)
	if len(stale) > 0 {
		t.c.counts.stale.Add(float64(len(stale)))
		return &messaging.RevokedError{Partitions: stale}
	}
	records := 0
	for _, w := range writes {
		records += len(w.Records)
	}
	if records == 0 {
		return t.Commit(ctx, upTo) // atomic by itself
	}
	if err := t.prepare(ctx, writes); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, t.c.settings.write)
	defer cancel()
	err := t.transact(ctx, writes, moves)
	if err == nil {
		t.held.record(moves)
		return nil
	}
	t.c.counts.aborted.Inc()
	return err
}

// prepare has each topic exist before a transaction needs it, and refuses what none would take.
func (t *transactor) prepare(ctx context.Context, writes []messaging.Write) error {
	for _, w := range writes {
		if t.topics[w.Topic] {
			continue
		}
		if _, err := t.c.topic(ctx, w.Topic); err != nil {
			return err
		}
		t.topics[w.Topic] = true
	}
	return t.tooLarge(writes)
}

// tooLarge finds records that will never be written, before anything is. Indices count over all writes, in their order.
func (t *transactor) tooLarge(writes []messaging.Write) error {
	var failed []messaging.WriteFailure
	index := 0
	for _, w := range writes {
		limit := t.limits.value(w.Topic)
		for i := range w.Records {
			if size := len(w.Records[i].Value); size > limit {
				failed = append(failed, messaging.WriteFailure{Index: index, Permanent: true, Err: tooLarge(size, limit)})
			}
			index++
		}
	}
	if failed == nil {
		return nil
	}
	return &messaging.WriteError{Failed: failed}
}

func (t *transactor) transact(ctx context.Context, writes []messaging.Write, moves []settlement) error {
	if err := t.producer.BeginTransaction(); err != nil {
		return t.poison("begin", err)
	}
	defer t.batch.reset()
	for _, w := range writes {
		t.batch.fill(w.Topic, w.Records)
	}
	t.batch.send(ctx, t.producer, nil)
	if err := t.refused(); err != nil {
		return t.abort(ctx, err, moves)
	}
	if len(moves) > 0 {
		if err := t.addOffsets(ctx, moves); err != nil {
			return t.abort(ctx, err, moves)
		}
	}
	steps.At(steps.TransactionEnd)
	if err := t.producer.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return t.poison("commit the transaction of "+t.identity.name, err)
	}
	return nil
}

// refused says why not all records were written: permanent failures by themselves, otherwise the first error.
func (t *transactor) refused() error {
	var never []messaging.WriteFailure
	var first error
	for i := range t.batch.records {
		err := t.batch.failure(i)
		if err == nil {
			continue
		}
		if !permanent(err) {
			if first == nil {
				first = err
			}
			continue
		}
		never = append(never, messaging.WriteFailure{Index: i, Permanent: true, Err: t.c.explain("write to "+t.batch.records[i].Topic, err)})
	}
	if first != nil || never == nil {
		return first
	}
	return &messaging.WriteError{Failed: never}
}

// addOffsets puts the positions into the transaction, as KIP-447 has it.
func (t *transactor) addOffsets(ctx context.Context, moves []settlement) error {
	id, epoch, err := t.producer.ProducerID(ctx)
	if err != nil {
		return err
	}
	add := kmsg.NewPtrAddOffsetsToTxnRequest()
	add.TransactionalID, add.ProducerID, add.ProducerEpoch, add.Group = t.identity.name, id, epoch, t.config.Group
	if err := again(ctx, func() error {
		answer, err := add.RequestWith(ctx, t.producer)
		if err != nil {
			return err
		}
		return kerr.ErrorForCode(answer.ErrorCode)
	}); err != nil {
		return err
	}
	return again(ctx, func() error { return t.commitOffsets(ctx, id, epoch, moves) })
}

// commitOffsets says under which generation of the group the positions hold. The group may have been left and joined again since the
// transaction began, and the offsets have been fetched from before it: so the assignment is looked at after the generation. What is lost
// later is refused by the broker, which knows of a newer one.
func (t *transactor) commitOffsets(ctx context.Context, id int64, epoch int16, moves []settlement) error {
	r := kmsg.NewPtrTxnOffsetCommitRequest()
	r.TransactionalID, r.ProducerID, r.ProducerEpoch, r.Group = t.identity.name, id, epoch, t.config.Group
	r.MemberID, r.Generation = t.client.GroupMetadata()
	if err := t.sameMember(r.MemberID); err != nil {
		return err
	}
	if over := t.held.over(moves); len(over) > 0 {
		return &messaging.RevokedError{Partitions: over}
	}
	if name := t.c.settings.instance; name != "" {
		r.InstanceID = &name
	}
	topic := kmsg.NewTxnOffsetCommitRequestTopic()
	topic.Topic = t.config.Topic
	topic.TopicID = t.topicID
	for _, m := range moves {
		p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset, p.LeaderEpoch, p.Metadata = m.Partition, m.to.Offset, m.to.Epoch, t.noteFor(m.Partition)
		topic.Partitions = append(topic.Partitions, p)
	}
	r.Topics = append(r.Topics, topic)
	answer, err := r.RequestWith(ctx, t.producer)
	if err != nil {
		return err
	}
	for i := range answer.Topics {
		for _, p := range answer.Topics[i].Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return fmt.Errorf("offset of partition %d: %w", p.Partition, err)
			}
		}
	}
	return nil
}

// again tries what a broker asks to be tried again.
func again(ctx context.Context, try func() error) error {
	for {
		err := try()
		if err == nil || ctx.Err() != nil || !kerr.IsRetriable(err) && !errors.Is(err, kerr.ConcurrentTransactions) {
			return err
		}
		wait(ctx, backoff)
	}
}

// abort ends the transaction without its records and says why in the words of the seam.
func (t *transactor) abort(ctx context.Context, why error, moves []settlement) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.c.settings.connect)
	defer cancel()
	if err := t.producer.EndTransaction(ctx, kgo.TryAbort); err != nil {
		return t.poison("abort", errors.Join(why, err))
	}
	var refused *messaging.WriteError
	var revoked *messaging.RevokedError
	switch {
	case errors.As(why, &refused):
		return why
	case errors.As(why, &revoked):
		t.c.counts.stale.Add(float64(len(revoked.Partitions)))
		return why
	case fenced(why):
		return t.poison("write", why)
	case givenUp(why), errors.Is(why, errGivenUp):
		return t.revokedNow(why, moves)
	}
	return t.poison("write", why)
}

// revokedNow: the group gave this member up, and with it all of its partitions.
func (t *transactor) revokedNow(why error, moves []settlement) error {
	t.c.options.Log.Warn("the group has given this member up: a transaction was not stored", "group", t.config.Group, "error", why)
	t.givenUp(errGivenUp)
	gone := &messaging.RevokedError{}
	for _, m := range moves {
		gone.Partitions = append(gone.Partitions, m.Partition)
	}
	return gone
}

// poison ends the use of this producer: the next one, of a source opened anew, ends what is open and goes on from the stored positions.
func (t *transactor) poison(doing string, err error) error {
	if fenced(err) {
		t.poisoned = fmt.Errorf("%w: %s: %w", messaging.ErrFenced, doing, err)
	} else {
		t.poisoned = t.c.explain(doing, err)
	}
	return t.poisoned
}

// Close ends the member and the producer. A transaction that is open is aborted by whoever has the id next, or by the broker.
func (t *transactor) Close(ctx context.Context) error {
	err := t.source.Close(ctx)
	t.once.Do(func() {
		if t.producer != nil {
			t.producer.Close()
		}
		t.identity.release()
		t.c.forget(t)
	})
	return err
}
