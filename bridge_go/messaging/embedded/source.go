package embedded

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/messaging/jetstream"
)

// A position is what is kept for a group of a topic.
type position struct {
	Topic, Group string
	Incarnation  string // of the topic that the offset belongs to
	Offset       int64  // last settled, 0 for none
	Moved        bool   `json:",omitempty"` // by a seek, which may have been to before the first record
	Generation   int    `json:",omitempty"` // how often it was moved back
}

type source struct {
	c     *connection
	t     *topic
	group string
	f     *jetstream.Fetcher
	next  atomic.Int64       // the next sequence to hand out; written by Read alone
	ahead []messaging.Record // fetched and not handed out
	told  uint64             // where the hole began that was last told of
	tells bool               // whether the present one is another

	mu   sync.Mutex
	kept position

	once   sync.Once
	closed chan struct{}
}

func (c *connection) openSource(ctx context.Context, t *topic, sc messaging.SourceConfig) (*source, error) {
	if sc.Transactional {
		return nil, fmt.Errorf("embedded: %s: transactions: %w", sc.Topic, messaging.ErrNotSupported)
	}
	if !t.engine.readers.Join(t.key, sc.Group) {
		return nil, fmt.Errorf("embedded: %s, group %s: %w", sc.Topic, sc.Group, messaging.ErrBusy)
	}
	s := &source{c: c, t: t, group: sc.Group, closed: make(chan struct{})}
	if err := s.begin(ctx, sc.Start); err != nil {
		t.engine.readers.Leave(t.key, sc.Group)
		return nil, err
	}
	return s, nil
}

func (s *source) begin(ctx context.Context, start startFunc) error {
	state, err := s.t.state(ctx)
	if err != nil {
		return err
	}
	if err := s.load(state); err != nil {
		return err
	}
	if err := s.startAt(ctx, start); err != nil {
		return err
	}
	s.next.Store(s.kept.Offset + 1)
	if s.group == "" || s.kept.Offset == 0 && !s.kept.Moved { // a new reader begins with what there is
		s.next.Store(int64(max(state.FirstSeq, 1)))
	} else if err := s.passOver(s.next.Load(), int64(state.FirstSeq)-1, state); err != nil {
		return err
	} else {
		s.maybeGap(state)
		s.next.Store(max(s.next.Load(), int64(state.FirstSeq)))
	}
	s.f, err = s.t.fetcher()
	return err
}

// startFunc is messaging.SourceConfig.Start.
type startFunc = func(ctx context.Context, partitions []int32) (map[int32]int64, error)

// startAt takes the position that somebody else keeps for the group's.
func (s *source) startAt(ctx context.Context, start startFunc) error {
	if start == nil {
		return nil
	}
	at, err := start(ctx, []int32{0})
	if err != nil {
		return err
	}
	if offset, known := at[0]; known {
		s.kept.Offset, s.kept.Moved = offset, true
	}
	return nil
}

// load finds the group's position and asks whether it lies in this topic.
func (s *source) load(state streamState) error {
	s.kept = position{Topic: s.t.name, Group: s.group, Incarnation: s.t.book.Life}
	if s.group == "" {
		return nil
	}
	var old position
	found, err := s.t.engine.positions.Load(s.t.key, s.group, &old)
	if err != nil || !found {
		return err
	}
	s.kept.Generation = old.Generation
	log := s.c.options.Log.With("topic", s.t.name, "group", s.group, "committed", old.Offset)
	switch {
	case old.Incarnation != s.t.book.Life:
		s.c.remade.Inc()
		log.Warn("the topic was made again since the last commit, reading it from the start")
		return nil
	case old.Offset > int64(state.LastSeq):
		lost := old.Offset - int64(state.LastSeq)
		s.c.lost.Add(float64(lost))
		log.Error("the store ends before the committed position: its end was lost. New records get the lost ones' offsets",
			"last", state.LastSeq, "records", lost)
		old.Offset = int64(state.LastSeq)
		s.t.mu.Lock()
		defer s.t.mu.Unlock()
		if err := s.t.shorten(state.LastSeq); err != nil {
			return err
		}
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

// fill fetches ahead. Where sequences are missing it asks why: the server says nothing.
func (s *source) fill(ctx context.Context) error {
	next := s.next.Load()
	found, err := s.t.fetch(ctx, s.f, next)
	n := len(found)
	if err != nil || n > 0 && found[n-1].Offset == next+int64(n)-1 {
		s.ahead = found
		return err
	}
	state, err := s.t.state(ctx)
	if err != nil {
		return err
	}
	if n == 0 {
		return s.explainNothing(ctx, next, state)
	}
	s.ahead, err = s.explainHoles(next, found, state)
	return err
}

// explainNothing is asked when nothing was found from next on. If the store says that it goes on there, then either a
// record came just now, or there are only deleted and damaged ones.
func (s *source) explainNothing(ctx context.Context, next int64, state streamState) (err error) {
	last := int64(state.LastSeq)
	if next > last && next >= int64(state.FirstSeq) {
		return nil
	}
	if s.ahead, err = s.t.fetch(ctx, s.f, next); err != nil || len(s.ahead) > 0 {
		ahead := s.ahead
		s.ahead = nil
		if err == nil {
			s.ahead, err = s.explainHoles(next, ahead, state)
		}
		return err
	}
	to := max(last, int64(state.FirstSeq)-1)
	if err := s.passOver(next, to, state); err != nil {
		return err
	}
	s.next.Store(to + 1)
	return nil
}

// explainHoles returns the records up to the first hole that nobody made on purpose. If that comes first it is passed over or an
// error.
func (s *source) explainHoles(next int64, found []messaging.Record, state streamState) ([]messaging.Record, error) {
	for i := range found {
		if i > 0 && s.t.missing(uint64(next), uint64(found[i].Offset-1)) != nil {
			return found[:i], nil // the hole is the next fill's
		}
		if err := s.passOver(next, found[i].Offset-1, state); err != nil {
			return nil, err
		}
		next = found[i].Offset + 1
	}
	return found, nil
}

// passOver is asked whether the sequences from from to to, which are not there, may be left out: without a word if they
// were deleted on purpose, otherwise only if the settings say so.
func (s *source) passOver(from, to int64, state streamState) error {
	for _, gone := range s.t.missing(uint64(from), uint64(max(to, from-1))) {
		s.tells = gone.From != s.told // an error that comes again when the caller tries again is counted once
		s.told = gone.From
		dropped := min(gone.To, state.FirstSeq-1)
		if gone.From < state.FirstSeq {
			if err := s.tellGap(gone.From, dropped, state); err != nil {
				return err
			}
		}
		if gone.To >= state.FirstSeq {
			if err := s.tellDamage(max(gone.From, state.FirstSeq), gone.To); err != nil {
				return err
			}
		}
	}
	return nil
}

// maybeGap says that in a stream of many topics older records are gone, of which some may have been this one's.
func (s *source) maybeGap(state streamState) {
	if next := s.next.Load(); s.t.shared && next < int64(state.FirstSeq) {
		s.c.options.Log.Error("the stream dropped records that were not read; whether some were of this topic cannot be told",
			"topic", s.t.name, "group", s.group, "from", next, "to", state.FirstSeq-1)
	}
}

func (s *source) tellGap(from, to uint64, state streamState) error {
	if s.group == "" { // nobody was promised them
		return nil
	}
	if s.tells {
		s.c.gaps.Add(float64(to - from + 1))
		s.c.options.Log.Error("records were dropped before they were read", "topic", s.t.name, "group", s.group,
			"from", from, "to", to, "setting", "max_bytes and max_age keep them longer")
	}
	if s.c.settings.skipGaps {
		return nil
	}
	return &messaging.GapError{Topic: s.t.name, Group: s.group, Want: int64(from), Have: int64(state.FirstSeq)}
}

func (s *source) tellDamage(from, to uint64) error {
	if s.tells {
		s.c.lost.Add(float64(to - from + 1))
		s.c.options.Log.Error("records are damaged and cannot be read", "topic", s.t.name, "group", s.group, "from", from, "to", to)
	}
	if s.c.settings.skipGaps {
		return nil
	}
	return &DamageError{Topic: s.t.name, From: int64(from), To: int64(to)}
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
	if err := s.t.engine.positions.Save(s.t.key, s.group, moved); err != nil {
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
	behind := max(min(int64(state.LastSeq)-s.next.Load()+1, int64(state.Messages)), 0)
	if s.t.shared && behind > 0 { // of all topics together
		return -1
	}
	return behind
}

func (s *source) Close(context.Context) error {
	s.once.Do(func() {
		close(s.closed)
		s.f.Close()
		s.t.engine.readers.Leave(s.t.key, s.group)
	})
	return nil
}
