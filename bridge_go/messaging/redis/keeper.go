package redis

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// keep refreshes what is pending here and takes over what belongs to the dead, until the source is closed.
//
// The two cannot meet wrongly. An entry is claimed from a reader only when it has been idle for the takeover time, and its
// reader silent for as long; both are set to zero three times in that time, by one script for all that is pending with the
// reader, whether it was handed out, lies ahead, or was claimed and not fetched. A reader that misses three turns has lost
// what it had, and its next refresh says so.
func (s *source) keep() {
	tick := time.NewTicker(s.c.settings.takeover / 3)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := s.turn(s.life); err != nil && s.life.Err() == nil {
				s.c.options.Log.Warn("what is pending could not be refreshed", "topic", s.topic, "group", s.group, "error", err)
			}
		case <-s.life.Done():
			return
		}
	}
}

func (s *source) turn(ctx context.Context) error {
	if err := s.refresh(ctx); err != nil {
		return err
	}
	err := s.takeOver(ctx)
	var gap *messaging.GapError
	if errors.As(err, &gap) {
		s.mu.Lock()
		s.gap = err
		s.moved()
		s.mu.Unlock()
		return nil
	}
	return err
}

// refresh keeps the entries that are pending here from growing idle, and finds out which of those in flight are not.
func (s *source) refresh(ctx context.Context) error {
	s.asking.Lock()
	defer s.asking.Unlock()
	s.mu.Lock()
	flight, epoch := slices.Clone(s.flight), s.epoch
	s.mu.Unlock()
	mine, err := s.pending(ctx)
	if err != nil {
		return err
	}
	missing := without(flight, mine)
	if len(missing) == 0 {
		return nil
	}
	return s.explainMissing(ctx, missing, epoch)
}

// pending refreshes all that is pending here and lists it, ascending.
func (s *source) pending(ctx context.Context) (mine []int64, err error) {
	from := "-"
	for from != "" {
		answer, err := s.c.script(ctx, refresh, []string{s.topic}, s.group, s.c.me.name, from, strconv.Itoa(scriptPage)).ToArray()
		if err != nil {
			return nil, err
		}
		if len(answer) == 0 {
			return mine, nil
		}
		names, err := answer[0].AsStrSlice()
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			offset, err := parseOffset(name)
			if err != nil {
				return nil, err
			}
			mine = append(mine, offset)
		}
		from = ""
		if len(answer) > 1 && !answer[1].IsNil() {
			next, err := answer[1].ToString()
			if err != nil {
				return nil, err
			}
			from = "(" + next
		}
	}
	return mine, nil
}

// without lists those of some ascending numbers that others, ascending too, do not have.
func without(some, others []int64) (missing []int64) {
	for _, n := range some {
		for len(others) > 0 && others[0] < n {
			others = others[1:]
		}
		if len(others) == 0 || others[0] != n {
			missing = append(missing, n)
		}
	}
	return missing
}

// explainMissing asks for each entry in flight that is not pending here who has it. Nobody: it was acknowledged, by a
// command whose answer was not heard. Another reader: this assignment is over.
func (s *source) explainMissing(ctx context.Context, missing []int64, epoch int32) error {
	b := s.c.client.B()
	for page := range slices.Chunk(missing, scriptPage) {
		commands := make([]rueidis.Completed, len(page))
		for i, offset := range page {
			name := idOf(offset).String()
			commands[i] = b.Xpending().Key(s.topic).Group(s.group).Start(name).End(name).Count(1).Build()
		}
		for _, answer := range s.c.client.RunAll(ctx, commands) {
			held, err := answer.ToArray()
			if err != nil && !rueidis.IsRedisNil(err) {
				return err
			}
			if len(held) > 0 {
				s.revoke(epoch, len(missing))
				return nil
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if epoch == s.epoch {
		s.flight = without(s.flight, missing)
		s.moved()
	}
	return nil
}

func (s *source) revoke(epoch int32, entries int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if epoch != s.epoch || s.revoked {
		return
	}
	s.c.lost.Add(float64(entries))
	s.c.options.Log.Warn("another reader has taken over entries that are at work here: this process was taken for dead",
		"topic", s.topic, "group", s.group, "entries", entries)
	s.revoked = true
	s.moved()
}

// takeOver claims what belongs to the dead. Entries that lie behind what was read last are simply read in their turn; those before it
// need a new assignment.
func (s *source) takeOver(ctx context.Context) error {
	if s.group == "" {
		return nil
	}
	for {
		answer, err := s.c.script(ctx, takeOver, []string{s.topic, deletedKey(s.topic)}, s.group, s.c.me.name,
			strconv.FormatInt(s.c.settings.takeover.Milliseconds(), 10), strconv.Itoa(scriptPage), s.gapSetting(), handedBack).ToArray()
		if err != nil {
			return err
		}
		if len(answer) != 3 {
			return errors.New("a takeover was not answered in full")
		}
		claimed, err := answer[1].AsStrSlice()
		if err != nil {
			return err
		}
		gone, err := answer[2].AsStrSlice()
		if err != nil {
			return err
		}
		slices.Sort(gone)
		if err := s.tellGone(gone); err != nil {
			return err
		}
		if len(claimed) == 0 {
			return nil
		}
		s.received(claimed)
	}
}

// received takes note of claimed entries.
func (s *source) received(names []string) {
	s.c.taken.Add(float64(len(names)))
	s.c.options.Log.Info("took over entries of readers that are gone", "topic", s.topic, "group", s.group, "entries", len(names), "first", names[0])
	s.mu.Lock()
	defer s.mu.Unlock()
	s.behind += len(names)
	if s.claimed.IsZero() {
		s.claimed = time.Now()
	}
	s.moved()
}
