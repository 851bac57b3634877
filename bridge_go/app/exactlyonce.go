package app

import (
	"context"
	"fmt"

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

// transaction is how a command stores its outputs; nil for at least once.
func (b *bridge) transaction(c program.Command, outlet dispatch.Outlet) (*dispatch.Transaction, error) {
	if !b.exactlyOnce(c) {
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
	return b.exactlyOnce(c) && b.keepers[c.Name] == nil
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
	written := c.Output
	if written == "" {
		written = c.DeadLetter
	}
	streams := b.program.Spec.Streams
	return streams[name].Connection == streams[written].Connection
}
