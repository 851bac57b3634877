// Package redis carries events on Redis Streams. A topic is one stream, of the topic's name; it is made on first use. Server
// version 7 or later, or one that is compatible with it.
//
// # Reading
//
// A group is a consumer group. Each process is a consumer of its own, and all of a group share the stream: an entry is given
// to one of them. An entry is acknowledged (XACK) when the dispatcher has committed it, which is when its results are
// stored: until then it is pending, and comes again when the process dies. What is given to a process is refreshed by it
// three times within the takeover time, however long a model works, so that only what belongs to the dead ever grows idle.
// Readers take that over when they begin, and as often as they refresh. A process that is stopped in order hands back what
// it had. One that begins again on the same state folder is the same consumer (a lock on a file in the folder proves that
// the other one is gone), and goes on with its own entries at once.
//
// A process that was stopped past the takeover time and wakes up has lost its entries. Its acknowledgements leave those of
// others alone, it notices at its next refresh, forgets what it had (OnRevoke), and goes on with what is still its own.
//
// # Order
//
// There is one partition, number 0; offsets are ids of entries ([id.offset]). The seam wants offsets that increase, and
// entries taken over are mostly older than those that were read last. So a reader who takes over stops reading; when all it
// had is acknowledged, or the takeover time has passed (then OnRevoke tells the dispatcher to drop the rest, which comes
// again), it begins a new assignment, with another [messaging.Record.Epoch]: first all that is pending with it, in order,
// then new entries. A position of an assignment that is over changes nothing, and a position acknowledges entries by name,
// those that were handed out and no others.
//
// With one process, keys keep their order over restarts on the same state folder. With several, two entries of one key may
// be at work in two processes at once: order by key is not promised then.
//
// # What is promised
//
// At least once, as far as the server keeps what it has acknowledged. A server with appendonly yes and appendfsync everysec,
// which is what most have, loses up to a second of writes when the machine dies; with appendfsync always it does not;
// without appendonly it loses all since its last snapshot even when only the process dies. Replicas are written to
// afterwards: an acknowledged write is lost when the primary dies first. With wait_replicas=N a write counts as stored only
// when N replicas have it, which makes that unlikely, not impossible (the server's own words for WAIT).
//
// An entry is stored again when an acknowledgement of the write was lost on its way. With dedup=10m an output with the same
// message id is stored once within that time, at the price of one more key for each output, about 150 bytes as long as it
// lasts.
//
// # When entries are gone
//
// Streams grow until someone trims them: a sink with max_length or max_age, or others. Neither asks whether a group has read
// what goes. If one had not, or if an entry is gone that was pending, the source returns a messaging.GapError and goes on
// returning it, with gap=continue it logs and counts it (ds_redis_gap_records_total) and reads on. The server itself says
// nothing. Entries that were deleted by this connector (dealt-with dead letters) are no gap; XDEL by others in front of a
// group is one. Directly after a seek into the middle of a stream, new entries that are trimmed before the group has caught
// up once cannot be told from deleted ones, and are not reported. A topic that was deleted and made again is logged,
// counted, and read from its start.
//
// # Settings
//
//	timeout=5s         of one command; a server that does not answer fails it
//	cluster=false      the server is a node of a cluster
//	tls_ca, tls_cert, tls_key   files in PEM form, for rediss:
//	takeover=30s       what is idle for so long belongs to the dead
//	gap=stop           continue: go on without entries that are gone
//	value_field=       the field that holds the event, in entries of other writers; none: all fields as an object
//	max_value=1MiB     largest value that is written, at most 256MiB
//	max_length=0       entries that a stream is trimmed to when it is written to, roughly; 0 for all
//	max_age=0s         the same by age; not both
//	dedup=0s           how long message ids are remembered; 0 for not at all
//	wait_replicas=0    replicas that have to have a write
package redis

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/rueidis"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/messaging/positions"
	"ds-runner.dev/ds-runner/bridge_go/messaging/redis/client"
)

func init() {
	messaging.Register("redis", connect)
	messaging.Register("rediss", connect)
}

type settings struct {
	takeover, maxAge, dedup time.Duration
	maxValue, maxLength     int64
	replicas                int64
	valueField              string
	skipGaps                bool
}

type connection struct {
	options  messaging.Options
	settings settings
	client   *client.Client
	me       *identity
	readers  positions.Readers

	mu      sync.Mutex
	closed  bool
	sources map[*source]bool

	gaps, taken, lost, remade, duplicates prometheus.Counter
}

func connect(ctx context.Context, o messaging.Options) (messaging.Connection, error) {
	s := o.Parse()
	config := client.Settings(s)
	client.OfKeys(s)
	c := &connection{options: o, sources: map[*source]bool{}}
	c.settings = settings{
		takeover:   s.Duration("takeover", 30*time.Second, 100*time.Millisecond),
		maxAge:     s.Duration("max_age", 0, 0),
		dedup:      s.Duration("dedup", 0, 0),
		maxValue:   s.Bytes("max_value", 1<<20, 1),
		maxLength:  s.Int("max_length", 0, 0),
		replicas:   s.Int("wait_replicas", 0, 0),
		valueField: s.String("value_field", ""),
		skipGaps:   s.Choice("gap", "stop", "continue") == "continue",
	}
	if err := s.Done(); err != nil {
		return nil, err
	}
	if err := c.settings.check(o.Name); err != nil {
		return nil, err
	}
	c.counters()
	var err error
	if c.client, err = client.Open(ctx, o, config); err != nil {
		return nil, err
	}
	if c.me, err = identify(o); err != nil {
		c.client.Close()
		return nil, fmt.Errorf("connection %s: %w", o.Name, err)
	}
	return c, nil
}

// largestValue leaves the rest of an entry room below the 512 MiB that the server takes by default.
const largestValue = 256 << 20

func (s settings) check(name string) error {
	switch {
	case s.maxValue > largestValue:
		return fmt.Errorf("connection %s: max_value is %d, at most 256MiB is possible", name, s.maxValue)
	case s.maxLength > 0 && s.maxAge > 0:
		return fmt.Errorf("connection %s: max_length and max_age are given, and a stream is trimmed by one of them", name)
	}
	return nil
}

func (c *connection) counters() {
	o := c.options
	c.gaps = o.Counter("ds_redis_gap_records_total", "Entries that were gone before a group had dealt with them.")
	c.taken = o.Counter("ds_redis_taken_over_total", "Entries taken over from readers that had died.")
	c.lost = o.Counter("ds_redis_lost_entries_total", "Entries that another reader took over from this one.")
	c.remade = o.Counter("ds_redis_topics_remade_total", "Groups whose topic was deleted and made again.")
	c.duplicates = o.Counter("ds_redis_duplicates_total", "Outputs that were stored already, by their message ids.")
}

func (c *connection) Sink(_ context.Context, sc messaging.SinkConfig) (messaging.Sink, error) {
	if err := c.usable(sc.Topic); err != nil {
		return nil, err
	}
	return c.openSink(sc.Topic), nil
}

func (c *connection) Source(ctx context.Context, sc messaging.SourceConfig) (messaging.Source, error) {
	if err := c.usable(sc.Topic); err != nil {
		return nil, err
	}
	if sc.Transactional {
		return nil, fmt.Errorf("redis: %s: transactions of results and positions: %w", sc.Topic, messaging.ErrNotSupported)
	}
	if !c.readers.Join(sc.Topic, sc.Group) {
		return nil, fmt.Errorf("redis: %s, group %s: %w", sc.Topic, sc.Group, messaging.ErrBusy)
	}
	s, err := c.openSource(ctx, sc)
	if err != nil {
		c.readers.Leave(sc.Topic, sc.Group)
		return nil, fmt.Errorf("redis: open %s: %w", sc.Topic, err)
	}
	return s, nil
}

func (c *connection) usable(topic string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return messaging.ErrClosed
	}
	if topic == "" {
		return fmt.Errorf("redis: the topic's name is empty")
	}
	return nil
}

// Incarnation is kept beside the stream, with what is needed to see that the stream is another one.
func (c *connection) Incarnation(ctx context.Context, topic string) (string, error) {
	if err := c.usable(topic); err != nil {
		return "", err
	}
	return c.incarnation(ctx, topic, "keep")
}

func (c *connection) incarnation(ctx context.Context, topic, how string) (string, error) {
	drawn, err := c.script(ctx, life, []string{topic, bookKey(topic)}, random(), how).ToString()
	if err != nil {
		return "", fmt.Errorf("redis: incarnation of %s: %w", topic, err)
	}
	return drawn, nil
}

func (c *connection) Close(ctx context.Context) error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	open := make([]*source, 0, len(c.sources))
	for s := range c.sources {
		open = append(open, s)
	}
	c.mu.Unlock()
	for _, s := range open {
		s.Close(ctx) // its error is that entries could not be handed back: they are taken over later
	}
	c.client.Close()
	return c.me.release()
}

// script runs one script with a deadline.
func (c *connection) script(ctx context.Context, s *rueidis.Lua, keys []string, args ...string) rueidis.RedisResult {
	ctx, cancel := c.client.Bound(ctx)
	defer cancel()
	return s.Exec(ctx, c.client.Client, keys, args)
}

// bookKey is the hash in which what is known of a topic beside its stream is kept. It is in the stream's slot of a cluster.
func bookKey(topic string) string {
	if open := strings.IndexByte(topic, '{'); open >= 0 && strings.IndexByte(topic[open:], '}') > 1 {
		return "ds:" + topic
	}
	return "ds:{" + topic + "}"
}

// deletedKey is the set of ids that were deleted on purpose.
func deletedKey(topic string) string { return bookKey(topic) + ":deleted" }

// idKey is there as long as an output's message id is remembered.
func idKey(topic, id string) string { return bookKey(topic) + ":id:" + id }
