package embedded

import (
	"context"
	"fmt"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/messaging/jetstream"
)

type sink struct {
	t *topic
	p *jetstream.Publisher
}

func (c *connection) openSink(t *topic) (*sink, error) {
	p, err := c.publisher(t)
	if err != nil {
		return nil, t.explain(err)
	}
	return &sink{t, p}, nil
}

// publisher writes to a topic. What could not be stored is the caller's to write again, with the same IDs.
func (c *connection) publisher(t *topic) (*jetstream.Publisher, error) {
	duplicates := &jetstream.Duplicates{Count: c.duplicates, Log: c.options.Log.With("topic", t.name)}
	return c.engine.api.Publisher(jetstream.Target{
		Subject:  func(*messaging.Outgoing) string { return t.subject },
		MaxValue: int(c.settings.maxValue), Limited: "max_value", MaxMessage: int(c.settings.maxValue) + headerRoom,
		Explain: t.explain, Duplicate: duplicates.Tell, Window: window(c.settings),
	})
}

func (s *sink) Write(ctx context.Context, records []messaging.Outgoing) error {
	defer s.t.announce()
	return s.p.Write(ctx, records)
}

func (s *sink) Info() messaging.SinkInfo {
	return messaging.SinkInfo{Deduplicates: true, Window: s.p.Window, MaxBytes: s.p.MaxValue, InOrder: true}
}

func (s *sink) Close(context.Context) error {
	s.p.Close()
	return nil
}

// Fates implements messaging.FateKeeper.
func (c *connection) Fates(ctx context.Context, names []string) (messaging.FateWriter, error) {
	if c.settings.stream == "" {
		return nil, fmt.Errorf("connection %s: the fate of an event is stored as one only in one stream: set stream=NAME on the connection, "+
			"which makes its topics parts of that stream", c.options.Name)
	}
	w := &fates{}
	subjects := map[string]string{}
	for _, name := range names {
		t, err := c.topic(ctx, name)
		if err != nil {
			return nil, err
		}
		subjects[name] = t.subject
		w.topics = append(w.topics, t)
	}
	if len(w.topics) == 0 {
		return nil, fmt.Errorf("connection %s: fates need a topic", c.options.Name)
	}
	t := w.topics[0]
	p, err := c.publisher(t)
	if err != nil {
		return nil, t.explain(err)
	}
	w.Fates = p.Fates(t.stream, subjects, markSubject(t.stream), c.options.Log)
	return w, nil
}

// fates tells the readers of its topics of what it writes.
type fates struct {
	*jetstream.Fates
	topics []*topic
}

func (w *fates) WriteFates(ctx context.Context, all []messaging.FateWrite) error {
	defer func() {
		for _, t := range w.topics {
			t.announce()
		}
	}()
	return w.Fates.WriteFates(ctx, all)
}
