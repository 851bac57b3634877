// Package embedded is a durable broker inside the bridge: nats-server as a library, with JetStream's file store in the state
// folder. Nothing listens on the network. A topic is a stream, made on first use; the offset of a record is its sequence, from 1.
//
// # What it promises
//
// Write returns nil when the store has acknowledged every record. The store writes a record to the file before it acknowledges
// it, so that what was acknowledged survives the death of the process at any moment. It reaches the disk itself every two
// minutes, or with sync=always before each acknowledgement: only that survives a power failure, at about a fortieth of the rate.
//
// A source does not use the broker's consumers. This process alone owns the store, so a source reads the log by position, as
// one reads a file, and keeps the position of its group in a small file that is replaced as a whole. There is no ack wait, no
// redelivery timer and no delivery count. That is at least once, because a position moves only when the dispatcher has settled all up
// to it: whatever dies before is read again. A record with an ID is stored once within the duplicate window (the store keeps
// the IDs in the records and finds them again after a restart), so with the dispatcher's IDs, which name the input record, reading
// again does not write again: exactly once, as long as the bridge is not away for longer than the window.
//
// # When records are gone
//
// Topics are kept by limits, the oldest go first. If a group had not read them, its source returns a messaging.GapError, or
// with gap=continue logs it, counts it and goes on. A position that lies behind the end of the store (a power failure took the end
// away) and a topic that was made again are logged and counted, and reading goes on where nothing is left out.
//
// Every record has a checksum, and the server passes over what does not fit it without a word. So this package keeps a book of
// each topic: where it ended when it was closed, and what was deleted on purpose. A topic that ends earlier is logged at its first
// use, counted (ds_embedded_lost_records_total), and gets another incarnation, because its offsets are given out again. A record that
// is missing among others and was not deleted on purpose is a DamageError of the source that comes to it, or with gap=continue
// logged, counted and passed over. One thing cannot be seen: an end that is missing after a power failure without sync=always,
// when the bridge had not closed the store and no position lies in what is missing.
//
// When the disk is full, writes fail record by record with the file's name, nothing is acknowledged that is not stored, and writing
// goes on when there is room.
//
// # Settings
//
//	max_bytes=1GiB     what a topic holds at most
//	max_age=168h       and how long, 0 for ever
//	max_value=1MiB     largest value that is stored, at most 32MiB
//	duplicates=2m      the duplicate window
//	sync=interval      always: fsync before each acknowledgement and each commit
//	gap=stop           continue: go on behind records that are gone
//	stream=            NAME: all topics of this connection are parts of one stream, so that the fate of an event, which may be
//	                   records on several of them, is stored as one (messaging.FateKeeper). It is kept by limits as a whole, and what
//	                   is missing of one topic is not told from what belongs to another
package embedded

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/messaging/jetstream"
)

func init() { messaging.Register("embedded", connect) }

type settings struct {
	maxBytes, maxValue int64
	maxAge, duplicates time.Duration
	sync               bool
	skipGaps           bool
	stream             string
}

type connection struct {
	options  messaging.Options
	settings settings
	engine   *engine

	duplicates, gaps, lost, remade prometheus.Counter
}

func connect(ctx context.Context, o messaging.Options) (messaging.Connection, error) {
	s := o.Parse()
	c := &connection{options: o}
	c.settings = settings{
		maxBytes:   s.Bytes("max_bytes", 1<<30, 1<<20),
		maxValue:   s.Bytes("max_value", 1<<20, 1),
		maxAge:     s.Duration("max_age", 7*24*time.Hour, 0),
		duplicates: s.Duration("duplicates", 2*time.Minute, 100*time.Millisecond),
		sync:       s.Choice("sync", "interval", "always") == "always",
		skipGaps:   s.Choice("gap", "stop", "continue") == "continue",
		stream:     s.String("stream", ""),
	}
	if err := s.Done(); err != nil {
		return nil, err
	}
	if c.settings.maxValue > 32<<20 {
		return nil, fmt.Errorf("connection %s: max_value is %d, at most 32MiB is possible", o.Name, c.settings.maxValue)
	}
	if o.StateDir == "" {
		return nil, fmt.Errorf("connection %s: an embedded store needs a state folder", o.Name)
	}
	c.duplicates = o.Counter("ds_embedded_duplicates_total", "Records that the store acknowledged as duplicates of stored ones.")
	c.gaps = o.Counter("ds_embedded_gap_records_total", "Records that were gone before a group had read them.")
	c.lost = o.Counter("ds_embedded_lost_records_total", "Records that the store lost by damage.")
	c.remade = o.Counter("ds_embedded_topics_remade_total", "Positions that belonged to an earlier life of their topic.")
	var err error
	c.engine, err = acquire(ctx, c)
	return c, err
}

// storeName is the part of the URL behind embedded:, for more than one store in a state folder.
func storeName(url string) string {
	name := strings.Trim(strings.TrimPrefix(url, "embedded:"), "/")
	if name == "" {
		return "default"
	}
	return streamName(name)
}

func (c *connection) Source(ctx context.Context, sc messaging.SourceConfig) (messaging.Source, error) {
	t, err := c.topic(ctx, sc.Topic)
	if err != nil {
		return nil, err
	}
	return c.openSource(ctx, t, sc)
}

func (c *connection) Sink(ctx context.Context, sc messaging.SinkConfig) (messaging.Sink, error) {
	t, err := c.topic(ctx, sc.Topic)
	if err != nil {
		return nil, err
	}
	return c.openSink(t)
}

func (c *connection) Browse(ctx context.Context, name string, from messaging.Cursor, limit int) ([]messaging.Record, messaging.Cursor, error) {
	next, err := from.Single()
	if err != nil {
		return nil, from, err
	}
	t, err := c.topic(ctx, name)
	if err != nil {
		return nil, from, err
	}
	if next < 0 {
		s, err := t.state(ctx)
		return nil, messaging.CursorAt(int64(s.LastSeq) + 1), err
	}
	f, err := t.fetcher()
	if err != nil {
		return nil, from, err
	}
	defer f.Close()
	for {
		changed := t.changes()
		found, err := f.Fetch(ctx, uint64(max(next, 1)), limit, jetstream.FetchBytes)
		if err != nil {
			return nil, from, t.explain(err)
		}
		if n := len(found); n > 0 {
			return found, messaging.CursorAt(found[n-1].Offset + 1), nil
		}
		if err := t.wait(ctx, changed, nil); err != nil {
			return nil, from, ignoreDeadline(err)
		}
	}
}

// ignoreDeadline: that nothing came in time is no error of Browse.
func ignoreDeadline(err error) error {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func (c *connection) Delete(ctx context.Context, name string, records []messaging.Position) error {
	t, err := c.topic(ctx, name)
	if err != nil {
		return err
	}
	return t.delete(ctx, messaging.Offsets(records))
}

// Incarnation is drawn when the topic is made, and changes when it lost its end.
func (c *connection) Incarnation(ctx context.Context, name string) (string, error) {
	t, err := c.topic(ctx, name)
	if err != nil {
		return "", err
	}
	return t.incarnation(), nil
}

func (c *connection) Close(context.Context) error {
	c.engine.release(c)
	return nil
}

func (c *connection) topic(ctx context.Context, name string) (*topic, error) {
	if !c.engine.holds(c) {
		return nil, messaging.ErrClosed
	}
	t, state, first, err := c.engine.topic(ctx, name, c.settings)
	if err != nil {
		return nil, fmt.Errorf("embedded: topic %s: %w", name, err)
	}
	if first {
		c.tellDamage(t, state)
	}
	return t, nil
}
