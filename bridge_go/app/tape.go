package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/calls"
	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/player"
	"ds-runner.dev/ds-runner/bridge_go/program"
	"ds-runner.dev/ds-runner/bridge_go/tape"
)

// playerHeartbeat is that of a route by default.
const playerHeartbeat = time.Second

// openPlayer makes the route of a command that plays a tape: no stream is opened, and no connection.
func (b *bridge) openPlayer(ctx context.Context, c program.Command) (*route, error) {
	if b.Ledger == "" || b.Input != "" || b.Output != "" {
		return nil, fmt.Errorf("%w: --tape takes --ledger, and neither --input nor --output", ErrMistake)
	}
	outlet, err := b.outlet(ctx, c)
	if err != nil {
		return nil, err
	}
	p, err := player.New(player.Config{
		Program: b.program.Name(), Command: c.Name, Stream: c.Input, Nonce: b.nonce, Deadline: c.Deadline.Std(), HeartbeatEach: playerHeartbeat,
		Open:   func() (io.ReadCloser, error) { return os.Open(b.Tape) },
		Outlet: outlet, Only: b.Only, Speed: b.Speed, Log: b.Log,
	})
	var version *tape.VersionError
	switch {
	case errors.Is(err, tape.ErrNotTape), errors.As(err, &version), errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("%w: --tape %s: %w", ErrMistake, b.Tape, err)
	case err != nil:
		return nil, fmt.Errorf("--tape %s: %w", b.Tape, err)
	}
	return &route{engine: p, command: c}, nil
}

// An engine is what runs a command: a route, or a player of a tape.
type engine interface {
	dispatch.Pool
	calls.Leases
	Run(ctx context.Context) error
	Drain(ctx context.Context) error
	Status() dispatch.Status
}

// replayed is the report of the command that plays a tape; nil where none does.
func (b *bridge) replayed() *player.Report {
	for _, r := range b.routes {
		if p, ok := r.engine.(*player.Player); ok {
			report := p.Report()
			return &report
		}
	}
	return nil
}
