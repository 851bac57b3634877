package app

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"ds-runner.dev/ds-runner/bridge_go/calls"
	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/fleet"
	"ds-runner.dev/ds-runner/bridge_go/front"
	"ds-runner.dev/ds-runner/bridge_go/program"
	"ds-runner.dev/ds-runner/bridge_go/repository"
	"ds-runner.dev/ds-runner/bridge_go/state"
)

// A side is a fleet as the engine of a command. Its workers join the versions' own routes, see versionPool.
type side struct {
	dispatch.Pool
	calls.Leases
	*fleet.Fleet
	guests []guest
}

// Status is that of the version that most requests go to.
func (s side) Status() dispatch.Status {
	versions := s.Versions()
	if len(versions) == 0 {
		return dispatch.Status{State: "ended"}
	}
	most := slices.MaxFunc(versions, func(a, b fleet.Version) int { return cmp.Compare(a.Weight, b.Weight) })
	return s.Statuses()[s.RouteName(most.Name)]
}

// openFleet makes the versions that a command begins with, and the shadow that looks at all of them.
func (b *bridge) openFleet(c program.Command, f *front.Front) (*fleet.Fleet, error) {
	shadowed := dispatch.Config{Batch: b.config(c).Batch, Deadline: c.Deadline.Std()}
	shadow := c
	shadow.Input = c.Name
	if err := b.openShadow(shadow, &shadowed); err != nil {
		return nil, err
	}
	names := slices.Sorted(maps.Keys(c.Versions))
	return fleet.New(b.fleetConfig(c, c.Name, f, shadowed), names, c.Versions), nil
}

// versionPool is what workers of a command that serves HTTP join, by the name of HELLO; nil for commands that do not.
func (b *bridge) versionPool(name string) (dispatch.Pool, error) {
	command, version := fleet.Split(name)
	f := b.fleetNamed(command)
	if f == nil {
		return nil, nil
	}
	if pool := f.Route(version); pool != nil {
		return pool, nil
	}
	return nil, fmt.Errorf("version %q of %s is not wanted", version, command)
}

// repository makes what operators ask about versions over HTTP: without a token it is for this machine alone.
func (b *bridge) repository() (func(loopback bool) http.Handler, error) {
	var token string
	if b.AdminTokenFile != "" {
		var err error
		if token, err = state.ReadToken(b.AdminTokenFile); err != nil {
			return nil, fmt.Errorf("%w: --admin-token-file: %w", ErrMistake, err)
		}
	}
	return func(loopback bool) http.Handler {
		return repository.New(repository.Config{Model: b.program.Name(), Fleets: b.fleets, Token: token, Loopback: loopback})
	}, nil
}

// fleets are the versions of commands that serve HTTP.
func (b *bridge) fleets() map[string]*fleet.Fleet {
	all := map[string]*fleet.Fleet{}
	for name, r := range b.routes {
		if r.fleet != nil {
			all[name] = r.fleet
		}
		for _, g := range r.guests {
			all[guestName(name, g.model)] = g.fleet
		}
	}
	return all
}

// versionStatuses puts a row for each version, which is called as its workers call it. A command that names none is one row.
func (b *bridge) versionStatuses(command string, r *route, into map[string]commandStatus) {
	for name, s := range r.fleet.Statuses() {
		into[name] = commandStatus{Status: s}
	}
	for _, g := range r.guests {
		for name, s := range g.fleet.Statuses() {
			into[name] = commandStatus{Status: s}
		}
	}
	if shadow := b.shadowStatus(command); shadow != nil {
		most := r.engine.Status()
		name := cmp.Or(most.Command, command)
		into[name] = commandStatus{into[name].Status, shadow}
	}
}
