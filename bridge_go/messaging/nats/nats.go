// Package nats reads and writes streams of a NATS JetStream server or cluster, from server 2.11 on. A topic is a subject, found in
// whichever stream keeps it, or made with a stream of its own; the offset of a record is its sequence in the stream.
//
// # Reading
//
// A group is a durable pull consumer. What a Read may return is what is asked of the server, so nothing is fetched that nobody wants. Each
// partition has one reader at a time, whom the server pins; others stand by and take over when it closes, or has been silent for
// takeover. The consumer acknowledges all up to a sequence (one message a commit), its floor is the group's position, and what
// an earlier reader left unsettled is read by position first, in order. Everything that is not settled is reported to be in
// progress three times in each ack_wait, so a model may take as long as it likes. How often the server has delivered a message
// says nothing here: it counts our crashes too. That is why a consumer with MaxDeliver is refused.
//
// With shared=true any number of readers share the messages of a topic, each acknowledged alone. Then there is no order, and what
// a dead reader left behind comes to another after ack_wait, behind newer ones.
//
// # Partitions
//
// A topic made with partitions=N is the subjects topic.0 to topic.N-1 of one stream, over which records are spread by a hash of
// their key. Each has its own consumer and reader: readers of several processes give each other their share, and a key stays in order.
//
// # Writing
//
// Records are acknowledged by the stream, many of them waiting at a time. One with an ID is stored once within the stream's
// duplicate window. Streams that drop what was read (work queues, interest) forget IDs with a restart and are not relied on for that.
// With stream=NAME all topics are subjects of one stream, and the fate of an event is stored as one (messaging.FateKeeper, server
// 2.12).
//
// # When records are gone
//
// If retention dropped what a group had not read, its source returns a messaging.GapError; with gap=continue it is logged and counted
// instead. In a stream of several subjects it cannot be told whose they were: that is logged. A topic that was made again has lost its
// consumers, too: it is read from the start, logged and counted.
//
// # Settings
//
//	create=true        make streams that are missing; otherwise that is an error
//	storage=file       or memory; of streams that are made, as the next four
//	replicas=1         copies of a stream in a cluster
//	max_age=168h       how long records are kept, 0 for ever
//	max_bytes=0        and how much of them, 0 for no limit; the server sets so much room aside at once
//	duplicates=2m      duplicate window
//	partitions=1       subjects of a topic
//	stream=            NAME: all topics in one stream
//	shared=false       readers share messages, without order
//	ack_wait=30s       when the server gives a silent reader's messages to another, if they are shared
//	takeover=5s        when it gives a silent reader's partition to another
//	in_flight=262144   messages of a partition that are not settled, at most
//	timeout=5s         for one answer of the server
//	gap=stop           continue: go on behind records that are gone
//	user, password, token, nkey, creds
//	                   who we are: in clear, or the file of an nkey's seed or of credentials
//	tls_ca, tls_cert, tls_key
//	                   files; tls:// asks for TLS, with the system's authorities
package nats

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	natsgo "github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/messaging/jetstream"
	"ds-runner.dev/ds-runner/bridge_go/messaging/positions"
)

func init() {
	messaging.Register("nats", connect)
	messaging.Register("tls", connect)
}

type settings struct {
	create              bool
	memory              bool
	replicas            int
	maxAge, duplicates  time.Duration
	maxBytes            int64
	partitions          int
	stream              string
	shared              bool
	ackWait, takeover   time.Duration
	inFlight            int
	timeout             time.Duration
	skipGaps            bool
	user, password      string
	token, nkey, creds  string
	tlsCA, cert, tlsKey string
}

func parse(o messaging.Options) (settings, error) {
	s := o.Parse()
	file := func(name string) string {
		path := s.String(name, "")
		if path == "" || filepath.IsAbs(path) {
			return path
		}
		return filepath.Join(o.Dir, path)
	}
	c := settings{
		create:     s.Bool("create", true),
		memory:     s.Choice("storage", "file", "memory") == "memory",
		replicas:   int(s.Int("replicas", 1, 1)),
		maxAge:     s.Duration("max_age", 7*24*time.Hour, 0),
		duplicates: s.Duration("duplicates", 2*time.Minute, 100*time.Millisecond),
		maxBytes:   s.Bytes("max_bytes", 0, 0),
		partitions: int(s.Int("partitions", 1, 1)),
		stream:     s.String("stream", ""),
		shared:     s.Bool("shared", false),
		ackWait:    s.Duration("ack_wait", 30*time.Second, 100*time.Millisecond),
		takeover:   s.Duration("takeover", 5*time.Second, time.Second),
		inFlight:   int(s.Int("in_flight", 1<<18, 1)),
		timeout:    s.Duration("timeout", 5*time.Second, 100*time.Millisecond),
		skipGaps:   s.Choice("gap", "stop", "continue") == "continue",
		user:       s.String("user", ""), password: s.String("password", ""), token: s.String("token", ""),
		nkey: file("nkey"), creds: file("creds"), tlsCA: file("tls_ca"), cert: file("tls_cert"), tlsKey: file("tls_key"),
	}
	if err := s.Done(); err != nil {
		return c, err
	}
	return c, c.check(o.Name)
}

// maxPartitions bounds the consumers and pulls of one source.
const maxPartitions = 256

func (s settings) check(name string) error {
	wrong := func(format string, v ...any) error { return fmt.Errorf("connection "+name+": "+format, v...) }
	switch {
	case s.partitions > maxPartitions:
		return wrong("partitions is %d, at most %d", s.partitions, maxPartitions)
	case s.shared && s.partitions > 1:
		return wrong("shared=true gives up the order of partitions: leave out one of shared and partitions")
	case (s.cert == "") != (s.tlsKey == ""):
		return wrong("tls_cert and tls_key belong together")
	case (s.user == "") != (s.password == ""):
		return wrong("user and password belong together")
	}
	ways := 0
	for _, way := range []string{s.user, s.token, s.nkey, s.creds} {
		if way != "" {
			ways++
		}
	}
	if ways > 1 {
		return wrong("one of user, token, nkey and creds says who we are, %d are given", ways)
	}
	return nil
}

type connection struct {
	options  messaging.Options
	settings settings
	conn     *natsgo.Conn
	js       natsjs.JetStream
	api      *jetstream.API
	pins     positions.Store
	once     sync.Once
	closed   chan struct{}

	readers positions.Readers // a group has one source at a time on a connection

	mu    sync.Mutex
	again chan struct{}     // closed and replaced when the server is reached again
	lives map[string]string // of topics, as last seen

	duplicates, gaps, remade, redelivered prometheus.Counter
}

func connect(ctx context.Context, o messaging.Options) (messaging.Connection, error) {
	s, err := parse(o)
	if err != nil {
		return nil, err
	}
	c := &connection{
		options: o, settings: s, closed: make(chan struct{}), again: make(chan struct{}), lives: map[string]string{},
		pins:        positions.Store{Dir: filepath.Join(o.StateDir, "nats")},
		duplicates:  o.Counter("ds_nats_duplicates_total", "Records that a stream acknowledged as duplicates of stored ones."),
		gaps:        o.Counter("ds_nats_gap_records_total", "Records that were gone before a group had read them."),
		remade:      o.Counter("ds_nats_topics_remade_total", "Topics that were found deleted and made again."),
		redelivered: o.Counter("ds_nats_redelivered_total", "Messages that the server delivered again to the reader that held them."),
	}
	if err := c.dial(ctx); err != nil {
		return nil, fmt.Errorf("connection %s: %s: %w", o.Name, messaging.Mask(o.URL), err)
	}
	return c, nil
}

func (c *connection) Source(ctx context.Context, sc messaging.SourceConfig) (messaging.Source, error) {
	if sc.Transactional {
		return nil, fmt.Errorf("nats: %s: transactions: %w", sc.Topic, messaging.ErrNotSupported)
	}
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

// Incarnation is drawn when the stream is made by us; of others' streams it is the time of their creation.
func (c *connection) Incarnation(ctx context.Context, name string) (string, error) {
	t, err := c.topic(ctx, name)
	if err != nil {
		return "", err
	}
	return t.life, nil
}

func (c *connection) Close(context.Context) error {
	c.once.Do(func() {
		close(c.closed)
		c.conn.Close()
	})
	return nil
}

func (c *connection) isClosed() bool {
	select {
	case <-c.closed:
		return true
	default:
		return false
	}
}
