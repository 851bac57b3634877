package embedded

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// Records on their way to the store in one sink. The server holds 10,000 messages or 128 MiB of a topic before it refuses.
const (
	flightEvents = 1024
	flightBytes  = 16 << 20
)

// ackPatience is how long a write waits without any acknowledgement before it gives up. The caller then writes again, with the
// same IDs.
const ackPatience = 10 * time.Second

type sink struct {
	c    *connection
	t    *topic
	sub  *nats.Subscription
	acks chan *nats.Msg
	once sync.Once

	inbox    string
	writes   int
	told     time.Time // when duplicates were last logged
	repeated int       // duplicates since
}

func (c *connection) openSink(t *topic) (*sink, error) {
	s := &sink{c: c, t: t, inbox: t.engine.conn.NewInbox(), acks: make(chan *nats.Msg, 2*flightEvents)}
	var err error
	if s.sub, err = t.engine.conn.ChanSubscribe(s.inbox+".*", s.acks); err != nil {
		return nil, t.explain(err)
	}
	return s, nil
}

// A flight is one Write: what is on its way and what came of it.
type flight struct {
	s       *sink
	records []messaging.Outgoing
	prefix  string // of the subjects that its acknowledgements come to
	count   int    // on their way
	bytes   int
	size    []int // of each record, 0 when it is not on its way
	failed  []messaging.WriteFailure
	stale   *time.Timer
}

// Write sends all records and waits for all acknowledgements, a bounded number of them outstanding.
func (s *sink) Write(ctx context.Context, records []messaging.Outgoing) error {
	s.writes++
	f := &flight{
		s: s, records: records, size: make([]int, len(records)), stale: time.NewTimer(ackPatience),
		prefix: s.inbox + "." + strconv.Itoa(s.writes) + "-",
	}
	defer f.stale.Stop()
	defer s.t.announce()
	for i := range records {
		if err := f.send(ctx, i); err != nil {
			return err
		}
	}
	for f.count > 0 {
		if err := f.await(ctx); err != nil {
			return err
		}
	}
	return f.outcome()
}

func (f *flight) send(ctx context.Context, i int) error {
	r := &f.records[i]
	if limit := int(f.s.c.settings.maxValue); len(r.Value) > limit {
		f.refuse(i, fmt.Errorf("value of %d bytes is over the limit of %d (max_value)", len(r.Value), limit))
		return nil
	}
	m := nats.Msg{Subject: f.s.t.subject, Reply: f.prefix + strconv.Itoa(i)}
	encode(r, &m)
	size := len(m.Data) + len(first(m.Header, headerKey)) + len(r.ID) + packAbove
	if size > int(f.s.c.settings.maxValue)+headerRoom || len(r.Key) > packAbove/3 {
		f.refuse(i, fmt.Errorf("key and headers take %d bytes, which the store cannot hold", size-len(r.Value)))
		return nil
	}
	for f.count >= flightEvents || f.count > 0 && f.bytes+size > flightBytes {
		if err := f.await(ctx); err != nil {
			return err
		}
	}
	if err := f.s.t.engine.conn.PublishMsg(&m); err != nil {
		return f.s.t.explain(err)
	}
	f.size[i] = size
	f.count++
	f.bytes += size
	return nil
}

// await takes one acknowledgement.
func (f *flight) await(ctx context.Context) error {
	select {
	case m := <-f.s.acks:
		return f.settle(m)
	case <-f.stale.C:
		return f.s.t.explain(fmt.Errorf("%d records were not acknowledged within %s", f.count, ackPatience))
	case <-f.s.t.engine.closed:
		return messaging.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *flight) settle(m *nats.Msg) error {
	number, ours := strings.CutPrefix(m.Subject, f.prefix)
	i, err := strconv.Atoi(number)
	if !ours || err != nil || i < 0 || i >= len(f.size) || f.size[i] == 0 {
		return nil // of a write that was given up
	}
	f.stale.Reset(ackPatience)
	f.bytes -= f.size[i]
	f.size[i] = 0
	f.count--
	duplicate, err := readAck(m)
	if duplicate {
		f.s.tellDuplicate(f.records[i].ID)
	}
	if err != nil {
		f.failed = append(f.failed, messaging.WriteFailure{Index: i, Permanent: hasCode(err, codeMessageTooLarge, codeHeaderTooLarge), Err: f.s.t.explain(err)})
	}
	return nil
}

func (f *flight) refuse(i int, err error) {
	f.failed = append(f.failed, messaging.WriteFailure{Index: i, Permanent: true, Err: err})
}

func (f *flight) outcome() error {
	if f.failed == nil {
		return nil
	}
	slices.SortFunc(f.failed, func(a, b messaging.WriteFailure) int { return a.Index - b.Index })
	return &messaging.WriteError{Failed: f.failed}
}

// readAck reads {"stream":"a","seq":1,"duplicate":true}, or an error. All but errors are read without decoding: the last field
// is there only when it is true, and names of streams hold no quotes.
func readAck(m *nats.Msg) (duplicate bool, err error) {
	if status := first(m.Header, headerStatus); status != "" {
		return false, fmt.Errorf("the store does not answer (%s)", status)
	}
	if bytes.HasPrefix(m.Data, []byte(`{"stream":`)) && !bytes.Contains(m.Data, []byte(`"error"`)) {
		return bytes.Contains(m.Data, []byte(`"duplicate":`)), nil
	}
	var ack struct {
		Error     *apiError `json:"error"`
		Duplicate bool      `json:"duplicate"`
	}
	if err := json.Unmarshal(m.Data, &ack); err != nil {
		return false, fmt.Errorf("acknowledgement %.100q: %w", m.Data, err)
	}
	if ack.Error != nil {
		return false, ack.Error
	}
	return ack.Duplicate, nil
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
		"topic", s.t.name, "records", s.repeated, "one", id)
	s.told, s.repeated = time.Now(), 0
}

func (s *sink) Info() messaging.SinkInfo {
	return messaging.SinkInfo{Deduplicates: true, MaxBytes: int(s.c.settings.maxValue)}
}

func (s *sink) Close(context.Context) error {
	s.once.Do(func() { s.sub.Unsubscribe() })
	return nil
}
