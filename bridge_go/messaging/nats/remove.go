package nats

import (
	"context"
	"errors"
	"slices"

	natsjs "github.com/nats-io/nats.go/jetstream"
)

// Remove implements messaging.Remover. Of a stream that holds other topics too, this one's subjects are taken, with what
// reads them.
func (c *connection) Remove(ctx context.Context, name, _ string) error {
	ctx, cancel := context.WithTimeout(ctx, c.settings.timeout)
	defer cancel()
	t := &topic{c: c, name: name}
	info, err := t.find(ctx)
	if errors.Is(err, natsjs.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return t.explain(err)
	}
	if err := t.describe(ctx, info); err != nil {
		return err
	}
	rest := slices.DeleteFunc(slices.Clone(t.config.Subjects), func(s string) bool { return slices.Contains(t.subjects, s) })
	if len(rest) == 0 || len(rest) == 1 && rest[0] == markSubject(t.stream) {
		return t.explain(c.js.DeleteStream(ctx, t.stream))
	}
	return t.explain(t.leave(ctx, rest))
}

// leave takes the topic out of a stream that keeps the rest.
func (t *topic) leave(ctx context.Context, rest []string) error {
	s, err := t.c.js.Stream(ctx, t.stream)
	if err != nil {
		return err
	}
	readers := s.ListConsumers(ctx)
	for r := range readers.Info() {
		if r.Config.FilterSubject != "" && slices.Contains(t.subjects, r.Config.FilterSubject) {
			if err := s.DeleteConsumer(ctx, r.Name); err != nil {
				return err
			}
		}
	}
	if err := readers.Err(); err != nil {
		return err
	}
	for _, subject := range t.subjects {
		if err := s.Purge(ctx, natsjs.WithPurgeSubject(subject)); err != nil {
			return err
		}
	}
	config := t.config
	config.Subjects = rest
	_, err = t.c.js.UpdateStream(ctx, config)
	return err
}
