// Package formats turns payloads that are not JSON into the JSON that models read, and results into what a stream carries.
//
// A stream of program.yaml says its format:
//
//	json          as it is; nothing here is at work, and it costs nothing
//	raw           any bytes; a model sees {"value": base64}
//	avro, protobuf, json-schema
//	              behind a schema registry that speaks as Confluent's does: a zero byte, the schema's id in four bytes, the payload
//
// Where an event comes in, each record is decoded before it is offered to the route (dispatch.Config.Decode), and keeps its bytes
// beside (messaging.Record.Original): dead letters and rejected events have those, untouched. One that does not decode is that
// event's dead letter. A result is encoded when it is written (dispatch.Target.Encode); one that does not fit the schema is its
// event's dead letter. A registry that does not answer, or does not know a schema, is the surroundings' doing: it is waited for, the
// source with it, and no event is blamed.
package formats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// Names of formats in program.yaml.
const (
	JSON       = "json"
	Raw        = "raw"
	Avro       = "avro"
	Protobuf   = "protobuf"
	JSONSchema = "json-schema"
)

// A Mistake is a payload's own: it does not decode, or does not fit its schema. Any other error is the surroundings'.
type Mistake struct{ Reason string }

func (e *Mistake) Error() string { return e.Reason }

func mistakef(format string, args ...any) error { return &Mistake{fmt.Sprintf(format, args...)} }

// A codec knows one format. Values are never nil.
type codec interface {
	decode(ctx context.Context, value []byte) (json []byte, err error)
	encode(ctx context.Context, json []byte) (value []byte, err error)
}

// codeUndecodable is of dead letters whose payload was none of the format.
const codeUndecodable = "undecodable"

// A Stream is the format of one stream. Both directions are safe from any goroutine.
type Stream struct {
	name  string
	codec codec
	log   *slog.Logger
	first time.Duration // of the waits for a registry
	last  time.Duration // and the longest
	sleep func(context.Context, time.Duration) bool
}

const (
	firstWait = 250 * time.Millisecond
	lastWait  = 10 * time.Second
)

// NewRaw is the format raw.
func NewRaw(name string) *Stream { return newStream(name, raw{}, nil) }

func newStream(name string, c codec, log *slog.Logger) *Stream {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Stream{name: name, codec: c, log: log, first: firstWait, last: lastWait, sleep: sleep}
}

// Decode puts JSON in the place of the records' values, or a fault where that cannot be. It waits for the registry until the context
// ends, which is the only error.
func (s *Stream) Decode(ctx context.Context, records []messaging.Record) error {
	return s.decodeAll(ctx, records, func(*messaging.Fault) error { return nil })
}

// Reader is Decode for one route, whose records come in their order. When so many in a row do not decode, it is more likely that the
// format is wrong than that they are: then it waits before each further one, so that a topic does not drain into dead letters
// before somebody has read the log. All that was read at once waits for a minute at most: good events may be among it.
func (s *Stream) Reader(most int) func(context.Context, []messaging.Record) error {
	run := 0
	return func(ctx context.Context, records []messaging.Record) error {
		waits := 6
		return s.decodeAll(ctx, records, func(f *messaging.Fault) error {
			if f == nil {
				run = 0
				return nil
			}
			if run++; run <= most || waits == 0 {
				return nil
			}
			waits--
			s.log.Error("many payloads in a row do not decode: is the stream's format right?", "stream", s.name, "in_a_row", run,
				"error", f.Reason, "waiting", s.last)
			if !s.sleep(ctx, s.last) {
				return ctx.Err()
			}
			return nil
		})
	}
}

// decodeAll calls seen for each record that has a value, with what is wrong with it.
func (s *Stream) decodeAll(ctx context.Context, records []messaging.Record, seen func(*messaging.Fault) error) error {
	originals := make([][]byte, len(records))
	for i := range records {
		r := &records[i]
		if r.Value == nil || r.Fault != nil {
			continue
		}
		decoded, err := patiently(ctx, s, r.Value, s.codec.decode)
		var mistake *Mistake
		switch {
		case errors.As(err, &mistake):
			r.Fault = &messaging.Fault{Code: codeUndecodable, Reason: mistake.Reason}
		case err != nil:
			return err
		default:
			originals[i] = r.Value
			r.Value, r.Original = decoded, &originals[i]
		}
		if err := seen(r.Fault); err != nil {
			return err
		}
	}
	return nil
}

// Encode makes of JSON what the stream carries; nil stays nil. It waits for the registry until the context ends. A [Mistake] says that
// the value does not fit.
func (s *Stream) Encode(ctx context.Context, json []byte) ([]byte, error) {
	if json == nil {
		return nil, nil
	}
	return patiently(ctx, s, json, s.codec.encode)
}

// patiently tries again what is not the value's own fault.
func patiently(ctx context.Context, s *Stream, value []byte, do func(context.Context, []byte) ([]byte, error)) ([]byte, error) {
	var why error
	for wait := s.first; ; wait = min(2*wait, s.last) {
		out, err := do(ctx, value)
		var mistake *Mistake
		if err == nil || errors.As(err, &mistake) {
			return out, err
		}
		if why == nil || ctx.Err() == nil { // one that was cut off says nothing
			why = err
		}
		if ctx.Err() == nil && (wait == s.first || wait == s.last) {
			s.log.Warn("waiting for the schema registry", "stream", s.name, "error", err)
		}
		if !s.sleep(ctx, wait) {
			return nil, fmt.Errorf("stream %s: %w: %w", s.name, ctx.Err(), why)
		}
	}
}

// sleep says whether the context has outlived it.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
