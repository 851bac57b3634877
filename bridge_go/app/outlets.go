package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/program"
)

// openTime bounds the opening of a connection, a source or a sink: longer than a connector waits for a broker that restarts beside the bridge.
const openTime = 90 * time.Second

// outlet is where the fates of a command's events go: a ledger, or the streams that program.yaml names.
func (b *bridge) outlet(ctx context.Context, c program.Command) (dispatch.Outlet, error) {
	if b.Ledger == "" {
		return b.streamOutlet(ctx, c)
	}
	file, err := os.OpenFile(b.Ledger, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return nil, fmt.Errorf("%w: --ledger: %w", ErrMistake, err)
	}
	return dispatch.NewLedgerOutlet(file), nil
}

func (b *bridge) streamOutlet(ctx context.Context, c program.Command) (_ dispatch.Outlet, err error) {
	ctx, cancel := context.WithTimeout(ctx, openTime)
	defer cancel()
	config := dispatch.StreamConfig{
		Program: b.program.Name(), Command: c.Name, Counts: b.counts[c.Name], Log: b.Log,
		Routed: map[string]dispatch.Target{},
	}
	conn, topic, err := b.input(ctx, c)
	if err != nil {
		return nil, err
	}
	// Results of a topic that was deleted and made again, and of events that are read again on purpose, are no duplicates.
	if config.Incarnation, err = conn.Incarnation(ctx, topic); err != nil {
		return nil, err
	}
	if config.Generation, err = generation(ctx, conn, topic, b.group(c)); err != nil {
		return nil, err
	}
	if b.exactlyOnce(c) {
		if whole, err := b.whole(ctx, c, &config); whole || err != nil {
			return b.outletOf(config, err)
		}
	}
	if config.Main, err = b.main(ctx, c); err != nil {
		return nil, err
	}
	if config.Dead, err = b.target(ctx, c, c.DeadLetter); err != nil {
		return nil, err
	}
	if config.Rejected, err = b.target(ctx, c, c.Rejected); err != nil {
		return nil, err
	}
	for name := range b.program.Spec.Streams {
		if name == c.Input || name == c.Output || name == c.DeadLetter || name == c.Rejected {
			continue
		}
		if b.exactlyOnce(c) && !b.besideOutput(c, name) {
			continue // an output routed there is refused: no transaction covers it
		}
		to, err := b.target(ctx, c, name)
		if errors.Is(err, messaging.ErrNotSupported) {
			continue // it is received and not written, as webhooks are: an output routed there is refused
		}
		if err != nil {
			return nil, err
		}
		config.Routed[name] = to
	}
	return b.outletOf(config, nil)
}

// outletOf makes an outlet that writes streams in their formats.
func (b *bridge) outletOf(config dispatch.StreamConfig, err error) (dispatch.Outlet, error) {
	if err == nil {
		err = b.encoders(&config)
	}
	return dispatch.NewStreamOutlet(config), err
}

// target opens the sink of a stream. No name is no sink.
func (b *bridge) target(ctx context.Context, c program.Command, stream string) (dispatch.Target, error) {
	if stream == "" {
		return dispatch.Target{}, nil
	}
	conn, topic, err := b.streams.Open(ctx, stream)
	if err != nil {
		return dispatch.Target{}, err
	}
	return b.sink(ctx, c, conn, stream, topic)
}

// main is the target of outputs: the command's own, or the one of --output.
func (b *bridge) main(ctx context.Context, c program.Command) (dispatch.Target, error) {
	if b.Output == "" {
		return b.target(ctx, c, c.Output)
	}
	conn, topic, err := b.streams.at(ctx, b.Output)
	if err != nil {
		return dispatch.Target{}, fmt.Errorf("%w: --output: %w", ErrMistake, err)
	}
	name := c.Output
	if name == "" {
		name = filepath.Base(topic)
	}
	return b.sink(ctx, c, conn, name, topic)
}

func (b *bridge) sink(ctx context.Context, c program.Command, conn messaging.Connection, stream, topic string) (dispatch.Target, error) {
	s, err := conn.Sink(ctx, messaging.SinkConfig{Topic: topic, Group: b.group(c)})
	if err != nil {
		return dispatch.Target{}, fmt.Errorf("stream %s: %w", stream, err)
	}
	b.noteKeeper(c, s)
	return dispatch.Target{Stream: stream, Topic: topic, Sink: seededSink(s)}, nil
}

// group names the reader and writer whose position is kept. A replay keeps none.
func (b *bridge) group(c program.Command) string {
	if b.Ledger != "" {
		return ""
	}
	return b.program.Name() + "/" + c.Name
}

// input is where a command reads: its stream, or --input.
func (b *bridge) input(ctx context.Context, c program.Command) (messaging.Connection, string, error) {
	if b.Input == "" {
		return b.streams.Open(ctx, c.Input)
	}
	conn, topic, err := b.streams.at(ctx, b.Input)
	if err != nil {
		return nil, "", fmt.Errorf("%w: --input: %w", ErrMistake, err)
	}
	return conn, topic, nil
}
