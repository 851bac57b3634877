package messagingtest

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"slices"
	"sync"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// Partitions makes a connection whose topics have n partitions of one whose topics have one: partition p of a topic is the
// topic with .p behind its name. It is for tests of what reads streams of several partitions. Its connection is a Seeker,
// and its sources are Pausers.
func Partitions(conn messaging.Connection, n int) messaging.Connection {
	return &partitioned{Connection: conn, n: n}
}

type partitioned struct {
	messaging.Connection
	n int
}

func part(topic string, partition int) string { return fmt.Sprintf("%s.%d", topic, partition) }

func (c *partitioned) Source(ctx context.Context, sc messaging.SourceConfig) (messaging.Source, error) {
	s := &partitionedSource{paused: make([]bool, c.n)}
	topic := sc.Topic
	for p := range c.n {
		sc.Topic = part(topic, p)
		one, err := c.Connection.Source(ctx, sc)
		if err != nil {
			return nil, errors.Join(err, s.Close(ctx))
		}
		s.parts = append(s.parts, one)
	}
	return s, nil
}

func (c *partitioned) Sink(ctx context.Context, sc messaging.SinkConfig) (messaging.Sink, error) {
	s := &partitionedSink{}
	topic := sc.Topic
	for p := range c.n {
		sc.Topic = part(topic, p)
		one, err := c.Connection.Sink(ctx, sc)
		if err != nil {
			return nil, err
		}
		s.parts = append(s.parts, one)
	}
	return s, nil
}

// Browse reads round the partitions, so that a page has records of several.
func (c *partitioned) Browse(ctx context.Context, topic string, from messaging.Cursor, limit int) ([]messaging.Record, messaging.Cursor, error) {
	next := map[int32]int64{}
	if from == messaging.Newest {
		for p := range c.n {
			_, end, err := c.Connection.Browse(ctx, part(topic, p), messaging.Newest, 0)
			if err != nil {
				return nil, from, err
			}
			next[int32(p)], _ = end.Single()
		}
		return nil, messaging.CursorOf(next), nil
	}
	next, err := from.Next()
	if err != nil {
		return nil, from, err
	}
	for ctx.Err() == nil {
		var found []messaging.Record
		for p := range c.n {
			share := (limit - len(found) + c.n - p - 1) / (c.n - p)
			if share == 0 {
				break
			}
			short, cancel := context.WithTimeout(ctx, time.Millisecond)
			some, after, err := c.Connection.Browse(short, part(topic, p), messaging.CursorAt(next[int32(p)]), share)
			cancel()
			if err != nil {
				return nil, from, err
			}
			next[int32(p)], _ = after.Single()
			found = append(found, of(int32(p), some)...)
		}
		if len(found) > 0 {
			return found, messaging.CursorOf(next), nil
		}
	}
	return nil, from, nil
}

func (c *partitioned) Delete(ctx context.Context, topic string, records []messaging.Position) error {
	for p := range c.n {
		var mine []messaging.Position
		for _, r := range records {
			if r.Partition == int32(p) {
				mine = append(mine, messaging.Position{Offset: r.Offset})
			}
		}
		if err := c.Connection.Delete(ctx, part(topic, p), mine); err != nil {
			return err
		}
	}
	return nil
}

func (c *partitioned) Seek(ctx context.Context, topic, group string, to messaging.Target, dry bool) (moves []messaging.Move, err error) {
	named := to.Kind == messaging.TargetOffset && to.Partition >= 0
	for p := range c.n {
		if named && to.Partition != int32(p) {
			continue
		}
		inner := to
		inner.Partition = 0
		some, err := c.Connection.(messaging.Seeker).Seek(ctx, part(topic, p), group, inner, dry)
		if err != nil {
			return moves, err
		}
		some[0].Partition = int32(p)
		moves = append(moves, some[0])
	}
	return moves, nil
}

// Generation is the sum of the partitions': what is needed is that it rises.
func (c *partitioned) Generation(ctx context.Context, topic, group string) (sum int, err error) {
	for p := range c.n {
		one, err := c.Connection.(messaging.Seeker).Generation(ctx, part(topic, p), group)
		if err != nil {
			return 0, err
		}
		sum += one
	}
	return sum, nil
}

type partitionedSource struct {
	parts []messaging.Source
	turn  int

	mu     sync.Mutex
	paused []bool
}

func (s *partitionedSource) Read(ctx context.Context, limit messaging.Limit) ([]messaging.Record, error) {
	ended := make([]bool, len(s.parts))
	for slices.Contains(ended, false) {
		p := s.turn % len(s.parts)
		s.turn++
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if s.isPaused(p) {
			time.Sleep(100 * time.Microsecond)
			continue
		}
		short, cancel := context.WithTimeout(ctx, time.Millisecond)
		records, err := s.parts[p].Read(short, limit)
		cancel()
		if ended[p] = err == io.EOF; ended[p] || errors.Is(err, context.DeadlineExceeded) {
			continue
		}
		return of(int32(p), records), err
	}
	return nil, io.EOF
}

func (s *partitionedSource) isPaused(p int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.paused[p]
}

// Pause implements messaging.Pauser.
func (s *partitionedSource) Pause(partitions []int32) { s.pause(partitions, true) }

// Resume implements messaging.Pauser.
func (s *partitionedSource) Resume(partitions []int32) { s.pause(partitions, false) }

func (s *partitionedSource) pause(partitions []int32, on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range partitions {
		s.paused[p] = on
	}
}

func (s *partitionedSource) Commit(ctx context.Context, upTo []messaging.Position) error {
	for _, p := range upTo {
		if err := s.parts[p.Partition].Commit(ctx, []messaging.Position{{Offset: p.Offset}}); err != nil {
			return err
		}
	}
	return nil
}

func (s *partitionedSource) Lag(ctx context.Context) (sum int64) {
	for _, one := range s.parts {
		lag := one.Lag(ctx)
		if lag < 0 {
			return -1
		}
		sum += lag
	}
	return sum
}

func (s *partitionedSource) Close(ctx context.Context) (err error) {
	for _, one := range s.parts {
		err = errors.Join(err, one.Close(ctx))
	}
	return err
}

type partitionedSink struct{ parts []messaging.Sink }

func (s *partitionedSink) Write(ctx context.Context, records []messaging.Outgoing) error {
	byPart := make([][]messaging.Outgoing, len(s.parts))
	at := make([][]int, len(s.parts))
	for i, r := range records {
		sum := fnv.New32a()
		sum.Write(r.Key)
		p := int(sum.Sum32() % uint32(len(s.parts)))
		byPart[p], at[p] = append(byPart[p], r), append(at[p], i)
	}
	var all messaging.WriteError
	for p, mine := range byPart {
		var failed *messaging.WriteError
		err := s.parts[p].Write(ctx, mine)
		if err != nil && !errors.As(err, &failed) {
			return err
		}
		if failed != nil {
			for _, f := range failed.Failed {
				f.Index = at[p][f.Index]
				all.Failed = append(all.Failed, f)
			}
		}
	}
	if all.Failed == nil {
		return nil
	}
	slices.SortFunc(all.Failed, func(a, b messaging.WriteFailure) int { return a.Index - b.Index })
	return &all
}

func (s *partitionedSink) Info() messaging.SinkInfo { return s.parts[0].Info() }

func (s *partitionedSink) Close(ctx context.Context) (err error) {
	for _, one := range s.parts {
		err = errors.Join(err, one.Close(ctx))
	}
	return err
}

func of(partition int32, records []messaging.Record) []messaging.Record {
	for i := range records {
		records[i].Partition = partition
	}
	return records
}
