package redis

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// One round trip takes so much of a write.
const (
	flightEvents = 1000
	flightBytes  = 8 << 20
)

// headerRoom is what key and headers may take.
const headerRoom = 16 << 20

type sink struct {
	c     *connection
	topic string

	told     time.Time // when duplicates were last logged
	repeated int       // duplicates since
}

func (c *connection) openSink(topic string) *sink { return &sink{c: c, topic: topic} }

func (s *sink) Info() messaging.SinkInfo {
	return messaging.SinkInfo{Deduplicates: s.c.settings.dedup > 0, Window: s.c.settings.dedup, MaxBytes: int(s.c.settings.maxValue)}
}

func (s *sink) Close(context.Context) error { return nil }

// Write sends the records in a few round trips, in order.
func (s *sink) Write(ctx context.Context, records []messaging.Outgoing) error {
	if err := s.c.usable(s.topic); err != nil {
		return err
	}
	var failed []messaging.WriteFailure
	for begin := 0; begin < len(records); {
		end, refused := s.cut(records, begin)
		failed = append(failed, refused...)
		more, err := s.send(ctx, records, begin, end, refused)
		if err != nil {
			return fmt.Errorf("redis: write %s: %w", s.topic, err)
		}
		failed = append(failed, more...)
		begin = end
	}
	if failed == nil {
		return nil
	}
	slices.SortFunc(failed, func(a, b messaging.WriteFailure) int { return a.Index - b.Index })
	return &messaging.WriteError{Failed: failed}
}

// cut finds the end of one round trip, and the records in it that are too large to be sent.
func (s *sink) cut(records []messaging.Outgoing, begin int) (end int, refused []messaging.WriteFailure) {
	bytes := 0
	for end = begin; end < len(records) && end-begin < flightEvents; end++ {
		r := &records[end]
		above := overhead(r)
		if err := s.tooLarge(len(r.Value), above); err != nil {
			refused = append(refused, messaging.WriteFailure{Index: end, Permanent: true, Err: err})
			continue
		}
		size := len(r.Value) + above
		if bytes += size; bytes > flightBytes && bytes > size {
			break
		}
	}
	return end, refused
}

func (s *sink) tooLarge(value, above int) error {
	switch {
	case int64(value) > s.c.settings.maxValue:
		return fmt.Errorf("value of %d bytes is over the limit of %d (max_value)", value, s.c.settings.maxValue)
	case above > headerRoom:
		return fmt.Errorf("key and headers take %d bytes, at most %d are possible", above, headerRoom)
	}
	return nil
}

// send is one round trip.
func (s *sink) send(ctx context.Context, records []messaging.Outgoing, begin, end int, refused []messaging.WriteFailure) ([]messaging.WriteFailure, error) {
	indexes := make([]int, 0, end-begin)
	for i := begin; i < end; i++ {
		if len(refused) > 0 && refused[0].Index == i {
			refused = refused[1:]
			continue
		}
		indexes = append(indexes, i)
	}
	if len(indexes) == 0 {
		return nil, nil
	}
	if s.c.settings.dedup > 0 {
		return s.once(ctx, records, indexes)
	}
	commands := make([]rueidis.Completed, 0, len(indexes)+1)
	trim := s.trim()
	for _, i := range indexes {
		commands = append(commands, s.c.client.B().Arbitrary("XADD").Keys(s.topic).Args(encode(trim, &records[i])...).Build())
	}
	return s.outcome(ctx, records, indexes, s.run(ctx, commands))
}

// run sends commands, and waits for the replicas on the same connection where the settings ask for them.
func (s *sink) run(ctx context.Context, commands []rueidis.Completed) []rueidis.RedisResult {
	if s.c.settings.replicas == 0 {
		return s.c.client.RunAll(ctx, commands)
	}
	within := s.c.client.Timeout * 3 / 4
	b := s.c.client.B()
	return s.c.client.RunAll(ctx, append(commands, b.Wait().Numreplicas(s.c.settings.replicas).Timeout(within.Milliseconds()).Build()))
}

// trim is the beginning of an XADD: how far to trim, and that the server makes the id. It has no room behind, so that each
// command appends to a copy.
func (s *sink) trim() []string {
	var args []string
	switch {
	case s.c.settings.maxLength > 0:
		args = []string{"MAXLEN", "~", strconv.FormatInt(s.c.settings.maxLength, 10)}
	case s.c.settings.maxAge > 0:
		args = []string{"MINID", "~", strconv.FormatInt(time.Now().Add(-s.c.settings.maxAge).UnixMilli(), 10)}
	}
	return slices.Clip(append(args, "*"))
}

// once writes records with an id unless that is known, and the others as they are: all by scripts, so that order is kept.
func (s *sink) once(ctx context.Context, records []messaging.Outgoing, indexes []int) ([]messaging.WriteFailure, error) {
	window := strconv.FormatInt(s.c.settings.dedup.Milliseconds(), 10)
	lead := slices.Clip(append([]string{window}, s.trim()...))
	commands := make([]rueidis.Completed, 0, len(indexes)+1)
	b := s.c.client.B()
	for _, i := range indexes {
		r := &records[i]
		if r.ID == "" {
			commands = append(commands, b.Arbitrary("XADD").Keys(s.topic).Args(encode(lead[1:], r)...).Build())
			continue
		}
		commands = append(commands, b.Arbitrary("EVAL", addOnceText, "2").Keys(s.topic, idKey(s.topic, r.ID)).Args(encode(lead, r)...).Build())
	}
	return s.outcome(ctx, records, indexes, s.run(ctx, commands))
}

// outcome reads the answers. One that did not come says nothing about any of the records; a refusal is of one record, and is
// for good only when the record itself is what the server will not have.
func (s *sink) outcome(ctx context.Context, records []messaging.Outgoing, indexes []int, answers []rueidis.RedisResult) (failed []messaging.WriteFailure, err error) {
	var last string
	for n, i := range indexes {
		name, err := answers[n].ToString()
		refused, isRefusal := rueidis.IsRedisErr(err)
		switch {
		case err == nil:
			last = name
		case rueidis.IsRedisNil(err):
			s.tellDuplicate(records[i].ID)
		case isRefusal:
			failed = append(failed, messaging.WriteFailure{Index: i, Permanent: forGood(refused), Err: refused})
		default:
			return nil, err
		}
	}
	if s.c.settings.replicas > 0 {
		if err := s.replicated(answers[len(answers)-1]); err != nil {
			return nil, err
		}
	}
	return failed, s.moveOn(ctx, last)
}

// forGood lists what will be refused again however often it is tried. Memory, rights and a server that loads or is a replica may change.
func forGood(err *rueidis.RedisError) bool {
	text := err.Error()
	return strings.Contains(text, "invalid bulk length") || strings.Contains(text, "string exceeds maximum allowed size")
}

func (s *sink) replicated(answer rueidis.RedisResult) error {
	n, err := answer.AsInt64()
	if err != nil {
		return err
	}
	if n < s.c.settings.replicas {
		return fmt.Errorf("%d replicas have the records, wait_replicas asks for %d", n, s.c.settings.replicas)
	}
	return nil
}

// moveOn keeps ids within what an offset can hold. A server whose clock went back counts on under the last millisecond; from half of what
// there is room for the stream is told to count under the next one. Another writer may have done so already.
func (s *sink) moveOn(ctx context.Context, last string) error {
	if last == "" {
		return nil
	}
	i, err := parseID(last)
	if err != nil || i.seq <= maxSeq/2 {
		return err
	}
	next := id{i.ms + 1, 0}.String()
	err = s.c.client.Run(ctx, s.c.client.B().Arbitrary("XSETID").Keys(s.topic).Args(next).Build()).Error()
	if _, refused := rueidis.IsRedisErr(err); refused {
		return nil
	}
	s.c.options.Log.Warn("the server's clock went back: its ids are moved on by a millisecond", "topic", s.topic, "id", next)
	return err
}

// tellEvery bounds how often duplicates are logged. The metric counts them all.
const tellEvery = 10 * time.Second

// tellDuplicate is loud, because it means one of two things: work done again after a crash, whose outputs were stored already,
// or two different outputs with one ID, of which the second is gone.
func (s *sink) tellDuplicate(id string) {
	s.c.duplicates.Inc()
	s.repeated++
	if time.Since(s.told) < tellEvery {
		return
	}
	s.c.options.Log.Warn("the store has records with these ids already; right after a restart that is expected, otherwise it is not",
		"topic", s.topic, "records", s.repeated, "one", id)
	s.told, s.repeated = time.Now(), 0
}
