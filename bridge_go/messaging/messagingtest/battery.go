// Package messagingtest is the battery that every connector passes.
//
// A connector's test describes it by a [Harness] and calls [Run]. What a connector cannot do is declared, and then the
// battery asks for the opposite: an undeclared ability fails as a missing one does, so that nothing is skipped.
package messagingtest

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"testing"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// A Harness describes a connector to the battery.
type Harness struct {
	// Connect opens a connection to the same store each time. The battery closes it.
	Connect func(t *testing.T) messaging.Connection
	// Topic names a topic that nobody has used.
	Topic func(t *testing.T) string
	// Partitioned names a topic that nobody has used and that has so many partitions, over which records with different
	// keys are spread. Nil where a topic has one.
	Partitioned func(t *testing.T, partitions int) string
	// Stored are the values of a topic as others see them, in the order in which they were written. Browse by default; a
	// sink that cannot be browsed says it here.
	Stored func(t *testing.T, topic string) []string
	// Refused is a value that sinks refuse for good; one above MaxBytes by default.
	Refused []byte
	Can     Capabilities
}

// Capabilities are what a connector can do beyond what all must.
type Capabilities struct {
	Persistent   bool // topics and positions outlive the connection
	Bounded      bool // a source ends with io.EOF behind the newest record
	Keys         bool // keys come back, nil and empty apart
	Headers      bool // headers come back, repeated ones too, in order
	Nulls        bool // a null value comes back as one
	Empty        bool // an empty value comes back as one
	Binary       bool // values may be any bytes; otherwise JSON on one line
	Times        bool // a given time comes back
	Deduplicates bool // by ID
	Deletes      bool // single records
	Hides        bool // what is deleted is hidden from Browse alone: a source still reads it
	Seeks        bool // the connection is a Seeker
	Removes      bool // the connection is a Remover
	Pauses       bool // sources are Pausers
	Shares       bool // sources of one group on two connections share a topic's partitions (Partitioned is given)
	Transacts    bool // a source with SourceConfig.Transactional is a Transactor, over topics of its connection
	Fates        bool // topics share a store, and the connection is a FateKeeper
	Keeps        bool // sinks are PositionKeepers
	Fences       bool // a Transactor of a group is fenced off (ErrFenced) by the next one that another connection opens
	MaxBytes     int  // the sink's limit as the harness has set it, 0 for none
	Big          int  // the size of the battery's big value; 1 MiB or MaxBytes when 0
}

// Run is the battery. Each connection has a topic of its own, so its parts do not meet.
func Run(t *testing.T, h Harness) {
	t.Run("records", func(t *testing.T) { records(t, h) })
	t.Run("reading", func(t *testing.T) { reading(t, h) })
	t.Run("positions", func(t *testing.T) { positions(t, h) })
	t.Run("writing", func(t *testing.T) { writing(t, h) })
	t.Run("topics", func(t *testing.T) { topics(t, h) })
	t.Run("partitions", func(t *testing.T) { partitions(t, h) })
	t.Run("seeking", func(t *testing.T) { seeking(t, h) })
	t.Run("removing", func(t *testing.T) { removing(t, h) })
	t.Run("pausing", func(t *testing.T) { pausing(t, h) })
	t.Run("sharing", func(t *testing.T) { sharing(t, h) })
	t.Run("transactions", func(t *testing.T) { transactions(t, h) })
	t.Run("fates", func(t *testing.T) { fates(t, h) })
	t.Run("keeping", func(t *testing.T) { keeping(t, h) })
}

const patience = 3 * time.Minute

// A bench is one connection and one topic, with helpers that fail the test.
type bench struct {
	*testing.T
	h     Harness
	conn  messaging.Connection
	topic string
	ctx   context.Context
}

func start(t *testing.T, h Harness) *bench {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	b := &bench{T: t, h: h, conn: h.Connect(t), topic: h.Topic(t), ctx: ctx}
	t.Cleanup(func() {
		b.must(b.conn.Close(ctx))
		cancel()
	})
	return b
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// reopen closes the connection and opens another, where what is kept outlives it.
func (b *bench) reopen() {
	b.Helper()
	if !b.h.Can.Persistent {
		return
	}
	b.must(b.conn.Close(b.ctx))
	b.conn = b.h.Connect(b.T)
}

func (b *bench) write(records ...messaging.Outgoing) {
	b.Helper()
	s := b.sink()
	b.must(s.Write(b.ctx, records))
	b.must(s.Close(b.ctx))
}

func (b *bench) sink() messaging.Sink {
	b.Helper()
	s, err := b.conn.Sink(b.ctx, messaging.SinkConfig{Topic: b.topic, Group: "writer"})
	b.must(err)
	return s
}

func (b *bench) source(group string) messaging.Source {
	b.Helper()
	s, err := b.conn.Source(b.ctx, messaging.SourceConfig{Topic: b.topic, Group: group})
	b.must(err)
	b.Cleanup(func() { s.Close(context.Background()) })
	return s
}

// read reads exactly n records, by small limits.
func (b *bench) read(s messaging.Source, n int) []messaging.Record {
	b.Helper()
	var all []messaging.Record
	for len(all) < n {
		some, err := s.Read(b.ctx, messaging.Limit{Events: min(7, n-len(all)), Bytes: 1 << 30})
		if err != nil {
			b.Fatalf("after %d of %d records: %v", len(all), n, err)
		}
		all = append(all, some...)
	}
	return all
}

// atEnd asks that nothing is left to read.
func (b *bench) atEnd(s messaging.Source) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 50*time.Millisecond)
	defer cancel()
	got, err := s.Read(ctx, messaging.Limit{Events: 1, Bytes: 1})
	want := context.DeadlineExceeded
	if b.h.Can.Bounded {
		want = io.EOF
	}
	if len(got) != 0 || !errors.Is(err, want) {
		b.Fatalf("at the end: got %d records and %v, want %v", len(got), err, want)
	}
}

func (b *bench) commit(s messaging.Source, r messaging.Record) {
	b.Helper()
	b.must(s.Commit(b.ctx, []messaging.Position{position(r)}))
}

// drain reads n records and commits them.
func (b *bench) drain(s messaging.Source, n int) {
	b.Helper()
	b.commitAll(s, b.read(s, n))
}

// commitAll commits the last record of each partition.
func (b *bench) commitAll(s messaging.Source, read []messaging.Record) {
	b.Helper()
	b.must(s.Commit(b.ctx, lasts(read)))
}

// lasts are the positions up to which these records, read in order, are settled, partition by partition.
func lasts(read []messaging.Record) []messaging.Position {
	last := map[int32]messaging.Position{}
	for _, r := range read {
		last[r.Partition] = position(r)
	}
	return slices.SortedFunc(maps.Values(last), func(a, b messaging.Position) int { return int(a.Partition - b.Partition) })
}

// values wants these values, in this order.
func (b *bench) values(got []messaging.Record, want ...string) {
	b.Helper()
	if len(got) != len(want) {
		b.Fatalf("got %d records, want %d", len(got), len(want))
	}
	for i := range got {
		if string(got[i].Value) != want[i] {
			b.Fatalf("record %d: got %.80q, want %.80q", i, got[i].Value, want[i])
		}
	}
}
