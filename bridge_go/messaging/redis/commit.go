package redis

import (
	"context"
	"fmt"
	"slices"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// scriptPage is how many ids one run of a script deals with: about a millisecond, in which the server does nothing else.
const scriptPage = 500

// Commit acknowledges what was handed out up to a position, entry by entry. What is pending here and was not handed out, such as entries
// just taken over, is never covered by a position, however large its offset.
func (s *source) Commit(ctx context.Context, upTo []messaging.Position) error {
	if s.group == "" {
		return nil
	}
	s.asking.Lock()
	defer s.asking.Unlock()
	for _, p := range upTo {
		for {
			names, epoch := s.settled(p)
			if len(names) == 0 {
				break
			}
			if err := s.acknowledge(ctx, names); err != nil {
				return fmt.Errorf("redis: commit %s at %s: %w", s.topic, idOf(p.Offset), err)
			}
			s.dealtWith(len(names), epoch)
		}
	}
	return nil
}

// settled is a page of the entries that a position covers.
func (s *source) settled(p messaging.Position) (names []string, epoch int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.Partition != 0 || p.Epoch != s.epoch {
		return nil, s.epoch
	}
	n, found := slices.BinarySearch(s.flight, p.Offset)
	if found {
		n++
	}
	n = min(n, scriptPage)
	names = make([]string, n)
	for i, offset := range s.flight[:n] {
		names[i] = idOf(offset).String()
	}
	return names, s.epoch
}

func (s *source) acknowledge(ctx context.Context, names []string) error {
	args := append([]string{s.group, s.c.me.name}, names...)
	others, err := s.c.script(ctx, ack, []string{s.topic}, args...).AsInt64()
	if err != nil {
		return err
	}
	if others > 0 {
		s.c.lost.Add(float64(others))
		s.c.options.Log.Warn("entries belong to another reader now, who deals with them again", "topic", s.topic, "group", s.group, "entries", others,
			"setting", "takeover is the time after which a silent reader is taken for dead")
	}
	return nil
}

// dealtWith takes entries out of flight, unless another assignment began meanwhile.
func (s *source) dealtWith(n int, epoch int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if epoch != s.epoch {
		return
	}
	s.flight = s.flight[n:]
	if len(s.flight) == 0 {
		s.flight = nil
		s.moved()
	}
}
