package nats

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/messaging/jetstream"
)

// pinGroup is the one priority group of our consumers, by which the server pins a reader.
const pinGroup = "reader"

// metaGeneration is how often the group was moved back.
const metaGeneration = "ds-generation"

// consumerName makes a name of a consumer of a group, a topic and a partition, which differs wherever one of them does.
func (t *topic) consumerName(group string, partition int) string {
	name := consumerText(group) + "~" + consumerText(t.name)
	if len(t.subjects) > 1 {
		name += "~" + strconv.Itoa(partition)
	}
	return name
}

// consumerText writes / as _ and what a consumer's name cannot hold, _ included, as =XX.
func consumerText(text string) string {
	out := make([]byte, 0, len(text))
	for _, b := range []byte(text) {
		switch {
		case b == '/':
			out = append(out, '_')
		case b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '-':
			out = append(out, b)
		default:
			out = fmt.Appendf(out, "=%02X", b)
		}
	}
	return string(out)
}

// wanted is the consumer of a group that begins at a sequence, or with 0 at the oldest record.
func (t *topic) wanted(group string, partition int, start int64, generation int) natsjs.ConsumerConfig {
	s := t.c.settings
	name := t.consumerName(group, partition)
	config := natsjs.ConsumerConfig{
		Name: name, Durable: name, Description: "made by ds-runner for " + group,
		AckPolicy: natsjs.AckAllPolicy, AckWait: s.ackWait, MaxAckPending: s.inFlight, MaxDeliver: -1,
		DeliverPolicy: natsjs.DeliverAllPolicy, FilterSubject: t.subjects[partition],
		PriorityPolicy: natsjs.PriorityPolicyPinned, PriorityGroups: []string{pinGroup}, PinnedTTL: s.takeover,
		Metadata: map[string]string{metaGeneration: strconv.Itoa(generation)},
	}
	if start > 0 {
		config.DeliverPolicy, config.OptStartSeq = natsjs.DeliverByStartSequencePolicy, uint64(start)
	}
	if s.shared {
		config.AckPolicy, config.PriorityPolicy, config.PriorityGroups, config.PinnedTTL = natsjs.AckExplicitPolicy, natsjs.PriorityPolicyNone, nil, 0
	}
	return config
}

// consumer finds a partition's consumer of a group, or makes it, and asks whether it can be worked with.
func (t *topic) consumer(ctx context.Context, group string, partition int) (*natsjs.ConsumerInfo, error) {
	want := t.wanted(group, partition, 0, 0)
	found, err := t.c.js.Consumer(ctx, t.stream, want.Name)
	if errors.Is(err, natsjs.ErrConsumerNotFound) {
		return t.makeConsumer(ctx, want)
	}
	if err != nil {
		return nil, t.explain(err)
	}
	info := found.CachedInfo()
	if err := t.suits(info.Config, want); err != nil {
		return nil, err
	}
	have := info.Config
	if have.AckWait == want.AckWait && have.MaxAckPending == want.MaxAckPending && have.PinnedTTL == want.PinnedTTL {
		return info, nil
	}
	have.AckWait, have.MaxAckPending, have.PinnedTTL = want.AckWait, want.MaxAckPending, want.PinnedTTL
	changed, err := t.c.js.UpdateConsumer(ctx, t.stream, have)
	if err != nil {
		return nil, t.explain(fmt.Errorf("setting ack_wait, in_flight and takeover of the consumer %s: %w", have.Name, err))
	}
	return changed.CachedInfo(), nil
}

func (t *topic) makeConsumer(ctx context.Context, config natsjs.ConsumerConfig) (*natsjs.ConsumerInfo, error) {
	made, err := t.c.js.CreateConsumer(ctx, t.stream, config)
	if errors.Is(err, natsjs.ErrConsumerExists) { // another reader was faster
		made, err = t.c.js.Consumer(ctx, t.stream, config.Name)
	}
	if err != nil {
		return nil, t.explain(fmt.Errorf("making the consumer %s: %w", config.Name, err))
	}
	return made.CachedInfo(), nil
}

// suits refuses a consumer that would lose messages, or that works in another way than this connection.
func (t *topic) suits(have, want natsjs.ConsumerConfig) error {
	refuse := func(why string) error {
		return fmt.Errorf("nats: %s: the consumer %s of the stream %s %s", t.name, have.Name, t.stream, why)
	}
	other := "Read with another command name, or delete it with `nats consumer rm` and set the position with `ds-runner seek`"
	switch {
	case have.MaxDeliver > 0:
		return refuse(fmt.Sprintf("has MaxDeliver %d: it would drop a message that was delivered so often, and our crashes count too. "+
			"Set it to -1 with `nats consumer edit --max-deliver=-1`", have.MaxDeliver))
	case len(have.BackOff) > 0:
		return refuse("has a back-off of its own, which would deliver again what is being worked on. Remove it")
	case have.DeliverSubject != "":
		return refuse("is a push consumer. " + other)
	case have.AckPolicy != want.AckPolicy:
		return refuse(fmt.Sprintf("acknowledges by %s, and shared=%v needs %s. %s", have.AckPolicy, t.c.settings.shared, want.AckPolicy, other))
	case have.PriorityPolicy != want.PriorityPolicy:
		return refuse("does not pin its reader, or pins one that shall be shared. " + other)
	case have.FilterSubject != want.FilterSubject || len(have.FilterSubjects) > 0:
		return refuse(fmt.Sprintf("reads %s%v and not %s. %s", have.FilterSubject, have.FilterSubjects, want.FilterSubject, other))
	}
	return nil
}

// A standing is how far a consumer is.
type standing struct {
	Delivered struct {
		Consumer int64 `json:"consumer_seq"`
		Stream   int64 `json:"stream_seq"`
	} `json:"delivered"`
	Floor struct {
		Consumer int64 `json:"consumer_seq"`
		Stream   int64 `json:"stream_seq"`
	} `json:"ack_floor"`
	Unsettled int   `json:"num_ack_pending"`
	Waiting   int   `json:"num_waiting"`
	Pending   int64 `json:"num_pending"`
	Config    struct {
		Start int64 `json:"opt_start_seq"`
	} `json:"config"`
	Groups []struct {
		Pin string `json:"pinned_client_id"`
	} `json:"priority_groups"`
}

func (s *standing) pin() string {
	if len(s.Groups) == 0 {
		return ""
	}
	return s.Groups[0].Pin
}

func (t *topic) standing(ctx context.Context, consumer string) (s standing, err error) {
	err = t.c.api.Call(ctx, "CONSUMER.INFO."+t.stream+"."+consumer, nil, &s)
	s.Floor.Stream = max(s.Floor.Stream, s.Config.Start-1) // which is 0 until something was acknowledged
	return s, err
}

// unpin lets the server pin another reader at once.
func (t *topic) unpin(ctx context.Context, consumer string) error {
	return t.c.api.Call(ctx, "CONSUMER.UNPIN."+t.stream+"."+consumer, []byte(`{"group":"`+pinGroup+`"}`), nil)
}

// Seek implements messaging.Seeker: a consumer is made again where it is to go on.
func (c *connection) Seek(ctx context.Context, name, group string, to messaging.Target, dry bool) ([]messaging.Move, error) {
	t, err := c.topic(ctx, name)
	if err != nil {
		return nil, err
	}
	if group == "" {
		return nil, fmt.Errorf("nats: %s: no group, no position: %w", name, messaging.ErrNotSupported)
	}
	if !dry {
		if !c.readers.Join(t.key(), group) {
			return nil, fmt.Errorf("nats: %s, group %s: %w", name, group, messaging.ErrBusy)
		}
		defer c.readers.Leave(t.key(), group)
	}
	generation, err := t.generation(ctx, group)
	if err != nil {
		return nil, err
	}
	moves, err := t.moves(ctx, group, to)
	if err != nil || dry {
		return moves, err
	}
	for _, m := range moves {
		if m.To < m.From {
			generation++
			break
		}
	}
	for p := range t.subjects {
		if err := t.move(ctx, group, p, moves, generation); err != nil {
			return nil, err
		}
	}
	return moves, nil
}

// moves are those of the partitions that a target means.
func (t *topic) moves(ctx context.Context, group string, to messaging.Target) (moves []messaging.Move, err error) {
	first, end, err := t.state(ctx)
	if err != nil {
		return nil, err
	}
	for p, subject := range t.subjects {
		if to.Kind == messaging.TargetOffset && to.Partition >= 0 && int(to.Partition) != p {
			continue
		}
		m := messaging.Move{Partition: int32(p), From: -1, End: end}
		at, err := t.standing(ctx, t.consumerName(group, p))
		switch {
		case err == nil:
			m.From = at.Floor.Stream + 1
		case !jetstream.HasCode(err, jetstream.CodeNoConsumer):
			return nil, t.explain(err)
		}
		log := jetstream.Log{Stream: t.stream, Subject: subject, First: min(first, end), End: end}
		if m.To, err = t.c.api.Find(ctx, log, to); err != nil {
			return nil, t.explain(err)
		}
		moves = append(moves, m)
	}
	if len(moves) == 0 {
		return nil, fmt.Errorf("nats: %s has %d partitions, and none is %d", t.name, len(t.subjects), to.Partition)
	}
	return moves, nil
}

// move makes the consumer of a partition again at its new place, or with its new generation where it is.
func (t *topic) move(ctx context.Context, group string, partition int, moves []messaging.Move, generation int) error {
	name := t.consumerName(group, partition)
	at, err := t.standing(ctx, name)
	missing := jetstream.HasCode(err, jetstream.CodeNoConsumer)
	if err != nil && !missing {
		return t.explain(err)
	}
	if at.pin() != "" || at.Waiting > 0 {
		return fmt.Errorf("nats: %s, group %s is being read by another process: %w", t.name, group, messaging.ErrBusy)
	}
	start := max(at.Floor.Stream+1, 1)
	if missing {
		start = 0
	}
	for _, m := range moves {
		if int(m.Partition) == partition {
			start = max(m.To, 1)
		}
	}
	if !missing {
		if err := t.c.api.Call(ctx, "CONSUMER.DELETE."+t.stream+"."+name, nil, nil); err != nil {
			return t.explain(err)
		}
	}
	_, err = t.makeConsumer(ctx, t.wanted(group, partition, start, generation))
	return err
}

// Generation implements messaging.Seeker.
func (c *connection) Generation(ctx context.Context, name, group string) (int, error) {
	t, err := c.topic(ctx, name)
	if err != nil || group == "" {
		return 0, err
	}
	return t.generation(ctx, group)
}

// generation is the highest of the partitions' consumers: a seek that was cut off has moved some.
func (t *topic) generation(ctx context.Context, group string) (highest int, err error) {
	for p := range t.subjects {
		var answer struct {
			Config struct {
				Metadata map[string]string `json:"metadata"`
			} `json:"config"`
		}
		err := t.c.api.Call(ctx, "CONSUMER.INFO."+t.stream+"."+t.consumerName(group, p), nil, &answer)
		if jetstream.HasCode(err, jetstream.CodeNoConsumer) {
			continue
		}
		if err != nil {
			return 0, t.explain(err)
		}
		n, _ := strconv.Atoi(answer.Config.Metadata[metaGeneration])
		highest = max(highest, n)
	}
	return highest, nil
}

func (t *topic) key() string { return t.stream + " " + t.name }

// ephemeralLife is how long the server keeps the consumer of a reader without a group that has gone.
const ephemeralLife = time.Minute

// ephemeral makes the consumer of a reader without a group.
func (t *topic) ephemeral(ctx context.Context, partition int) (string, error) {
	made, err := t.c.js.CreateConsumer(ctx, t.stream, natsjs.ConsumerConfig{
		AckPolicy: natsjs.AckNonePolicy, DeliverPolicy: natsjs.DeliverAllPolicy, FilterSubject: t.subjects[partition],
		InactiveThreshold: ephemeralLife, MemoryStorage: true, Replicas: 1,
	})
	if err != nil {
		return "", t.explain(fmt.Errorf("making a consumer: %w", err))
	}
	return made.CachedInfo().Name, nil
}
