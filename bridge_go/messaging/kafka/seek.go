package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// Seek moves a group that has no members. Its generation, in the metadata of each offset, counts the moves back.
func (c *connection) Seek(ctx context.Context, name, group string, to messaging.Target, dry bool) (moves []messaging.Move, err error) {
	err = c.patiently(ctx, "seek "+name, func(ctx context.Context) error {
		moves, err = c.seek(ctx, name, group, to, dry)
		return err
	})
	return moves, err
}

// seek may be tried again: where the group was moved and the answer lost, there is nothing left to move.
func (c *connection) seek(ctx context.Context, name, group string, to messaging.Target, dry bool) ([]messaging.Move, error) {
	t, err := c.topic(ctx, name)
	if err != nil {
		return nil, err
	}
	if !dry {
		if err := c.idle(ctx, group); err != nil {
			return nil, err
		}
	}
	have, generation, err := c.committed(ctx, t, group)
	if err != nil {
		return nil, c.explain("positions of "+group, err)
	}
	moves, err := c.moves(ctx, t, have, to)
	if err != nil || dry {
		return moves, c.explain("seek "+name, err)
	}
	if slices.ContainsFunc(moves, func(m messaging.Move) bool { return m.To < m.From }) {
		generation++
	}
	return moves, c.explain("seek "+name, c.move(ctx, t, group, moves, generation))
}

func (c *connection) Generation(ctx context.Context, name, group string) (generation int, err error) {
	err = c.patiently(ctx, "positions of "+group, func(ctx context.Context) error {
		t, err := c.topic(ctx, name)
		if err != nil {
			return err
		}
		_, generation, err = c.committed(ctx, t, group)
		return c.explain("positions of "+group, err)
	})
	return generation, err
}

// idle asks this connection first: a source that was opened just now may not have joined yet.
func (c *connection) idle(ctx context.Context, group string) error {
	if c.reads(group) {
		return fmt.Errorf("kafka: a source of group %s is open: %w", group, messaging.ErrBusy)
	}
	all, err := c.admin.DescribeGroups(ctx, group)
	if err != nil {
		return c.explain("group "+group, err)
	}
	if g := all[group]; len(g.Members) > 0 {
		return fmt.Errorf("kafka: group %s has %d members: stop them first: %w", group, len(g.Members), messaging.ErrBusy)
	}
	return nil
}

// committed are the group's next offsets in this life of the topic.
func (c *connection) committed(ctx context.Context, t topic, group string) (have map[int32]int64, generation int, err error) {
	all, err := c.admin.FetchOffsets(ctx, group)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) { // a group that nobody has joined has no positions
		return nil, 0, err
	}
	have = map[int32]int64{}
	for n, o := range all[t.name] {
		if o.Err != nil {
			return nil, 0, o.Err
		}
		known := noteOf(o.Metadata)
		if o.At < 0 || known.Topic != "" && known.Topic != t.id {
			continue
		}
		have[n] = o.At
		generation = max(generation, known.Generation)
	}
	return have, generation, nil
}

// moves works out what a target means.
func (c *connection) moves(ctx context.Context, t topic, have map[int32]int64, to messaging.Target) ([]messaging.Move, error) {
	starts, err := c.starts(ctx, t.name)
	if err != nil {
		return nil, err
	}
	ends, err := c.ends(ctx, t.name)
	if err != nil {
		return nil, err
	}
	var times map[int32]int64
	if to.Kind == messaging.TargetTime {
		all, err := c.admin.ListOffsetsAfterMilli(ctx, to.Time.UnixMilli(), t.name)
		if times, err = offsetsOf(t.name, all, err); err != nil {
			return nil, err
		}
	}
	if to.Kind == messaging.TargetOffset && to.Partition >= 0 && !slices.Contains(t.partitions, to.Partition) {
		return nil, fmt.Errorf("there is no partition %d, there are %v", to.Partition, t.partitions)
	}
	var moves []messaging.Move
	for _, n := range t.partitions {
		from, known := have[n]
		if !known {
			from = -1
		}
		next := starts[n]
		switch to.Kind {
		case messaging.TargetNewest:
			next = ends[n]
		case messaging.TargetTime:
			next = times[n]
		case messaging.TargetOffset:
			if to.Partition >= 0 && to.Partition != n {
				continue
			}
			next = to.Offset
		}
		moves = append(moves, messaging.Move{Partition: n, From: from, To: min(max(next, starts[n]), ends[n]), End: ends[n]})
	}
	return moves, nil
}

// move commits, as nobody's member: the broker refuses that if the group has got one meanwhile.
func (c *connection) move(ctx context.Context, t topic, group string, moves []messaging.Move, generation int) error {
	var offsets kadm.Offsets
	for _, m := range moves {
		offsets.Add(kadm.Offset{Topic: t.name, Partition: m.Partition, At: m.To, LeaderEpoch: -1, Metadata: note{t.id, generation}.String()})
	}
	answer, err := c.admin.CommitOffsets(ctx, group, offsets)
	if err != nil {
		return err
	}
	if err := answer.Error(); givenUp(err) {
		return fmt.Errorf("group %s has members: stop them first: %w", group, messaging.ErrBusy)
	} else if err != nil {
		return err
	}
	return nil
}
