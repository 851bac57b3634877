package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/fleet"
	"ds-runner.dev/ds-runner/bridge_go/front"
	"ds-runner.dev/ds-runner/bridge_go/program"
)

// A guest is a further model that a command serves: it has a front behind the command's, and versions of its own. Its workers call
// themselves COMMAND:MODEL in HELLO, and belong to the program whose server they answer for.
type guest struct {
	model string
	fleet *fleet.Fleet
}

// guestName is what workers of a guest, control and the repository know it by.
func guestName(command, model string) string { return command + ":" + model }

// openGuests makes the models that a command serves besides the program's own, with the command's limits for each.
func (b *bridge) openGuests(c program.Command, host *front.Front) (guests []guest, err error) {
	rows, bytes := c.Batch.Bounds()
	for _, model := range slices.Sorted(maps.Keys(c.Models)) {
		name := guestName(c.Name, model)
		f, err := front.New(front.Config{
			Program: model, Command: c.Name, Rows: c.Queue.Rows, Bytes: int(c.Queue.Bytes), MaxBody: int(c.MaxBody),
			RequestTimeout: c.RequestTimeout.Std(), Batch: rows, BatchBytes: bytes, RouteHeader: c.RouteHeader,
			Log: b.Log.With("command", name), Registerer: b.metrics,
		})
		if err != nil {
			return nil, fmt.Errorf("model %s: %w", model, err)
		}
		host.Host(f)
		guests = append(guests, guest{model, fleet.New(b.fleetConfig(c, name, f, dispatch.Config{}), nil, nil)})
	}
	return guests, nil
}

// Run runs the versions of the program's model and of its guests until Drain, or one of them fails.
func (s side) Run(ctx context.Context) error {
	ended := make(chan error, 1+len(s.guests))
	go func() { ended <- s.Fleet.Run(ctx) }()
	for _, g := range s.guests {
		go func() {
			err := g.fleet.Run(ctx)
			if err != nil {
				err = fmt.Errorf("model %s: %w", g.model, err)
			}
			ended <- err
		}()
	}
	for range cap(ended) {
		if err := <-ended; err != nil {
			return err
		}
	}
	return nil
}

// Drain ends all of them.
func (s side) Drain(ctx context.Context) error {
	ended := make(chan error, len(s.guests))
	for _, g := range s.guests {
		go func() { ended <- g.fleet.Drain(ctx) }()
	}
	errs := []error{s.Fleet.Drain(ctx)}
	for range s.guests {
		errs = append(errs, <-ended)
	}
	return errors.Join(errs...)
}

// fleetNamed finds the versions of a command, or of a guest of one; nil where there are none.
func (b *bridge) fleetNamed(name string) *fleet.Fleet {
	command, model, isGuest := strings.Cut(name, ":")
	r := b.routes[command]
	if r == nil || r.fleet == nil || !isGuest {
		if r == nil {
			return nil
		}
		return r.fleet
	}
	for _, g := range r.guests {
		if g.model == model {
			return g.fleet
		}
	}
	return nil
}

// fleetConfig is how versions behind a front are run; shadowed is what their shadow wants to be told of.
func (b *bridge) fleetConfig(c program.Command, name string, f *front.Front, shadowed dispatch.Config) fleet.Config {
	return fleet.Config{
		Command: name, Front: f, InPlace: c.Swap == "in-place", Settle: c.RequestTimeout.Std() + c.Deadline.Std(), Log: b.Log.With("command", name),
		Route: func(l *front.Lane, worker string) *dispatch.Route {
			config := b.config(c)
			config.Command, config.Stream = worker, name
			config.Breaker.Off = true // it holds verdicts back until another event succeeds; here a client waits for each
			config.Stored, config.Work = shadowed.Stored, shadowed.Work
			return l.Route(config)
		},
	}
}
