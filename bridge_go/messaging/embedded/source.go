package embedded

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// A position is what is kept for a group of a topic.
type position struct {
	Topic, Group string
	Incarnation  string // of the topic that the offset belongs to
	Offset       int64  // last settled, 0 for none
}

// A DamageError says that a record is in the store but cannot be read. It is returned again and again until the record is
// deleted, or the connection says gap=continue.
type DamageError struct {
	Topic  string
	Offset int64
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("embedded: %s: record %d is damaged and cannot be read. Set gap=continue on the connection to pass over it", e.Topic, e.Offset)
}

type source struct {
	c     *connection
	t     *topic
	group string
	f     *fetcher
	next  atomic.Int64       // the next sequence to hand out; written by Read alone
	ahead []messaging.Record // fetched and not handed out

	mu   sync.Mutex
	kept position

	once   sync.Once
	closed chan struct{}
}

func (c *connection) openSource(ctx context.Context, t *topic, sc messaging.SourceConfig) (*source, error) {
	if !t.engine.readers.Join(sc.Topic, sc.Group) {
		return nil, fmt.Errorf("embedded: %s, group %s: %w", sc.Topic, sc.Group, messaging.ErrBusy)
	}
	s := &source{c: c, t: t, group: sc.Group, closed: make(chan struct{})}
	if err := s.begin(ctx); err != nil {
		t.engine.readers.Leave(sc.Topic, sc.Group)
		return nil, err
	}
	return s, nil
}

func (s *source) begin(ctx context.Context) error {
	state, err := s.t.state(ctx)
	if err != nil {
		return err
	}
	if err := s.load(state); err != nil {
		return err
	}
	s.next.Store(s.kept.Offset + 1)
	if s.group == "" || s.kept.Offset == 0 { // a new reader begins with what there is
		s.next.Store(int64(max(state.FirstSeq, 1)))
	} else if err := s.checkGap(state); err != nil {
		return err
	}
	s.f, err = s.t.fetcher()
	return err
}

// load finds the group's position and asks whether it lies in this topic.
func (s *source) load(state streamState) error {
	s.kept = position{Topic: s.t.name, Group: s.group, Incarnation: s.t.incarnation}
	if s.group == "" {
		return nil
	}
	var old position
	found, err := s.t.engine.positions.Load(s.t.name, s.group, &old)
	if err != nil || !found {
		return err
	}
	log := s.c.options.Log.With("topic", s.t.name, "group", s.group, "committed", old.Offset)
	switch {
	case old.Incarnation != s.t.incarnation:
		s.c.remade.Inc()
		log.Warn("the topic was made again since the last commit, reading it from the start")
		return nil
	case old.Offset > int64(state.LastSeq):
		lost := old.Offset - int64(state.LastSeq)
		s.c.lost.Add(float64(lost))
		log.Error("the store ends before the committed position: its end was lost. New records get the lost ones' offsets",
			"last", state.LastSeq, "records", lost)
		old.Offset = int64(state.LastSeq)
	}
	s.kept = old
	return nil
}

func (s *source) Read(ctx context.Context, limit messaging.Limit) ([]messaging.Record, error) {
	for {
		if err := s.stopped(ctx); err != nil {
			return nil, err
		}
		if len(s.ahead) > 0 {
			return s.take(limit), nil
		}
		changed := s.t.changes()
		if err := s.fill(ctx); err != nil {
			return nil, err
		}
		if len(s.ahead) > 0 {
			continue
		}
		if err := s.t.wait(ctx, changed, s.closed); err != nil {
			return nil, err
		}
	}
}

func (s *source) stopped(ctx context.Context) error {
	select {
	case <-s.closed:
		return messaging.ErrClosed
	case <-s.t.engine.closed:
		return messaging.ErrClosed
	default:
		return ctx.Err()
	}
}

// take hands out what fits into the limit, at least one record.
func (s *source) take(limit messaging.Limit) []messaging.Record {
	n, bytes := 1, len(s.ahead[0].Value)
	for n < len(s.ahead) && n < limit.Events {
		if bytes += len(s.ahead[n].Value); bytes > limit.Bytes {
			break
		}
		n++
	}
	found := s.ahead[:n:n]
	s.ahead = s.ahead[n:]
	s.next.Store(found[n-1].Offset + 1)
	return found
}

// fill fetches ahead. When the store does not go on with the very next sequence it asks why.
func (s *source) fill(ctx context.Context) error {
	next := s.next.Load()
	found, err := s.f.fetch(uint64(next), fetchEvents, fetchBytes)
	if err != nil {
		return err
	}
	if len(found) == 0 || found[0].Offset != next {
		if err := s.explainHole(ctx, len(found) == 0); err != nil || len(found) == 0 {
			return err
		}
	}
	s.ahead = found
	return nil
}

// explainHole tells records that were dropped unread or are damaged from those that were deleted on purpose, and from the end.
func (s *source) explainHole(ctx context.Context, nothing bool) error {
	state, err := s.t.state(ctx)
	if err != nil {
		return err
	}
	if err := s.checkGap(state); err != nil {
		return err
	}
	next := s.next.Load()
	if !nothing || next > int64(state.LastSeq) {
		return nil
	}
	if state, err = s.t.details(ctx); err != nil {
		return err
	}
	return s.checkDamage(state)
}

// checkGap finds that the oldest record left lies behind the next one to read, and was not deleted on purpose.
func (s *source) checkGap(state streamState) error {
	next, oldest := s.next.Load(), int64(state.FirstSeq)
	want := max(next, int64(s.t.deletedUpTo()))
	if oldest <= want {
		return nil
	}
	if s.group != "" {
		s.c.gaps.Add(float64(oldest - want))
		s.c.options.Log.Error("records were dropped before they were read", "topic", s.t.name, "group", s.group,
			"from", want, "to", oldest-1, "setting", "max_bytes and max_age keep them longer")
		if !s.c.settings.skipGaps {
			return &messaging.GapError{Topic: s.t.name, Group: s.group, Want: want, Have: oldest}
		}
	}
	s.next.Store(oldest)
	return nil
}

// checkDamage is called when the store says that there is nothing from next on, and that its last record lies there. Deleted
// records at the end look so, too.
func (s *source) checkDamage(state streamState) error {
	for seq := uint64(s.next.Load()); seq <= state.LastSeq; seq++ {
		if slices.Contains(state.Deleted, seq) {
			continue
		}
		if seq > uint64(s.next.Load()) {
			s.next.Store(int64(seq)) // nothing readable before it; the next fetch begins at it
			return nil
		}
		return s.damaged(int64(seq))
	}
	s.next.Store(int64(state.LastSeq) + 1)
	return nil
}

func (s *source) damaged(seq int64) error {
	s.c.lost.Inc()
	s.c.options.Log.Error("a record is damaged and cannot be read", "topic", s.t.name, "group", s.group, "offset", seq)
	if !s.c.settings.skipGaps {
		return &DamageError{Topic: s.t.name, Offset: seq}
	}
	s.next.Store(seq + 1)
	return nil
}

func (s *source) Commit(_ context.Context, upTo []messaging.Position) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	moved := s.kept
	for _, p := range upTo {
		moved.Offset = max(moved.Offset, p.Offset)
	}
	if moved == s.kept || s.group == "" {
		return nil
	}
	if err := s.t.engine.positions.Save(s.t.name, s.group, moved); err != nil {
		return fmt.Errorf("embedded: commit %s/%d: %w", s.t.name, moved.Offset, err)
	}
	s.kept = moved
	return nil
}

func (s *source) Lag(ctx context.Context) int64 {
	state, err := s.t.state(ctx)
	if err != nil {
		return -1
	}
	behind := int64(state.LastSeq) - s.next.Load() + 1
	return max(min(behind, int64(state.Messages)), 0)
}

func (s *source) Close(context.Context) error {
	s.once.Do(func() {
		close(s.closed)
		s.f.close()
		s.t.engine.readers.Leave(s.t.name, s.group)
	})
	return nil
}
