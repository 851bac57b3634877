package formats

import (
	"context"
	"errors"
	"slices"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// Spoken is a connection for those who publish and look at one topic by JSON, whatever that carries. It is not for routes, which
// keep the bytes of what they read, nor for dead letters.
func (s *Stream) Spoken(c messaging.Connection) messaging.Connection { return &spoken{c, s} }

type spoken struct {
	messaging.Connection
	format *Stream
}

// browseTime bounds the wait for a registry when records have come already.
const browseTime = 5 * time.Second

// Browse implements messaging.Connection. What does not decode is shown as it is.
func (c *spoken) Browse(ctx context.Context, topic string, from messaging.Cursor, most int) ([]messaging.Record, messaging.Cursor, error) {
	records, after, err := c.Connection.Browse(ctx, topic, from, most)
	if err != nil || len(records) == 0 {
		return records, after, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), browseTime)
	defer cancel()
	records = slices.Clone(records)
	return records, after, c.format.Decode(ctx, records)
}

// Sink implements messaging.Connection.
func (c *spoken) Sink(ctx context.Context, o messaging.SinkConfig) (messaging.Sink, error) {
	sink, err := c.Connection.Sink(ctx, o)
	if err != nil {
		return nil, err
	}
	return &spokenSink{sink, c.format}, nil
}

type spokenSink struct {
	messaging.Sink
	format *Stream
}

// Write implements messaging.Sink. Records that do not fit the schema are refused for good, and the others are stored.
func (s *spokenSink) Write(ctx context.Context, records []messaging.Outgoing) error {
	encoded := make([]messaging.Outgoing, 0, len(records))
	places := make([]int, 0, len(records)) // of what is encoded, among records
	var failed []messaging.WriteFailure
	for i, r := range records {
		value, err := s.format.Encode(ctx, r.Value)
		var mistake *Mistake
		switch {
		case errors.As(err, &mistake):
			failed = append(failed, messaging.WriteFailure{Index: i, Permanent: true, Err: err})
			continue
		case err != nil:
			return err
		}
		r.Value = value
		encoded, places = append(encoded, r), append(places, i)
	}
	if len(encoded) > 0 {
		err := s.Sink.Write(ctx, encoded)
		var partial *messaging.WriteError
		if err != nil && !errors.As(err, &partial) {
			return err
		}
		if partial != nil {
			for _, f := range partial.Failed {
				f.Index = places[f.Index]
				failed = append(failed, f)
			}
		}
	}
	if len(failed) == 0 {
		return nil
	}
	slices.SortFunc(failed, func(a, b messaging.WriteFailure) int { return a.Index - b.Index })
	return &messaging.WriteError{Failed: failed}
}
