package app

import (
	"context"
	"fmt"

	"ds-runner.dev/ds-runner/bridge_go/calls"
	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/program"
	"ds-runner.dev/ds-runner/bridge_go/shadow"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// openShadow makes the shadow that a command asks for, and has it look at what the command's route has stored. A replay has none.
func (b *bridge) openShadow(c program.Command, primary *dispatch.Config) error {
	if c.Shadow == "" || b.Ledger != "" {
		return nil
	}
	s, err := shadow.New(shadow.Config{
		Program: b.program.Name(), Command: c.Name, Stream: c.Input, Model: string(c.Shadow), Nonce: b.nonce,
		Tolerance: c.ShadowTolerance, Share: shareOf(c),
		Queue: messaging.Limit{Events: c.ShadowQueue.Events, Bytes: int(c.ShadowQueue.Bytes)},
		Batch: primary.Batch, Order: primary.Order, Deadline: primary.Deadline, Log: b.Log, Registerer: b.metrics,
	})
	if err != nil {
		return fmt.Errorf("shadow: %w", err)
	}
	b.shadows[c.Name] = s
	primary.Stored, primary.Work = s.Offer, s.Work()
	return nil
}

// shareOf is the part of the command's work that its shadow may take. Where requests are answered, that is not left to the processors that
// happen to be idle.
func shareOf(c program.Command) float64 {
	if c.Kind == serveAPI {
		return 0.1
	}
	return 0
}

// runShadows runs every shadow beside the routes, which know nothing of it.
func (b *bridge) runShadows() {
	for _, s := range b.shadows {
		go s.Run(context.Background())
	}
}

// drainShadows ends them, when the routes are done.
func (b *bridge) drainShadows() {
	done := make(chan struct{}, len(b.shadows))
	for _, s := range b.shadows {
		go func() { s.Drain(); done <- struct{}{} }()
	}
	for range b.shadows {
		<-done
	}
}

// shadowPool is what workers of a command's shadow join.
func (b *bridge) shadowPool(command string) (dispatch.Pool, error) {
	if s := b.shadows[command]; s != nil {
		return s.Pool(), nil
	}
	return nil, fmt.Errorf("command %s of %s has no shadow here", command, b.program.Name())
}

// shadowLeases are those of the workers of a command's shadow.
func (b *bridge) shadowLeases(command string) calls.Leases {
	if s := b.shadows[command]; s != nil {
		return s.Leases
	}
	return nil
}

// called answers a worker's call. A shadow reads and writes nothing: what it writes in predict is dropped (see shadow.Leases), what
// it writes elsewhere is refused.
func (b *bridge) called(ctx context.Context, hello *wire.Hello, c *wire.Call) ([]byte, error) {
	if _, yes := shadow.Of(hello.Command); yes && b.calls.Writes(c.Method) {
		return nil, &wire.CallError{Code: "shadow", Reason: c.Method + " writes, and a shadow only reads"}
	}
	return b.calls.Handle(ctx, hello, c)
}

// shadowReports are all shadows with examples of what differs, by command.
func (b *bridge) shadowReports() any {
	reports := map[string]shadow.Status{}
	for name, s := range b.shadows {
		reports[name] = s.Report()
	}
	return reports
}
