package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The callbacks of the group, in the order of an assignment's life: fetched, assigned, and revoked or lost. None runs beside another.

// fetched keeps the metadata of committed offsets for assigned, which is not given it.
func (s *source) fetched(_ context.Context, _ *kgo.Client, answer *kmsg.OffsetFetchResponse) error {
	for i := range answer.Groups {
		for j := range answer.Groups[i].Topics { // there is one topic, by name or by id
			for _, p := range answer.Groups[i].Topics[j].Partitions {
				text := ""
				if p.Metadata != nil {
					text = *p.Metadata
				}
				s.notes.Store(p.Partition, noteOf(text))
			}
		}
	}
	return nil
}

// assigned decides where each new partition begins.
func (s *source) assigned(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	<-s.ready
	found := offsets[s.config.Topic]
	if len(found) == 0 {
		return offsets, nil
	}
	b, err := s.bounds(ctx, found)
	if err != nil {
		s.broken(err)
		return nil, err
	}
	for n, committed := range found {
		at, err := s.begin(n, committed, b)
		if err != nil {
			s.broken(err)
			return nil, err
		}
		found[n] = at
	}
	return offsets, nil
}

// bounds are what has to be known of a topic before its partitions are read.
type bounds struct {
	topic         string // id
	starts, ends  map[int32]int64
	given         map[int32]int64 // by SourceConfig.Start
	highestMoving int
}

func (s *source) bounds(ctx context.Context, found map[int32]kgo.Offset) (b bounds, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	t, err := s.c.find(ctx, s.config.Topic)
	if err != nil {
		return b, err
	}
	b.topic = t.id
	if b.starts, err = s.c.starts(ctx, s.config.Topic); err != nil {
		return b, err
	}
	if b.ends, err = s.c.ends(ctx, s.config.Topic); err != nil {
		return b, err
	}
	if s.config.Start != nil {
		b.given, err = s.config.Start(ctx, slices.Sorted(maps.Keys(found)))
	}
	s.notes.Range(func(_, n any) bool {
		b.highestMoving = max(b.highestMoving, n.(note).Generation)
		return true
	})
	return b, err
}

// begin says where one partition is read from, and makes its assignment.
func (s *source) begin(n int32, offset kgo.Offset, b bounds) (kgo.Offset, error) {
	committed := offset.EpochOffset()
	known, _ := s.notes.LoadAndDelete(n)
	old, _ := known.(note)
	if old.Topic != "" && old.Topic != b.topic {
		s.c.counts.remade.Inc()
		s.c.options.Log.Warn("the topic was made again since the last commit, reading it from the start",
			"topic", s.config.Topic, "group", s.config.Group, "partition", n, "committed", committed.Offset)
		committed = kgo.EpochOffset{Offset: -1, Epoch: -1}
	}
	kept := committed.Offset
	if last, given := b.given[n]; given {
		committed = kgo.EpochOffset{Offset: last + 1, Epoch: -1}
	}
	at, err := s.within(n, committed, b)
	if err != nil {
		return at, err
	}
	next := at.EpochOffset().Offset
	member, _ := s.client.GroupMetadata()
	s.held.add(n, member, note{b.topic, max(old.Generation, b.highestMoving)}, next, kept, b.ends[n])
	return at, nil
}

// within brings a wanted offset into what the partition holds; where that would leave out records, the settings are asked.
func (s *source) within(n int32, want kgo.EpochOffset, b bounds) (kgo.Offset, error) {
	start, end := b.starts[n], b.ends[n]
	switch {
	case want.Offset < 0:
		return kgo.NewOffset().At(start), nil
	case want.Offset < start:
		return kgo.NewOffset().At(start), s.gap(n, want.Offset, start)
	case want.Offset > end:
		return s.shortened(n, want, end)
	}
	return kgo.NewOffset().At(want.Offset).WithEpoch(want.Epoch), nil
}

// shortened: the group had read more than there is. That may be the end of a transaction that is still open, which the log does hold.
func (s *source) shortened(n int32, want kgo.EpochOffset, end int64) (kgo.Offset, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	high, err := s.c.highs(ctx, s.config.Topic)
	if err != nil || want.Offset <= high[n] {
		return kgo.NewOffset().At(want.Offset).WithEpoch(want.Epoch), err
	}
	s.c.counts.lost.Add(float64(want.Offset - end))
	s.c.options.Log.Error("the partition ends before the committed position: its end was lost. New records get the lost ones' offsets",
		"topic", s.config.Topic, "group", s.config.Group, "partition", n, "committed", want.Offset, "end", end)
	if !s.c.settings.skipGaps {
		return kgo.Offset{}, fmt.Errorf("%s/%d ends at %d, before the position %d of %s: its end was lost. "+
			"Seek the group, or set gap=continue on the connection to go on at the end", s.config.Topic, n, end, want.Offset, s.config.Group)
	}
	return kgo.NewOffset().At(end), nil
}

// revoked is called for partitions that the group gives to somebody else, and for all of them when this member leaves. The group waits for
// it up to rebalance_timeout, and heartbeats go on, so there is time to have settled what was handed out.
func (s *source) revoked(_ context.Context, _ *kgo.Client, all map[string][]int32) {
	partitions := all[s.config.Topic]
	if len(partitions) == 0 {
		return
	}
	if s.config.OnRevoke != nil {
		s.held.leave(partitions)
		s.held.await(partitions, s.c.settings.waits, s.closed)
	}
	s.over(partitions)
}

// lost is called when the group has given this member up: others may be reading already.
func (s *source) lost(_ context.Context, _ *kgo.Client, all map[string][]int32) {
	if partitions := all[s.config.Topic]; len(partitions) > 0 {
		s.over(partitions)
	}
}

// errGivenUp says that the group went on without this member. What it had may have been read and settled by others since, so the
// source is to be opened anew, and begins at the group's positions.
var errGivenUp = errors.New("the group has given this member up")

// sameMember asks that the partitions are still held by the member that they were given to, and otherwise ends the source.
func (s *source) sameMember(member string) error {
	if s.config.Group == "" || len(s.held.others(member)) == 0 {
		return nil
	}
	return s.givenUp(errGivenUp)
}

func (s *source) givenUp(err error) error {
	s.broken(err)
	if partitions := s.held.all(); len(partitions) > 0 {
		s.over(partitions)
	}
	return err
}

func (s *source) over(partitions []int32) {
	unsettled := s.held.remove(partitions)
	select {
	case <-s.closed: // its reader has left, and knows
		return
	default:
	}
	s.c.counts.unsettled.Add(float64(unsettled))
	if s.config.OnRevoke != nil {
		s.config.OnRevoke(partitions)
	}
}

// withoutGroup begins all partitions, as SourceConfig.Start says or at their oldest record.
func (s *source) withoutGroup(ctx context.Context, t topic) (map[int32]kgo.Offset, error) {
	from := map[int32]kgo.Offset{}
	for _, n := range t.partitions {
		from[n] = kgo.NewOffset().AtStart()
	}
	b, err := s.bounds(ctx, from)
	if err != nil {
		return nil, err
	}
	for n := range from {
		from[n] = kgo.NewOffset().At(b.starts[n])
		if last, given := b.given[n]; given {
			from[n] = kgo.NewOffset().At(last + 1)
		}
		s.held.add(n, "", note{}, from[n].EpochOffset().Offset, -1, b.ends[n])
	}
	return from, nil
}
