package app

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/program"
	"ds-runner.dev/ds-runner/bridge_go/state"
)

// A storedMark is a file in the state folder: the time at which a command's results were last stored, there as long as their
// positions may not be committed. It implements dispatch.Mark.
type storedMark struct{ path string }

func (m storedMark) Set() error {
	if err := os.MkdirAll(filepath.Dir(m.path), 0o700); err != nil {
		return err
	}
	return state.WriteFile(m.path, []byte(time.Now().UTC().Format(time.RFC3339Nano)+"\n"), 0o600, false)
}

func (m storedMark) Clear() error {
	if err := os.Remove(m.path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// age is how long ago results were stored whose positions may not be committed; none when it is 0. A mark that cannot be read
// is as old as its file.
func (m storedMark) age() (time.Duration, error) {
	data, err := os.ReadFile(m.path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	var at time.Time
	if at.UnmarshalText(data[:max(0, len(data)-1)]) != nil {
		info, err := os.Stat(m.path)
		if err != nil {
			return 0, err
		}
		at = info.ModTime()
	}
	return max(time.Since(at), 1), nil
}

// noteStored has a route keep a mark of what it has stored, and tells when the bridge was away for longer than its sinks remember ids.
func (b *bridge) noteStored(c program.Command, outlet dispatch.Outlet, config *dispatch.Config) error {
	streams, ok := outlet.(*dispatch.StreamOutlet)
	if !ok || streams.Window() == 0 || !b.operable(c) {
		return nil
	}
	mark := storedMark{b.state.Path("stored", c.Name)}
	config.Mark, config.Window = mark, streams.Window()
	age, err := mark.age()
	if age > config.Window {
		b.counts[c.Name].WindowExceeded.Add(1)
		b.Log.Error("the bridge was away for longer than message ids are remembered: results that were stored just before it ended, and not "+
			"committed, come out a second time. Set duplicates on the connection to more than a bridge may be away",
			"command", c.Name, "away", age.Round(time.Second), "window", config.Window)
	}
	return err
}
