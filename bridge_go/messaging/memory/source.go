package memory

import (
	"context"
	"sync"
	"sync/atomic"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

type source struct {
	c     *connection
	t     *topic
	group string
	next  atomic.Int64 // written by Read alone, read by Lag

	once   sync.Once
	closed chan struct{}
}

func (s *source) Read(ctx context.Context, limit messaging.Limit) ([]messaging.Record, error) {
	for {
		if err := s.stopped(ctx); err != nil {
			return nil, err
		}
		if err := s.checkGap(); err != nil {
			return nil, err
		}
		records, changed := s.t.read(s.next.Load(), limit)
		if n := len(records); n > 0 {
			s.next.Store(records[n-1].Offset + 1)
			return records, nil
		}
		select {
		case <-changed:
		case <-s.closed:
		case <-ctx.Done():
		}
	}
}

func (s *source) stopped(ctx context.Context) error {
	select {
	case <-s.closed:
		return messaging.ErrClosed
	default:
	}
	if s.t.isClosed() {
		return messaging.ErrClosed
	}
	return ctx.Err()
}

// checkGap finds that records were dropped which this reader had not seen.
func (s *source) checkGap() error {
	want := s.next.Load()
	oldest, missed := s.t.gap(want)
	if !missed || s.group == "" {
		return nil
	}
	gap := &messaging.GapError{Topic: s.t.name, Group: s.group, Want: want, Have: oldest}
	s.c.gaps.Add(float64(oldest - want))
	s.c.options.Log.Error("records were dropped before they were read", "topic", s.t.name, "group", s.group,
		"from", want, "to", oldest-1, "setting", "full=wait keeps them")
	if !s.c.settings.skipGaps {
		return gap
	}
	s.next.Store(oldest)
	return nil
}

func (s *source) Commit(_ context.Context, upTo []messaging.Position) error {
	for _, p := range upTo {
		s.t.commit(s.group, p.Offset)
	}
	return nil
}

func (s *source) Lag(context.Context) int64 { return s.t.lag(s.next.Load()) }

func (s *source) Close(context.Context) error {
	s.once.Do(func() {
		close(s.closed)
		s.t.leave(s.group)
	})
	return nil
}
