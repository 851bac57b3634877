package control

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tinylib/msgp/msgp"

	"ds-runner.dev/ds-runner/bridge_go/arguments"
	"ds-runner.dev/ds-runner/bridge_go/fleet"
	"ds-runner.dev/ds-runner/bridge_go/plainjson"
	"ds-runner.dev/ds-runner/bridge_go/program"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// maxWait bounds how long a watch may be left waiting.
const maxWait = time.Minute

// versionMethods are calls about the versions of a command that serves HTTP: of the command line (versions, give, load, unload), and of the
// parent of workers, which asks what it is to run (watch) and tells what it knows of the model store (named, failed).
func (k *Control) versionMethods() map[string]method {
	return map[string]method{
		"versions":        k.versions,
		"versions.give":   k.versionsGive,
		"versions.load":   k.versionsLoad,
		"versions.unload": k.versionsUnload,
		"versions.watch":  k.versionsWatch,
		"versions.named":  k.versionsNamed,
		"versions.failed": k.versionsFailed,
		"versions.leave":  k.versionsLeave,
	}
}

// versions answers all versions that are loaded, by command.
func (k *Control) versions(_ context.Context, r *request) ([]byte, error) {
	if r.End(); r.Err != nil {
		return nil, r.Err
	}
	all := map[string][]fleet.Version{}
	for name, f := range k.fleets() {
		all[name] = f.Versions()
	}
	return asJSON(all)
}

func (k *Control) versionsGive(ctx context.Context, r *request) ([]byte, error) {
	return k.ofFleet(r, func(f *fleet.Fleet) ([]byte, error) {
		weights := readWeights(r)
		if r.End(); r.Err != nil {
			return nil, r.Err
		}
		if !slices.ContainsFunc(slices.Collect(maps.Values(weights)), func(w int) bool { return w > 0 }) {
			return nil, &wire.CallError{Code: "bad_arguments", Reason: "weights: none is more than 0, so no version would get requests"}
		}
		if err := f.Give(ctx, weights); err != nil {
			return nil, ToldOfVersions(err)
		}
		return asJSON(f.Versions())
	})
}

func (k *Control) versionsLoad(ctx context.Context, r *request) ([]byte, error) {
	return k.changeVersion(r, func(f *fleet.Fleet, ref string) error { return f.Load(ctx, ref) })
}

func (k *Control) versionsUnload(ctx context.Context, r *request) ([]byte, error) {
	return k.changeVersion(r, func(f *fleet.Fleet, ref string) error { return f.Unload(ctx, ref) })
}

func (k *Control) changeVersion(r *request, change func(f *fleet.Fleet, ref string) error) ([]byte, error) {
	return k.ofFleet(r, func(f *fleet.Fleet) ([]byte, error) {
		ref := r.Text("version")
		if r.End(); r.Err != nil {
			return nil, r.Err
		}
		if err := change(f, ref); err != nil {
			return nil, ToldOfVersions(err)
		}
		return asJSON(f.Versions())
	})
}

func (k *Control) versionsWatch(ctx context.Context, r *request) ([]byte, error) {
	return k.ofFleet(r, func(f *fleet.Fleet) ([]byte, error) {
		seen := r.Number("seen", 0, 1<<62)
		wait := time.Duration(r.Number("wait_ms", 0, maxWait.Milliseconds())) * time.Millisecond
		remembered := readWeights(r)
		if r.End(); r.Err != nil {
			return nil, r.Err
		}
		return asJSON(f.Watch(ctx, uint64(seen), wait, remembered))
	})
}

func (k *Control) versionsNamed(_ context.Context, r *request) ([]byte, error) {
	return k.ofFleet(r, func(f *fleet.Fleet) ([]byte, error) {
		name, version, wrong := r.Text("name"), r.Text("version"), r.Text("wrong")
		if r.End(); r.Err != nil {
			return nil, r.Err
		}
		f.Named(name, version, wrong)
		return nil, nil
	})
}

func (k *Control) versionsFailed(_ context.Context, r *request) ([]byte, error) {
	return k.ofFleet(r, func(f *fleet.Fleet) ([]byte, error) {
		name, reason := r.Text("name"), r.Text("reason")
		if r.End(); r.Err != nil {
			return nil, r.Err
		}
		f.Failed(name, reason)
		return nil, nil
	})
}

// versionsLeave answers when the workers of a parent may go.
func (k *Control) versionsLeave(ctx context.Context, r *request) ([]byte, error) {
	return k.ofFleet(r, func(f *fleet.Fleet) ([]byte, error) {
		parent := r.Text("parent")
		if r.End(); r.Err != nil {
			return nil, r.Err
		}
		f.PartWith(ctx, parent)
		return nil, nil
	})
}

func (k *Control) fleets() map[string]*fleet.Fleet {
	if k.c.Fleets == nil {
		return nil
	}
	return k.c.Fleets()
}

// ofFleet finds the command that is the first argument; "" is the only one.
func (k *Control) ofFleet(r *request, act func(f *fleet.Fleet) ([]byte, error)) ([]byte, error) {
	command := r.Text("command")
	if r.Err != nil {
		return nil, r.Err
	}
	fleets := k.fleets()
	names := slices.Sorted(maps.Keys(fleets))
	if command == "" && len(names) == 1 {
		command = names[0]
	}
	if f := fleets[command]; f != nil {
		return act(f)
	}
	reason := program.Unknown("no command that serves HTTP is called", command, names, "Served")
	if command == "" {
		reason = "which command? Served: " + strings.Join(names, ", ")
	}
	return nil, &wire.CallError{Code: "unknown_command", Reason: reason}
}

// readWeights reads [[version str, weight int]].
func readWeights(r *request) map[string]int {
	weights := map[string]int{}
	r.List("weights", func(item *arguments.Arguments) {
		item.Tuple(fmt.Sprintf("weights[%d]", len(weights)), func(fields *arguments.Arguments) {
			version := fields.Text("version")
			weights[version] = int(fields.Number("weight", 0, 1_000_000))
		})
	})
	return weights
}

// ToldOfVersions gives the errors of a fleet their codes.
func ToldOfVersions(err error) error {
	for _, known := range []struct {
		err   error
		code  string
		retry bool
	}{
		{fleet.ErrRouted, "routed", false}, {fleet.ErrBusy, "busy", true}, {fleet.ErrUnknown, "unknown_version", false},
		{fleet.ErrLoad, "load_failed", false}, {context.DeadlineExceeded, "deadline", true},
	} {
		if errors.Is(err, known.err) {
			return &wire.CallError{Code: known.code, Reason: err.Error(), Retry: known.retry}
		}
	}
	return err
}

func asJSON(value any) ([]byte, error) {
	data, err := plainjson.Marshal(value)
	return msgp.AppendBytes(nil, data), err
}
