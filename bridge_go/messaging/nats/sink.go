package nats

import (
	"context"
	"fmt"
	"hash/fnv"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/messaging/jetstream"
)

type sink struct {
	t *topic
	p *jetstream.Publisher
}

func (c *connection) openSink(t *topic) (*sink, error) {
	if t.config.NoAck {
		return nil, fmt.Errorf("nats: %s: the stream %s acknowledges nothing (no_ack): what is written could be lost without a word",
			t.name, t.stream)
	}
	p, err := c.publisher(t)
	if err != nil {
		return nil, t.explain(err)
	}
	return &sink{t, p}, nil
}

// headerRoom is kept free of the server's limit for key and headers.
const headerRoom = 64 << 10

func (c *connection) publisher(t *topic) (*jetstream.Publisher, error) {
	duplicates := &jetstream.Duplicates{Count: c.duplicates, Log: c.options.Log.With("topic", t.name)}
	message := int(c.conn.MaxPayload())
	value, limited := max(message-headerRoom, message/2), "the server's max_payload, less room for headers"
	if n := int(t.config.MaxMsgSize); n > 0 && n < value {
		value, limited = n, "the stream's max_msg_size"
	}
	return c.api.Publisher(jetstream.Target{
		Subject: t.spread(), MaxValue: value, Limited: limited, MaxMessage: message, Native: true,
		Explain: t.explain, Duplicate: duplicates.Tell, Window: t.config.Duplicates,
	})
}

// spread chooses the partition of a record: by its key, or else in turn.
func (t *topic) spread() func(*messaging.Outgoing) string {
	n, turn := uint32(len(t.subjects)), uint32(0)
	if n == 1 {
		return func(*messaging.Outgoing) string { return t.subjects[0] }
	}
	return func(r *messaging.Outgoing) string {
		if r.Key == nil {
			turn++
			return t.subjects[turn%n]
		}
		return t.subjects[hash(r.Key)%n]
	}
}

// hash is FNV-1a. It is part of what is stored: another one would send a key elsewhere.
func hash(key []byte) uint32 {
	h := fnv.New32a()
	h.Write(key)
	return h.Sum32()
}

func (s *sink) Write(ctx context.Context, records []messaging.Outgoing) error {
	if s.t.c.isClosed() {
		return messaging.ErrClosed
	}
	return s.p.Write(ctx, records)
}

// Info: streams that drop what was read forget ids with a restart of the server.
func (s *sink) Info() messaging.SinkInfo {
	return messaging.SinkInfo{Deduplicates: s.t.limits() && s.t.config.Duplicates > 0, Window: s.p.Window, MaxBytes: s.p.MaxValue, InOrder: true}
}

func (s *sink) Close(context.Context) error {
	s.p.Close()
	return nil
}

// Fates implements messaging.FateKeeper.
func (c *connection) Fates(ctx context.Context, names []string) (messaging.FateWriter, error) {
	var one *topic
	subjects := map[string]string{}
	for _, name := range names {
		t, err := c.topic(ctx, name)
		if err != nil {
			return nil, err
		}
		if len(t.subjects) > 1 {
			return nil, fmt.Errorf("nats: %s: the fate of an event is stored as one only on topics without partitions", name)
		}
		if one != nil && one.stream != t.stream {
			return nil, fmt.Errorf("nats: %s is kept by the stream %s and %s by %s: the fate of an event is stored as one only in one stream. "+
				"Set stream=NAME on the connection, which makes its topics subjects of that stream", one.name, one.stream, name, t.stream)
		}
		one, subjects[name] = t, t.subjects[0]
	}
	if one == nil {
		return nil, fmt.Errorf("connection %s: fates need a topic", c.options.Name)
	}
	if err := c.prepareFates(ctx, one); err != nil {
		return nil, err
	}
	p, err := c.publisher(one)
	if err != nil {
		return nil, one.explain(err)
	}
	return p.Fates(one.stream, subjects, markSubject(one.stream), c.options.Log), nil
}

// prepareFates asks whether the stream can hold fates, and makes it able to.
func (c *connection) prepareFates(ctx context.Context, t *topic) error {
	config := t.config
	refuse := func(why string) error {
		return fmt.Errorf("nats: the stream %s cannot store the fate of an event as one: %s", t.stream, why)
	}
	switch {
	case !t.limits():
		return refuse("it drops what was read, and forgets ids with it when the server restarts. Use retention by limits")
	case config.Duplicates <= 0:
		return refuse("it has no duplicate window")
	case config.NoAck:
		return refuse("it acknowledges nothing (no_ack)")
	}
	mark := markSubject(t.stream)
	marked := false
	for _, s := range config.Subjects {
		marked = marked || covers(mark)(s)
	}
	if marked && config.AllowAtomicPublish {
		return nil
	}
	if !c.settings.create {
		return refuse(fmt.Sprintf("it needs allow_atomic and the subject %s, and create=false keeps us from changing it", mark))
	}
	if !marked {
		config.Subjects = append(append([]string{}, config.Subjects...), mark)
	}
	config.AllowAtomicPublish = true
	changed, err := c.js.UpdateStream(ctx, config)
	if err != nil {
		return refuse(fmt.Sprintf("it needs allow_atomic and the subject %s: %v", mark, err))
	}
	if !allowsBatches(changed.CachedInfo().Config) {
		return refuse("server " + c.conn.ConnectedServerVersion() + " has no atomic batches; 2.12 has")
	}
	return nil
}

func allowsBatches(config natsjs.StreamConfig) bool { return config.AllowAtomicPublish }
