// Package memory keeps topics in the process: for tests, benchmarks and programs that need no store.
//
// A topic is one partition of records in order, held until its groups have committed them, within a number of bytes.
// Nothing outlives the connection. Settings of a connection:
//
//	bytes=64MiB   what a topic holds at most. Over it, records that every group has committed go first
//	full=auto     then: wait (Write blocks until a group commits), drop (the oldest go, and a reader that had not read
//	              them is told by a GapError), auto (wait if the topic has a group, otherwise drop)
//	keep=all      0 drops records as soon as every group has committed them
//	gap=stop      continue: go on behind dropped records, logged and counted
//	max_value     largest value that is stored, 0 for no limit
//	preload=FILE  sources read the lines of this file instead of a topic, and end; nothing is copied per record
//	repeat=1      how often the file is read
//	discard=true  sinks count records and drop them
//
// Sinks de-duplicate by ID among the records that the topic holds.
package memory

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

func init() { messaging.Register("memory", connect) }

type settings struct {
	bytes, maxValue int64
	full            string
	keepNone        bool
	skipGaps        bool
	discard         bool
}

type connection struct {
	options  messaging.Options
	settings settings
	preload  *preload // nil without one
	born     string
	gaps     prometheus.Counter

	mu     sync.Mutex
	topics map[string]*topic
	closed bool
}

func connect(_ context.Context, o messaging.Options) (messaging.Connection, error) {
	s := o.Parse()
	c := &connection{options: o, topics: map[string]*topic{}, born: strconv.FormatInt(time.Now().UnixNano(), 36)}
	c.settings = settings{
		bytes:    s.Bytes("bytes", 64<<20, 1),
		maxValue: s.Bytes("max_value", 0, 0),
		full:     s.Choice("full", "auto", "wait", "drop"),
		keepNone: s.Choice("keep", "all", "0") == "0",
		skipGaps: s.Choice("gap", "stop", "continue") == "continue",
		discard:  s.Bool("discard", false),
	}
	file, repeat := s.String("preload", ""), s.Int("repeat", 1, 1)
	if err := s.Done(); err != nil {
		return nil, err
	}
	c.gaps = o.Counter("ds_memory_gap_records_total", "Records dropped before a group had read them.")
	if file == "" {
		return c, nil
	}
	var err error
	c.preload, err = load(file, o.Dir, repeat)
	return c, err
}

func (c *connection) Source(_ context.Context, sc messaging.SourceConfig) (messaging.Source, error) {
	if sc.Transactional {
		return nil, fmt.Errorf("memory: transactions: %w", messaging.ErrNotSupported)
	}
	t, err := c.topic(sc.Topic)
	if err != nil {
		return nil, err
	}
	if c.preload != nil {
		return c.preload.open(t, sc.Group), nil
	}
	if !t.join(sc.Group) {
		return nil, fmt.Errorf("memory: %s, group %s: %w", sc.Topic, sc.Group, messaging.ErrBusy)
	}
	s := &source{c: c, t: t, group: sc.Group, closed: make(chan struct{})}
	s.next.Store(t.start(sc.Group))
	return s, nil
}

func (c *connection) Sink(_ context.Context, sc messaging.SinkConfig) (messaging.Sink, error) {
	t, err := c.topic(sc.Topic)
	if err != nil {
		return nil, err
	}
	if c.settings.discard {
		return &discard{t: t}, nil
	}
	return &sink{t: t, maxValue: int(c.settings.maxValue)}, nil
}

func (c *connection) Browse(ctx context.Context, name string, from messaging.Cursor, limit int) ([]messaging.Record, messaging.Cursor, error) {
	next, err := from.Single()
	if err != nil {
		return nil, from, err
	}
	t, err := c.topic(name)
	if err != nil {
		return nil, from, err
	}
	if next < 0 {
		return nil, messaging.CursorAt(t.end()), nil
	}
	for {
		records, changed := t.read(next, messaging.Limit{Events: limit, Bytes: math.MaxInt})
		if n := len(records); n > 0 {
			return records, messaging.CursorAt(records[n-1].Offset + 1), nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, from, nil
		}
	}
}

func (c *connection) Delete(_ context.Context, name string, records []messaging.Position) error {
	t, err := c.topic(name)
	if err != nil {
		return err
	}
	t.delete(messaging.Offsets(records))
	return nil
}

// Incarnation is the same as long as the connection lives: its topics are never made again.
func (c *connection) Incarnation(context.Context, string) (string, error) { return c.born, nil }

func (c *connection) Close(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, t := range c.topics {
		t.close()
	}
	return nil
}

func (c *connection) topic(name string) (*topic, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, messaging.ErrClosed
	}
	t := c.topics[name]
	if t == nil {
		t = newTopic(name, c.settings)
		c.topics[name] = t
	}
	return t, nil
}
