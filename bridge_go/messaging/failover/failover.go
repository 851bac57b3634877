package failover

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/messaging/positions"
)

func init() { messaging.Register("failover", connect) }

type connection struct {
	options messaging.Options
	sides   [2]string // names of connections
	topics  [2]string // instead of the stream's, where given
	rules   rules
	namer   namer
	sync    bool

	switches, duplicates, late, forgotten prometheus.Counter
	failedOver                            prometheus.Gauge

	mu     sync.Mutex
	closed bool
	open   map[reader]*source
	kept   map[reader][]*event // where there is no state folder
}

// A reader is a topic and a group.
type reader struct{ topic, group string }

func connect(_ context.Context, o messaging.Options) (messaging.Connection, error) {
	s := o.Parse()
	c := &connection{options: o, open: map[reader]*source{}, kept: map[reader][]*event{}}
	c.sides = [2]string{s.String("primary", ""), s.String("secondary", "")}
	c.topics = [2]string{s.String("primary_topic", ""), s.String("secondary_topic", "")}
	name := s.String("id", "")
	c.rules = rules{
		after:       int64(s.Duration("after", 30*time.Second, 10*time.Millisecond)),
		back:        int64(s.Duration("back", 5*time.Minute, 0)),
		window:      int64(s.Duration("window", 10*time.Minute, 10*time.Millisecond)),
		ids:         int(s.Int("window_ids", 250_000, 1)),
		ahead:       int(s.Int("ahead_events", 20_000, 1)),
		aheadBytes:  int(s.Bytes("ahead_bytes", 64<<20, 1)),
		output:      2000,
		outputBytes: 8 << 20,
	}
	c.sync = s.Choice("sync", "interval", "always") == "always"
	if err := s.Done(); err != nil {
		return nil, err
	}
	if err := c.check(name); err != nil {
		return nil, fmt.Errorf("connection %s: %w", o.Name, err)
	}
	c.switches = o.Counter("ds_failover_switches_total", "Times that the other side became the active one.")
	c.failedOver = o.Gauge("ds_failover_active_streams", "Streams whose secondary is the active side.")
	c.duplicates = o.Counter("ds_failover_duplicates_total", "Records that were dropped because the other side had shown their event.")
	c.late = o.Counter("ds_failover_late_total", "Events that the active side had not shown within the window, taken from the other.")
	c.forgotten = o.Counter("ds_failover_forgotten_total", "Events forgotten before the window was over, for window_ids: when the other side shows them, they are scored twice.")
	return c, nil
}

func (c *connection) check(name string) (err error) {
	switch {
	case c.sides[primary] == "" || c.sides[secondary] == "":
		return errors.New("primary and secondary are to name two other connections")
	case c.sides[primary] == c.sides[secondary]:
		return fmt.Errorf("primary and secondary are both %s", c.sides[primary])
	case c.sides[primary] == c.options.Name || c.sides[secondary] == c.options.Name:
		return errors.New("it wraps itself")
	case c.rules.window <= c.rules.after:
		return fmt.Errorf("window is %s, and has to be longer than after, which is %s", time.Duration(c.rules.window), time.Duration(c.rules.after))
	}
	c.namer, err = parseName(name)
	return err
}

// other opens the connection of a side.
func (c *connection) other(ctx context.Context, s side) (messaging.Connection, error) {
	if c.isClosed() {
		return nil, messaging.ErrClosed
	}
	if c.options.Other == nil {
		return nil, fmt.Errorf("failover: %s: there are no other connections here; it is declared in program.yaml beside those that it names", c.options.Name)
	}
	return c.options.Other(ctx, c.sides[s])
}

func (c *connection) topic(s side, name string) string {
	if c.topics[s] != "" {
		return c.topics[s]
	}
	return name
}

func (c *connection) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// Source implements messaging.Connection. It does not wait for either side: one of them may be dead.
func (c *connection) Source(_ context.Context, sc messaging.SourceConfig) (messaging.Source, error) {
	if sc.Transactional || sc.Start != nil {
		return nil, fmt.Errorf("failover: %s: exactly-once over two systems: %w", sc.Topic, messaging.ErrNotSupported)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	r := reader{sc.Topic, sc.Group}
	switch {
	case c.closed:
		return nil, messaging.ErrClosed
	case c.open[r] != nil && sc.Group != "":
		return nil, fmt.Errorf("failover: %s, group %s: %w", sc.Topic, sc.Group, messaging.ErrBusy)
	}
	s, err := c.start(r, sc)
	if err != nil {
		return nil, err
	}
	if sc.Group != "" {
		c.open[r] = s
	}
	return s, nil
}

// journal is the file of a reader; none without a state folder or a group.
func (c *connection) journal(r reader) string {
	if c.options.StateDir == "" || r.group == "" {
		return ""
	}
	return filepath.Join(c.folder(), positions.FileName(r.topic, r.group)+".ids")
}

func (c *connection) folder() string {
	return filepath.Join(c.options.StateDir, "failover", positions.FileName(c.options.Name, ""))
}

// left forgets a source that was closed, and keeps what it knew where no file does.
func (c *connection) left(r reader, s *source, known []*event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open[r] == s {
		delete(c.open, r)
		if c.journal(r) == "" {
			c.kept[r] = known
		}
	}
}

// Sink implements messaging.Connection: it is the primary's. What is written to one side is for a mirror to bring to the other.
func (c *connection) Sink(ctx context.Context, sc messaging.SinkConfig) (messaging.Sink, error) {
	conn, err := c.other(ctx, primary)
	if err != nil {
		return nil, err
	}
	sc.Topic = c.topic(primary, sc.Topic)
	return conn.Sink(ctx, sc)
}

// Browse implements messaging.Connection: the primary is looked at, or the secondary where the primary fails or the cursor is one of
// the secondary.
func (c *connection) Browse(ctx context.Context, topic string, from messaging.Cursor, limit int) ([]messaging.Record, messaging.Cursor, error) {
	s, cursor, err := c.cursor(from)
	if err != nil {
		return nil, from, err
	}
	records, after, err := c.browse(ctx, s, topic, cursor, limit)
	if err != nil && (from == messaging.Oldest || from == messaging.Newest) && !errors.Is(err, messaging.ErrClosed) {
		if other, behind, second := c.browse(ctx, secondary, topic, cursor, limit); second == nil {
			return other, behind, nil
		}
	}
	return records, after, err
}

// cursor turns a cursor of ours into one of a side.
func (c *connection) cursor(from messaging.Cursor) (side, messaging.Cursor, error) {
	if from == messaging.Oldest || from == messaging.Newest {
		return primary, from, nil
	}
	next, err := from.Next()
	if err != nil {
		return primary, from, err
	}
	of, within := primary, map[int32]int64{}
	for partition, offset := range next {
		var p int32
		of, p = inside(partition)
		within[p] = offset
	}
	return of, messaging.CursorOf(within), nil
}

func (c *connection) browse(ctx context.Context, s side, topic string, from messaging.Cursor, limit int) ([]messaging.Record, messaging.Cursor, error) {
	conn, err := c.other(ctx, s)
	if err != nil {
		return nil, from, err
	}
	records, after, err := conn.Browse(ctx, c.topic(s, topic), from, limit)
	if err != nil {
		return nil, from, fmt.Errorf("failover: %s: %w", s, err)
	}
	for i := range records {
		records[i].Partition = s.outside(records[i].Partition)
	}
	next, err := after.Next()
	if err != nil {
		return nil, from, err
	}
	outside := map[int32]int64{}
	for partition, offset := range next {
		outside[s.outside(partition)] = offset
	}
	return records, messaging.CursorOf(outside), nil
}

// Delete implements messaging.Connection.
func (c *connection) Delete(ctx context.Context, topic string, records []messaging.Position) error {
	var of [2][]messaging.Position
	for _, r := range records {
		s, partition := inside(r.Partition)
		r.Partition = partition
		of[s] = append(of[s], r)
	}
	for s, records := range of {
		if len(records) == 0 {
			continue
		}
		conn, err := c.other(ctx, side(s))
		if err == nil {
			err = conn.Delete(ctx, c.topic(side(s), topic), records)
		}
		if err != nil {
			return fmt.Errorf("failover: %s: %w", side(s), err)
		}
	}
	return nil
}

// Close implements messaging.Connection. The two sides are not closed with it: others may use them.
func (c *connection) Close(ctx context.Context) error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	var open []*source
	for _, s := range c.open {
		open = append(open, s)
	}
	c.mu.Unlock()
	var errs []error
	for _, s := range open {
		errs = append(errs, s.Close(ctx))
	}
	return errors.Join(errs...)
}
