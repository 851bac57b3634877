package control

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/tinylib/msgp/msgp"

	"ds-runner.dev/ds-runner/bridge_go/arguments"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// publish stores records at the end of a stream. They are durable when it answers.
func (k *Control) publish(ctx context.Context, r *request) ([]byte, error) {
	name := r.Text("stream")
	var records []messaging.Outgoing
	r.List("records", func(item *arguments.Arguments) {
		item.Tuple(fmt.Sprintf("records[%d]", len(records)), func(fields *arguments.Arguments) {
			records = append(records, messaging.Outgoing{Record: recordOf(fields)})
		})
	})
	if r.End(); r.Err != nil {
		return nil, r.Err
	}
	s, err := k.spoken(ctx, name)
	if err != nil {
		return nil, err
	}
	if err := s.write(ctx, records); err != nil {
		return nil, refused(err, len(records))
	}
	return msgp.AppendInt(nil, len(records)), nil
}

// recordOf reads [value, key?, headers?, timestamp?].
func recordOf(a *arguments.Arguments) messaging.Record {
	r := messaging.Record{Value: a.Bytes("value")}
	if a.More() {
		r.Key = a.Bytes("key")
	}
	if a.More() && !a.SkipNil() {
		a.List("headers", func(pair *arguments.Arguments) {
			r.Headers = append(r.Headers, messaging.Header{Name: pair.Text("header name"), Value: pair.Bytes("header value")})
		})
	}
	if a.More() && !a.SkipNil() {
		r.Time = a.Number("timestamp", 0, math.MaxInt64)
	}
	return r
}

// refused says which record is the trouble. The others are stored.
func refused(err error, n int) error {
	var failed *messaging.WriteError
	if !errors.As(err, &failed) {
		return err
	}
	first := failed.Failed[0]
	return &wire.CallError{Code: "write_refused", Retry: !first.Permanent,
		Reason: fmt.Sprintf("%d of %d records were refused, the others are stored. Record %d: %v", len(failed.Failed), n, first.Index, first.Err)}
}

// write opens a sink for one call: the routes' own sinks have one writer each.
func (s *stream) write(ctx context.Context, records []messaging.Outgoing) error {
	sink, err := s.conn.Sink(ctx, messaging.SinkConfig{Topic: s.topic})
	if err != nil {
		return err
	}
	return errors.Join(sink.Write(ctx, records), sink.Close(ctx))
}

const (
	maxTail = 10_000
	// An answer has at most so many bytes and values, but always one record: well below the frame's limits.
	answerBytes  = 4 << 20
	answerValues = 200_000
	// answerTime is kept back of a call's time, so that an empty answer comes rather than none.
	answerTime = 200 * time.Millisecond
)

// tail reads records without a group.
func (k *Control) tail(ctx context.Context, r *request) ([]byte, error) {
	name, from := r.Text("stream"), messaging.Cursor(r.Text("cursor"))
	limit, wait := r.Number("max", 0, maxTail), time.Duration(r.Number("wait_ms", 0, math.MaxInt32))*time.Millisecond
	if r.End(); r.Err != nil {
		return nil, r.Err
	}
	if _, err := from.Next(); err != nil && from != messaging.Newest {
		return nil, badArguments("tail: cursor", err)
	}
	s, err := k.spoken(ctx, name)
	if err != nil {
		return nil, err
	}
	found, after, err := s.browse(ctx, from, int(limit), wait)
	if err != nil {
		return nil, err
	}
	if fit := fitting(found); fit < len(found) {
		if found, after, err = s.browse(ctx, from, fit, 0); err != nil {
			return nil, err
		}
	}
	out := msgp.AppendArrayHeader(nil, 2)
	out = msgp.AppendArrayHeader(out, uint32(len(found)))
	for i := range found {
		out = appendRecord(out, &found[i])
	}
	return msgp.AppendString(out, string(after)), nil
}

// browse waits for the first record, but not so long that the call ends without an answer.
func (s *stream) browse(ctx context.Context, from messaging.Cursor, limit int, wait time.Duration) ([]messaging.Record, messaging.Cursor, error) {
	if deadline, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(deadline)-answerTime)
	}
	if limit == 0 && from != messaging.Newest {
		return nil, from, nil
	}
	ctx, cancel := context.WithTimeout(ctx, max(wait, answerTime))
	defer cancel()
	return s.conn.Browse(ctx, s.topic, from, limit)
}

// fitting is how many records an answer holds.
func fitting(records []messaging.Record) int {
	bytes, values := 0, 0
	for i := range records {
		r := &records[i]
		bytes += len(r.Key) + len(r.Value) + 64
		values += 7 + 2*len(r.Headers)
		for _, h := range r.Headers {
			bytes += len(h.Name) + len(h.Value) + 10
		}
		if i > 0 && (bytes > answerBytes || values > answerValues) {
			return i
		}
	}
	return len(records)
}

// appendRecord writes [partition, offset, timestamp, key, value, headers], headers as BATCH has them: name and value in turn.
func appendRecord(b []byte, r *messaging.Record) []byte {
	b = msgp.AppendArrayHeader(b, 6)
	b = msgp.AppendInt64(msgp.AppendInt64(msgp.AppendInt64(b, int64(r.Partition)), r.Offset), r.Time)
	b = appendBytes(appendBytes(b, r.Key), r.Value)
	b = msgp.AppendArrayHeader(b, uint32(2*len(r.Headers)))
	for _, h := range r.Headers {
		b = appendBytes(msgp.AppendString(b, wire.Text(h.Name, math.MaxInt)), h.Value)
	}
	return b
}

func appendBytes(b, data []byte) []byte {
	if data == nil {
		return msgp.AppendNil(b)
	}
	return msgp.AppendBytes(b, data)
}
