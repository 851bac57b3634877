package app

import (
	"context"
	"errors"
	"fmt"

	"ds-runner.dev/ds-runner/bridge_go/front"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/program"
)

// requestLog opens the stream that some requests of a front are written to; nil where the command names none.
func (b *bridge) requestLog(ctx context.Context, c program.Command) (*front.RequestLog, error) {
	if c.RequestLog == "" {
		return nil, nil
	}
	if format := b.program.Spec.Streams[c.RequestLog].Format; format != "" && format != "json" {
		return nil, fmt.Errorf("%w: request_log: %s carries %s, and requests are logged as JSON: name a stream without a format",
			ErrMistake, c.RequestLog, format)
	}
	ctx, cancel := context.WithTimeout(ctx, openTime)
	defer cancel()
	conn, topic, err := b.streams.Open(ctx, c.RequestLog)
	if err != nil {
		return nil, fmt.Errorf("request_log: %w", err)
	}
	sink, err := conn.Sink(ctx, messaging.SinkConfig{Topic: topic, Group: b.program.Name() + "/" + c.Name + "/requests"})
	switch {
	case errors.Is(err, messaging.ErrNotSupported):
		return nil, fmt.Errorf("%w: request_log: %s is received and cannot be written", ErrMistake, c.RequestLog)
	case err != nil:
		return nil, fmt.Errorf("request_log: stream %s: %w", c.RequestLog, err)
	}
	return &front.RequestLog{
		Sink: sink, Sample: c.RequestLogSample, Requests: c.RequestLogQueue.Requests, Bytes: int(c.RequestLogQueue.Bytes),
	}, nil
}
