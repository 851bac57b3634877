// Package kafka reads and writes the topics of a Kafka cluster, or of anything that speaks its protocol.
//
// # Reading
//
// A source is a member of a consumer group that is named as the reader (program/command). Partitions are shared cooperatively
// among the processes of a group. Each assignment of a partition gets a number, the Epoch of its records: a position of an assignment that is
// over is not committed but counted, and the broker refuses commits of a member that it has given up, because each carries the
// group's generation.
//
// When the group takes a partition away in an orderly way, the source first stops handing out its records and waits (revoke_wait)
// until those that it has handed out are settled and committed; only then is OnRevoke called and the partition given back. So a process that
// is added or planned to stop makes nothing be read twice. A partition that is lost (the member was silent for too
// long) is gone at once. Between a poll and the stamping of its records rebalances are blocked.
//
// Only committed records of transactions are read. The markers that transactions leave in a log are passed over and committed
// with the record before them, so that lag is exact and retention that takes markers alone is no gap.
//
// The committed offset's metadata holds the topic's id and how often the group was moved (see Seek). A topic that was deleted and
// made again is therefore noticed: counted, logged, and read from its start.
//
// # Writing
//
// A sink is an idempotent producer with all acknowledgements. Records with a key go where Java's producer sends them (murmur2), and
// records without one stick to a partition for a batch. Write hands over its records together and waits for all: order per partition is kept as long
// as nothing fails. If a record may be tried again, all later ones of its partition in the same Write are reported with it, stored or not, so that
// a caller who tries them again in order ends with the right order.
//
// # Exactly once
//
// With SourceConfig.Transactional the source is a messaging.Transactor. Outputs and offsets are one transaction that is fenced by the
// member's generation. A transaction that settles positions without any output is a plain commit, which is atomic by itself. The
// transactional id is kept, with a lock, in the state folder, so that a process that comes back ends at once what the one before it left open;
// without a state folder, or for a second process on the same one, a new id is drawn, and what was left open ends after transaction_timeout.
//
// # Brokers that are away
//
// Opening a source or a sink, and asking for positions or seeking, waits for brokers that restart, elect or load: start_wait long, with a line in
// the log now and then. What is wrong for good (rights, logins, missing topics) is told at once.
//
// # Deleting
//
// Kafka has no deletion of single records. Delete appends a marker to the partition: a record without key and value, with a header
// ds-deleted that lists offsets. Browse hides markers and what they name, sources pass over markers. To find them, the first Browse of a topic
// reads what follows its cursor, up to browse_scan records; later ones read on from there.
//
// The settings are listed in docs/streaming.md.
package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

func init() {
	messaging.Register("kafka", connect)
	messaging.Register("kafka+tls", connect)
}

// A connection is a client for questions and browsing. Sources and sinks have clients of their own, so that none waits for another.
type connection struct {
	options  messaging.Options
	settings settings
	base     []kgo.Opt
	client   *kgo.Client
	admin    *kadm.Client
	dials    *dials
	hidden   *hidden
	counts   counts
	reached  atomic.Bool // a broker has answered

	mu     sync.Mutex
	open   map[closer]bool // sources and sinks
	closed bool
}

type closer interface {
	Close(ctx context.Context) error
}

type counts struct {
	gaps, lost, remade, stale, unsettled, aborted prometheus.Counter
}

// connect dials nobody: an unreachable cluster is told of by what is opened first, which can be tried again.
func connect(_ context.Context, o messaging.Options) (messaging.Connection, error) {
	s, err := parse(o)
	if err != nil {
		return nil, err
	}
	c := &connection{options: o, settings: s, dials: &dials{}, open: map[closer]bool{}}
	c.counts = counts{
		gaps:      o.Counter("ds_kafka_gap_records_total", "Offsets that were gone before a group had read them."),
		lost:      o.Counter("ds_kafka_lost_records_total", "Offsets by which a partition was shorter than what had been read of it."),
		remade:    o.Counter("ds_kafka_topics_remade_total", "Positions that belonged to an earlier life of their topic."),
		stale:     o.Counter("ds_kafka_stale_positions_total", "Positions that were not committed: their partition had been taken away."),
		unsettled: o.Counter("ds_kafka_unsettled_partitions_total", "Partitions that were taken away with records handed out and not settled."),
		aborted:   o.Counter("ds_kafka_aborted_transactions_total", "Transactions that were begun and not committed."),
	}
	if c.base, err = s.client(c.dials, o.Log); err != nil {
		return nil, fmt.Errorf("connection %s: %w", o.Name, err)
	}
	questions := append([]kgo.Opt{kgo.RetryTimeout(betweenLogs)}, c.base...) // tried on by patiently, which tells of it
	if c.client, err = kgo.NewClient(questions...); err != nil {
		return nil, fmt.Errorf("connection %s: %w", o.Name, err)
	}
	c.admin = kadm.NewClient(c.client)
	c.hidden = &hidden{topics: map[string]*marks{}}
	return c, nil
}

func (c *connection) Source(ctx context.Context, sc messaging.SourceConfig) (messaging.Source, error) {
	t, err := c.awaited(ctx, sc.Topic)
	if err != nil {
		return nil, err
	}
	if sc.Transactional && sc.Group == "" {
		return nil, fmt.Errorf("kafka: %s: a transactional source needs a group", sc.Topic)
	}
	s, err := c.openSource(ctx, t, sc)
	if err != nil {
		return nil, c.explain("open "+sc.Topic, err)
	}
	if sc.Transactional {
		return s.transactional()
	}
	return s, c.keep(s)
}

func (c *connection) Sink(ctx context.Context, sc messaging.SinkConfig) (messaging.Sink, error) {
	t, err := c.awaited(ctx, sc.Topic)
	if err != nil {
		return nil, err
	}
	s, err := c.openSink(t)
	if err != nil {
		return nil, c.explain("open "+sc.Topic, err)
	}
	return s, c.keep(s)
}

// Incarnation is the topic's id.
func (c *connection) Incarnation(ctx context.Context, name string) (string, error) {
	t, err := c.awaited(ctx, name)
	return t.id, err
}

// Close closes what is open on the connection, too.
func (c *connection) Close(ctx context.Context) error {
	c.mu.Lock()
	open := c.open
	c.open, c.closed = nil, true
	c.mu.Unlock()
	var errs []error
	for part := range open {
		errs = append(errs, part.Close(ctx))
	}
	c.client.Close()
	return errors.Join(errs...)
}

func (c *connection) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// keep has Close close a part of the connection. A part that came too late is closed at once.
func (c *connection) keep(part closer) error {
	c.mu.Lock()
	if !c.closed {
		c.open[part] = true
		c.mu.Unlock()
		return nil
	}
	c.mu.Unlock()
	return errors.Join(messaging.ErrClosed, part.Close(context.Background()))
}

// reads says whether a source of a group is open on the connection.
func (c *connection) reads(group string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for part := range c.open {
		if s, ok := part.(interface{ of(group string) bool }); ok && s.of(group) {
			return true
		}
	}
	return false
}

func (s *source) of(group string) bool { return s.config.Group == group }

func (c *connection) forget(part closer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, part)
}
