package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"ds-runner.dev/ds-runner/bridge_go/control"
	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/program"
	"ds-runner.dev/ds-runner/bridge_go/state"
)

// An operated route is one whose stream somebody may pause and seek by the command line.
type operated struct {
	*dispatch.Route
	b       *bridge
	command program.Command
	outlet  *dispatch.StreamOutlet
}

// operable says whether a command keeps a position in a stream of program.yaml: a replay keeps none, and what reads a file of
// the command line ends with it.
func (b *bridge) operable(c program.Command) bool {
	return c.Kind == scoreStream && b.Ledger == "" && b.Input == ""
}

// operatedRoutes are those that control works on.
func (b *bridge) operatedRoutes() (all []control.Route) {
	for _, c := range b.program.Spec.Commands { // in the order of program.yaml
		if r := b.routes[c.Name]; r != nil && b.operable(c) {
			all = append(all, operated{r.stream, b, c, r.outlet})
		}
	}
	return all
}

// Command implements control.Route, as all methods here do.
func (o operated) Command() string { return o.command.Name }

func (o operated) Input() string { return o.command.Input }

func (o operated) Group() string { return o.b.group(o.command) }

func (o operated) Keep(paused bool) error { return o.b.pauses.keep(o.command.Name, paused) }

func (o operated) Movable() error {
	if o.b.keepers[o.command.Name] != nil {
		return fmt.Errorf("its positions are kept with its outputs (guarantee: exactly-once), which would overrule a seek of %s", o.Input())
	}
	return nil
}

func (o operated) Moved(ctx context.Context) error {
	conn, topic, err := o.b.streams.Open(ctx, o.Input())
	if err != nil {
		return err
	}
	now, err := generation(ctx, conn, topic, o.Group())
	if err == nil && o.outlet != nil {
		o.outlet.SetGeneration(now)
	}
	return err
}

// generation is how often a group was moved back. It is part of message ids.
func generation(ctx context.Context, conn messaging.Connection, topic, group string) (int, error) {
	if seeker, ok := conn.(messaging.Seeker); ok && group != "" {
		return seeker.Generation(ctx, topic, group)
	}
	return 0, nil
}

// pausedBefore says whether the command was paused when the bridge ended, and tells it.
func (b *bridge) pausedBefore(c program.Command) (bool, error) {
	paused, err := b.pauses.has(c.Name)
	if paused {
		b.Log.Warn("begins paused, as it was when the bridge ended", "command", c.Name, "stream", c.Input,
			"go_on_with", "ds-runner resume "+c.Name)
	}
	return paused, err
}

// pauses remembers in the state folder which commands are paused, for the next life of the bridge.
type pauses struct {
	path string
	mu   sync.Mutex
}

func (p *pauses) has(command string) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	kept, err := p.read()
	return kept[command], err
}

func (p *pauses) keep(command string, paused bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	kept, err := p.read()
	if err != nil || kept[command] == paused {
		return err
	}
	delete(kept, command)
	if paused {
		kept[command] = true
	}
	data, err := json.Marshal(kept)
	if err != nil {
		return err
	}
	return state.WriteFile(p.path, append(data, '\n'), 0o600, true)
}

func (p *pauses) read() (map[string]bool, error) {
	kept := map[string]bool{}
	data, err := os.ReadFile(p.path)
	if errors.Is(err, fs.ErrNotExist) {
		return kept, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &kept)
	}
	if err != nil {
		return kept, fmt.Errorf("which commands are paused: %s: %w. Remove it to have all of them run", p.path, err)
	}
	return kept, nil
}
