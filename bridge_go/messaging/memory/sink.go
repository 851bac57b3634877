package memory

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

type sink struct {
	t        *topic
	maxValue int
}

// Write copies the records' bytes into one block per call: what a caller hands over points into frames, which would
// otherwise be held as long as the topic holds any event of them.
func (s *sink) Write(ctx context.Context, records []messaging.Outgoing) error {
	var failed []messaging.WriteFailure
	block, now := make(block, 0, s.bytes(records)), time.Now().UnixNano()
	defer s.t.wake()
	for i := range records {
		r := &records[i]
		if s.maxValue > 0 && len(r.Value) > s.maxValue {
			err := fmt.Errorf("value of %d bytes is over the limit of %d", len(r.Value), s.maxValue)
			failed = append(failed, messaging.WriteFailure{Index: i, Permanent: true, Err: err})
			continue
		}
		if err := s.t.append(ctx, block.record(&r.Record, now), r.ID); err != nil {
			return err
		}
	}
	if failed != nil {
		return &messaging.WriteError{Failed: failed}
	}
	return nil
}

func (s *sink) Info() messaging.SinkInfo {
	return messaging.SinkInfo{Deduplicates: true, MaxBytes: s.maxValue, InOrder: true}
}

func (s *sink) Close(context.Context) error { return nil }

func (s *sink) bytes(records []messaging.Outgoing) int {
	n := 0
	for i := range records {
		n += len(records[i].Key) + len(records[i].Value)
		for _, h := range records[i].Headers {
			n += len(h.Value)
		}
	}
	return n
}

func (t *topic) wake() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.announce()
}

// A block holds the bytes of one Write.
type block []byte

func (b *block) record(r *messaging.Record, now int64) messaging.Record {
	kept := messaging.Record{Key: b.copy(r.Key), Value: b.copy(r.Value), Time: cmp.Or(r.Time, now)}
	if len(r.Headers) > 0 {
		kept.Headers = make([]messaging.Header, len(r.Headers))
		for i, h := range r.Headers {
			kept.Headers[i] = messaging.Header{Name: h.Name, Value: b.copy(h.Value)}
		}
	}
	return kept
}

// copy keeps nil and empty apart.
func (b *block) copy(data []byte) []byte {
	if data == nil {
		return nil
	}
	from := len(*b)
	*b = append(*b, data...)
	return (*b)[from:len(*b):len(*b)]
}

// A discard sink counts. The count is the topic's end, for Browse.
type discard struct{ t *topic }

func (d *discard) Write(_ context.Context, records []messaging.Outgoing) error {
	d.t.mu.Lock()
	defer d.t.mu.Unlock()
	d.t.nextOff += int64(len(records))
	d.t.dropped = d.t.nextOff
	return nil
}

func (d *discard) Info() messaging.SinkInfo    { return messaging.SinkInfo{InOrder: true} }
func (d *discard) Close(context.Context) error { return nil }
