package app

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/program"
)

const exactlyOnce = "exactly-once"

// exactlyOnce says whether a command's outputs are stored together with its positions. A replay writes a ledger instead, and a
// command whose streams are replaced on the command line promises what those do.
func (b *bridge) exactlyOnce(c program.Command) bool {
	return c.Guarantee == exactlyOnce && b.Ledger == "" && b.Input == "" && b.Output == ""
}

// whole opens the store of a command's results, dead letters and whatever else it may write, where that stores the fate of an event
// as one. False when the connection does not.
func (b *bridge) whole(ctx context.Context, c program.Command, config *dispatch.StreamConfig) (bool, error) {
	conn, _, err := b.streams.Open(ctx, written(c))
	keeper, ok := conn.(messaging.FateKeeper)
	if err != nil || !ok {
		return false, err
	}
	target := func(name string) (t dispatch.Target) {
		if stream, ok := b.program.Stream(name); ok && b.besideOutput(c, name) {
			t = dispatch.Target{Stream: name, Topic: stream.Topic}
		}
		return t
	}
	config.Main, config.Dead, config.Rejected = target(c.Output), target(c.DeadLetter), target(c.Rejected)
	for name := range b.program.Spec.Streams {
		if name != c.Input && name != c.Output && name != c.DeadLetter && name != c.Rejected {
			config.Routed[name] = target(name)
		}
	}
	topics := map[string]bool{}
	for _, t := range append(slices.Collect(maps.Values(config.Routed)), config.Main, config.Dead, config.Rejected) {
		if t.Topic != "" {
			topics[t.Topic] = true
		}
	}
	writer, err := keeper.Fates(ctx, slices.Sorted(maps.Keys(topics)))
	if err != nil {
		return false, fmt.Errorf("guarantee: exactly-once: %w", err)
	}
	config.Fates = seededFates(writer)
	b.wholes[c.Name] = true
	return true, nil
}

// transaction is how a command stores its outputs with its positions; nil for at least once, and for whole fates.
func (b *bridge) transaction(c program.Command, outlet dispatch.Outlet) (*dispatch.Transaction, error) {
	if !b.exactlyOnce(c) || b.wholes[c.Name] {
		return nil, nil
	}
	if _, ok := outlet.(dispatch.Composer); !ok {
		return nil, fmt.Errorf("%s: this outlet cannot leave its writes to a transaction", c.Name)
	}
	if keeper := b.keepers[c.Name]; keeper != nil {
		return &dispatch.Transaction{By: keeper}, nil
	}
	return &dispatch.Transaction{}, nil
}

// noteKeeper remembers the first sink of a command that keeps positions.
func (b *bridge) noteKeeper(c program.Command, s messaging.Sink) {
	if keeper, ok := s.(messaging.PositionKeeper); ok && b.exactlyOnce(c) && b.keepers[c.Name] == nil {
		b.keepers[c.Name] = keeper
	}
}

// bySource says whether the source stores outputs and positions, and not a sink.
func (b *bridge) bySource(c program.Command) bool {
	return b.exactlyOnce(c) && b.keepers[c.Name] == nil && !b.wholes[c.Name]
}

// start is where a source begins when a sink keeps the positions.
func (b *bridge) start(c program.Command) func(context.Context, []int32) (map[int32]int64, error) {
	if keeper := b.keepers[c.Name]; keeper != nil {
		return keeper.Positions
	}
	return nil
}

// besideOutput says whether a stream is on the connection that a command writes to.
func (b *bridge) besideOutput(c program.Command, name string) bool {
	streams := b.program.Spec.Streams
	return streams[name].Connection == streams[written(c)].Connection
}

// written is a stream that a command writes.
func written(c program.Command) string {
	if c.Output != "" {
		return c.Output
	}
	return c.DeadLetter
}
