package app

import (
	"bytes"
	"os"
	"syscall"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/plainjson"
	"ds-runner.dev/ds-runner/bridge_go/player"
	"ds-runner.dev/ds-runner/bridge_go/shadow"
)

// A status is what the control method of that name answers, and `ds-runner up` shows.
type status struct {
	Program    string                   `json:"program"`
	Version    string                   `json:"version"`
	PID        int                      `json:"pid"`
	Seconds    float64                  `json:"seconds"` // since the start
	CPUSeconds float64                  `json:"cpu_seconds"`
	Commands   map[string]commandStatus `json:"commands"`
}

// A commandStatus is a route, and its shadow if it has one.
type commandStatus struct {
	dispatch.Status
	Shadow *shadow.Status `json:"shadow,omitempty"`
}

func (b *bridge) status() status {
	s := status{
		Program: b.program.Name(), Version: b.Version, PID: os.Getpid(),
		Seconds: time.Since(b.started).Seconds(), CPUSeconds: cpuSeconds(), Commands: map[string]commandStatus{},
	}
	for name, r := range b.routes {
		if r.fleet != nil {
			b.versionStatuses(name, r, s.Commands)
			continue
		}
		s.Commands[name] = commandStatus{r.Status(), b.shadowStatus(name)}
	}
	return s
}

func (b *bridge) shadowStatus(command string) *shadow.Status {
	if s := b.shadows[command]; s != nil {
		now := s.Status()
		return &now
	}
	return nil
}

// A summary is the status at the end, with the commands added up.
type summary struct {
	status
	Events      uint64 `json:"events"`
	Scored      uint64 `json:"scored"`
	Rejected    uint64 `json:"rejected"`
	Dead        uint64 `json:"dead"`
	Outputs     uint64 `json:"outputs"`
	Redelivered uint64 `json:"redelivered"`
	Suspects    uint64 `json:"suspects"`
	Lookups     uint64 `json:"lookups"` // calls under leases

	Replay *player.Report `json:"replay,omitempty"`
}

// summarise writes the summary, if one was asked for and the bridge came far enough to have one.
func (b *bridge) summarise() error {
	if b.Summary == "" || b.program == nil {
		return nil
	}
	s := summary{status: b.status(), Replay: b.replayed()}
	for _, c := range s.Commands {
		s.Events += c.In
		s.Scored += c.Scored
		s.Rejected += c.Rejected
		s.Dead += c.Dead
		s.Outputs += c.Outputs
		s.Redelivered += c.Redelivered
		s.Suspects += c.Suspects
		s.Lookups += c.Lookups
	}
	var text bytes.Buffer
	out := plainjson.Encoder(&text)
	out.SetIndent("", "  ")
	if err := out.Encode(s); err != nil {
		return err
	}
	return os.WriteFile(b.Summary, text.Bytes(), 0o644)
}

// cpuSeconds is the CPU time of this process, user and system.
func cpuSeconds() float64 {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}
