package kafka

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

type source struct {
	c       *connection
	config  messaging.SourceConfig
	client  *kgo.Client
	held    *assignment
	topicID [16]byte
	notes   sync.Map // partition -> note, between the fetching of offsets and the assignment

	ahead []messaging.Record // taken from the client and not handed out; of Read alone

	mu    sync.Mutex
	wake  context.CancelFunc // ends the poll that Read is in
	fault error              // why the source can no longer be read

	lagged atomic.Int64 // when ends were last asked for, in ns

	once   sync.Once
	ready  chan struct{} // closed when client is set: callbacks may come before
	closed chan struct{}
}

func (c *connection) openSource(ctx context.Context, t topic, sc messaging.SourceConfig) (*source, error) {
	s := &source{c: c, config: sc, topicID: t.raw, held: newAssignment(), ready: make(chan struct{}), closed: make(chan struct{})}
	options, err := s.options(ctx, t)
	if err != nil {
		return nil, err
	}
	s.client, err = kgo.NewClient(options...)
	close(s.ready)
	return s, err
}

func (s *source) options(ctx context.Context, t topic) ([]kgo.Opt, error) {
	v := s.c.settings
	o := append([]kgo.Opt{}, s.c.base...)
	o = append(o,
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),
		kgo.FetchMaxBytes(int32(min(v.fetchBytes, math.MaxInt32))),
		kgo.FetchMaxPartitionBytes(int32(min(v.fetchPartition, math.MaxInt32))),
		kgo.FetchMaxWait(v.fetchWait),
		kgo.MaxConcurrentFetches(int(v.fetches)),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.ConsiderMissingTopicDeletedAfter(3*v.metadata),
	)
	if s.config.Group == "" {
		from, err := s.withoutGroup(ctx, t)
		return append(o, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{t.name: from})), err
	}
	o = append(o,
		kgo.ConsumeTopics(t.name),
		kgo.ConsumerGroup(s.config.Group),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.SessionTimeout(v.session),
		kgo.HeartbeatInterval(min(3*time.Second, v.session/4)),
		kgo.RebalanceTimeout(v.rebalance),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		kgo.OnOffsetsFetched(s.fetched),
		kgo.AdjustFetchOffsetsFn(s.assigned),
		kgo.OnPartitionsRevoked(s.revoked),
		kgo.OnPartitionsLost(s.lost),
	)
	if v.instance != "" {
		o = append(o, kgo.InstanceID(v.instance))
	}
	return o, nil
}

func (s *source) Read(ctx context.Context, limit messaging.Limit) ([]messaging.Record, error) {
	for {
		if err := s.stopped(ctx); err != nil {
			return nil, err
		}
		if records := s.hand(limit); len(records) > 0 {
			return records, nil
		}
		if err := s.poll(ctx, max(limit.Events, 1)); err != nil {
			s.broken(err)
		}
	}
}

func (s *source) stopped(ctx context.Context) error {
	select {
	case <-s.closed:
		return messaging.ErrClosed
	default:
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fault
}

// broken ends the source, which its reader opens anew: what is wrong has to do with where it stands.
func (s *source) broken(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault == nil {
		s.fault = s.c.explain("read "+s.config.Topic, err)
	}
	if s.wake != nil {
		s.wake()
	}
}

// poll takes records from the client. Rebalances are blocked from the taking until each record carries its epoch: between the two a
// partition could be taken away and given back, and what was read before would pass for what is read after.
func (s *source) poll(ctx context.Context, events int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.mu.Lock()
	s.wake = cancel
	s.mu.Unlock()
	fetches := s.client.PollRecords(ctx, events)
	defer s.client.AllowRebalance()
	member, _ := s.client.GroupMetadata()
	if err := s.sameMember(member); err != nil {
		return err
	}
	return s.take(fetches)
}

// take stamps records and puts them behind those that are ahead.
func (s *source) take(fetches kgo.Fetches) error {
	s.held.mu.Lock()
	defer s.held.mu.Unlock()
	s.makeRoom(fetches)
	for i := range fetches {
		for j := range fetches[i].Topics {
			for k := range fetches[i].Topics[j].Partitions {
				if err := s.takePartition(&fetches[i].Topics[j].Partitions[k]); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (s *source) makeRoom(fetches kgo.Fetches) {
	n := 0
	for i := range fetches {
		for j := range fetches[i].Topics {
			for k := range fetches[i].Topics[j].Partitions {
				n += len(fetches[i].Topics[j].Partitions[k].Records)
			}
		}
	}
	if len(s.ahead) == 0 {
		s.ahead = make([]messaging.Record, 0, n) // what was there is the caller's
	}
}

func (s *source) takePartition(f *kgo.FetchPartition) error {
	if f.Err != nil {
		return s.failed(f)
	}
	p := s.held.parts[f.Partition]
	if p == nil || len(f.Records) == 0 {
		return nil
	}
	if first := f.Records[0].Offset; f.LogStartOffset > p.polled && first > p.polled {
		if err := s.gap(f.Partition, p.polled, min(f.LogStartOffset, first)); err != nil {
			return err
		}
	}
	p.end = f.LastStableOffset
	headers := headersOf(f.Records)
	for _, r := range f.Records {
		if r.Attrs.IsControl() || isMarker(r) {
			p.pass(r.Offset)
			continue
		}
		p.take(r)
		s.ahead = append(s.ahead, messaging.Record{
			Key: r.Key, Value: r.Value, Headers: headers.of(r), Time: timeOf(r), Partition: f.Partition, Offset: r.Offset, Epoch: p.epoch,
		})
	}
	return nil
}

// failed tells what a source survives from what it does not.
func (s *source) failed(f *kgo.FetchPartition) error {
	var session *kgo.ErrGroupSession
	var loss *kgo.ErrDataLoss
	switch err := f.Err; {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return nil // the poll's end, or Close
	case errors.Is(err, kgo.ErrClientClosed):
		return messaging.ErrClosed
	case errors.As(err, &loss):
		s.c.counts.lost.Add(float64(max(loss.ConsumedTo-loss.ResetTo, 1)))
		return fmt.Errorf("partition %d lost records that had been read: it ended at %d and now ends at %d", f.Partition, loss.ConsumedTo, loss.ResetTo)
	case errors.As(err, &session):
		if errors.Is(err, kerr.FencedInstanceID) {
			return fmt.Errorf("%w: instance_id %s is in use elsewhere: %w", messaging.ErrFenced, s.c.settings.instance, err)
		}
		if givenUp(err) || kerr.IsRetriable(session.Err) || !isKafkaError(session.Err) {
			s.c.options.Log.Warn("left the group and joins it again", "topic", s.config.Topic, "group", s.config.Group, "error", session.Err)
			return nil
		}
		return err
	default:
		return fmt.Errorf("partition %d: %w", f.Partition, err)
	}
}

func isKafkaError(err error) bool {
	var known *kerr.Error
	return errors.As(err, &known)
}

// gap says that offsets are gone which the group had not read.
func (s *source) gap(partition int32, want, have int64) error {
	if s.config.Group == "" { // nobody was promised them
		return nil
	}
	s.c.counts.gaps.Add(float64(have - want))
	s.c.options.Log.Error("records were dropped before they were read", "topic", s.config.Topic, "group", s.config.Group,
		"partition", partition, "from", want, "to", have-1, "setting", "gap=continue goes on without them")
	if s.c.settings.skipGaps {
		return nil
	}
	return &messaging.GapError{Topic: fmt.Sprintf("%s/%d", s.config.Topic, partition), Group: s.config.Group, Want: want, Have: have}
}

// hand gives out what is ahead, within the limit, at least one record. Those of assignments that are over are dropped, those of paused
// partitions stay.
func (s *source) hand(limit messaging.Limit) []messaging.Record {
	if len(s.ahead) == 0 {
		return nil
	}
	s.held.mu.Lock()
	defer s.held.mu.Unlock()
	n, bytes, plain := 0, 0, true
	for ; n < len(s.ahead) && plain; n++ {
		r := &s.ahead[n]
		size := len(r.Key) + len(r.Value)
		if n > 0 && (n >= limit.Events || bytes+size > limit.Bytes) {
			break
		}
		bytes += size
		p := s.held.parts[r.Partition]
		plain = p != nil && p.epoch == r.Epoch && !p.paused && !p.leaving
	}
	if !plain {
		return s.pick(limit)
	}
	records := s.ahead[:n:n]
	s.ahead = s.ahead[n:]
	for i := range records {
		s.held.parts[records[i].Partition].handed = records[i].Offset + 1
	}
	return records
}

// pick is hand where not every record may be handed out.
func (s *source) pick(limit messaging.Limit) []messaging.Record {
	var records, rest []messaging.Record
	bytes, full := 0, false
	for i := range s.ahead {
		r := s.ahead[i]
		p := s.held.parts[r.Partition]
		if p == nil || p.epoch != r.Epoch {
			continue
		}
		size := len(r.Key) + len(r.Value)
		full = full || len(records) > 0 && (len(records) >= limit.Events || bytes+size > limit.Bytes)
		if full || p.paused || p.leaving {
			rest = append(rest, r)
			continue
		}
		bytes += size
		p.handed = r.Offset + 1
		records = append(records, r)
	}
	s.ahead = rest
	return records
}

func (s *source) Pause(partitions []int32)  { s.pause(partitions, true) }
func (s *source) Resume(partitions []int32) { s.pause(partitions, false) }

// pause has the client stop fetching. What it had fetched of a paused partition it fetches again.
func (s *source) pause(partitions []int32, paused bool) {
	s.held.mu.Lock()
	for _, n := range partitions {
		if p := s.held.parts[n]; p != nil {
			p.paused = paused
		}
	}
	s.held.mu.Unlock()
	if which := map[string][]int32{s.config.Topic: partitions}; paused {
		s.client.PauseFetchPartitions(which)
		return
	} else {
		s.client.ResumeFetchPartitions(which)
	}
	s.mu.Lock() // what is ahead may be handed out now
	defer s.mu.Unlock()
	if s.wake != nil {
		s.wake()
	}
}

// Commit is refused by the broker when the group has given this member up; positions of assignments that are over do not get there.
func (s *source) Commit(ctx context.Context, upTo []messaging.Position) error {
	select {
	case <-s.closed:
		return messaging.ErrClosed
	default:
	}
	if s.config.Group == "" {
		return nil
	}
	for {
		moves, stale := s.held.settlements(upTo) // each time: what is tried again may have been lost meanwhile
		s.c.counts.stale.Add(float64(len(stale)))
		if len(moves) == 0 {
			return nil
		}
		err := s.commit(ctx, moves)
		if err == nil {
			s.held.record(moves)
			return nil
		}
		if givenUp(err) {
			s.givenUp(fmt.Errorf("%w: %w", errGivenUp, err))
		}
		if !kerr.IsRetriable(err) && !errors.Is(err, kerr.RebalanceInProgress) || ctx.Err() != nil {
			return s.c.explain("commit "+s.config.Topic, err)
		}
		wait(ctx, 50*time.Millisecond)
	}
}

func (s *source) commit(ctx context.Context, moves []settlement) error {
	offsets := make(map[int32]kgo.EpochOffset, len(moves))
	for _, m := range moves {
		offsets[m.Partition] = m.to
	}
	var failed error
	s.client.CommitOffsetsSync(kgo.PreCommitFnContext(ctx, s.annotate), map[string]map[int32]kgo.EpochOffset{s.config.Topic: offsets},
		func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, answer *kmsg.OffsetCommitResponse, err error) {
			if failed = err; answer == nil {
				return
			}
			for i := range answer.Topics {
				for _, p := range answer.Topics[i].Partitions {
					if err := kerr.ErrorForCode(p.ErrorCode); err != nil && failed == nil {
						failed = fmt.Errorf("partition %d: %w", p.Partition, err)
					}
				}
			}
		})
	return failed
}

// annotate puts the notes into a commit, and stops one that would go out under another member id than its partitions came with.
func (s *source) annotate(r *kmsg.OffsetCommitRequest) error {
	if err := s.sameMember(r.MemberID); err != nil {
		return err
	}
	for i := range r.Topics {
		for j := range r.Topics[i].Partitions {
			p := &r.Topics[i].Partitions[j]
			p.Metadata = s.noteFor(p.Partition)
		}
	}
	return nil
}

func (s *source) noteFor(partition int32) *string {
	s.held.mu.Lock()
	defer s.held.mu.Unlock()
	text := ""
	if p := s.held.parts[partition]; p != nil {
		text = p.note.String()
	}
	return &text
}

// Lag asks the brokers where partitions end, at most once a second.
func (s *source) Lag(ctx context.Context) int64 {
	now := time.Now().UnixNano()
	if last := s.lagged.Load(); now-last > int64(time.Second) && s.lagged.CompareAndSwap(last, now) {
		ends, err := s.c.ends(ctx, s.config.Topic)
		if err != nil {
			return -1
		}
		s.held.extend(ends)
	}
	return s.held.lag()
}

func (a *assignment) extend(ends map[int32]int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for n, p := range a.parts {
		p.end = max(p.end, ends[n])
	}
}

// lag counts offsets, which is more than records in a compacted topic.
func (a *assignment) lag() (behind int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, p := range a.parts {
		next := p.handed
		if p.lastHeld() < p.handed { // all visible records are handed out: what follows is passed over
			next = max(next, p.polled)
		}
		behind += max(p.end-next, 0)
	}
	return behind
}

// longestLeave bounds the leaving of a group whose broker does not answer: it finds out by itself.
const longestLeave = 5 * time.Second

// Close leaves the group, so that others need not wait for the session's end, unless the member is a static one.
func (s *source) Close(ctx context.Context) error {
	s.once.Do(func() {
		close(s.closed)
		s.mu.Lock()
		if s.wake != nil {
			s.wake()
		}
		s.mu.Unlock()
		ctx, cancel := context.WithTimeout(ctx, longestLeave)
		defer cancel()
		s.client.AllowRebalance()
		if err := s.client.LeaveGroupContext(ctx); err != nil {
			s.c.options.Log.Debug("the group was not told of the leaving", "group", s.config.Group, "error", err)
		}
		s.client.CloseAllowingRebalance()
		s.c.forget(s)
	})
	return nil
}
