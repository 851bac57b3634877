package dispatch

import (
	"maps"
	"slices"
	"strings"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/delivery"
	"ds-runner.dev/ds-runner/bridge_go/metrics"
)

const reportEvery = int64(100 * time.Millisecond)

// A Status is a route as readiness, the control method and the summary show it.
type Status struct {
	Program string `json:"program"`
	Command string `json:"command"`
	Stream  string `json:"stream"`
	State   string `json:"state"` // starting, waiting, running, paused, draining, ended
	Ready   bool   `json:"ready"`
	Why     string `json:"why,omitempty"` // it is not ready

	In          uint64 `json:"in"`
	Scored      uint64 `json:"scored"`
	Rejected    uint64 `json:"rejected"`
	Dead        uint64 `json:"dead"`
	Outputs     uint64 `json:"outputs"`
	Redelivered uint64 `json:"redelivered"`
	Suspects    uint64 `json:"suspects"`
	Lookups     uint64 `json:"lookups"` // calls of models while they scored
	Deaths      uint64 `json:"worker_deaths"`
	Charged     uint64 `json:"charged_deaths"` // that are the model's own, each bad event counted once
	Barren      uint64 `json:"barren_deaths"`  // that are the model's own, in a row without an answer or a culprit

	InFlight      int     `json:"in_flight"`
	Queued        int     `json:"queued"`
	Unsettled     int     `json:"unsettled"`
	Stopped       int     `json:"stopped_partitions"` // read no further, since an event of theirs is stuck
	Lag           int64   `json:"lag"`                // -1 when unknown
	OldestSeconds float64 `json:"oldest_seconds"`
	P50           float64 `json:"latency_p50_ms"`
	P99           float64 `json:"latency_p99_ms"`

	Answered bool           `json:"answered"` // a worker has answered
	Workers  []WorkerStatus `json:"workers"`
	Models   []string       `json:"models"` // versions of the workers
}

// WorkerStatus is one row of the table of what is in flight.
type WorkerStatus struct {
	ID             string  `json:"id"`
	Slot           uint64  `json:"slot"`
	PID            uint64  `json:"pid"`
	Model          string  `json:"model"`
	Standby        bool    `json:"standby"` // gets nothing until another is lost
	Joined         string  `json:"joined"`  // RFC 3339
	Answered       int     `json:"answered"`
	Frames         int     `json:"frames"`
	Events         int     `json:"events"`
	Bytes          int     `json:"bytes"`
	Window         int     `json:"window"`
	OldestSeconds  float64 `json:"oldest_seconds"`
	DeadlineLeftMS int64   `json:"deadline_left_ms"`
}

// Status looks at the route now. After its end it is the last one; a route that does not answer within a second is
// starting. The metrics that are read next say nothing older.
func (r *Route) Status() Status {
	var s Status
	look := func() {
		r.reportAt = r.now
		r.report()
		s = r.status()
	}
	if r.ask(time.Second, look) {
		return s
	}
	select {
	case <-r.done: // the loop has ended, so that its fields are ours
		s = r.status()
		s.State, s.Ready, s.Why = "ended", false, "the route has ended"
		return s
	default:
		return Status{Program: r.cfg.Program, Command: r.cfg.Command, Stream: r.cfg.Stream, State: "starting",
			Why: "the route is not running", Lag: -1}
	}
}

func (r *Route) status() Status {
	x, g := r.core.Stats(), r.core.Gauges()
	s := Status{
		Program: r.cfg.Program, Command: r.cfg.Command, Stream: r.cfg.Stream,
		In: x.Offered, Scored: x.Settled[Scored], Rejected: x.Settled[Rejected], Dead: x.Settled[Dead],
		Outputs: r.count.outputs, Redelivered: x.Retried, Suspects: x.Suspects, Lookups: r.lookups.Load(), Charged: x.Charged, Barren: x.Barren,
		InFlight: g.InFlight.Events, Queued: g.Queued, Unsettled: g.Live.Events, Stopped: g.Stopped, Lag: r.count.lag,
		P50: 1e3 * r.count.stages[stageTotal].Quantile(0.5), P99: 1e3 * r.count.stages[stageTotal].Quantile(0.99),
		Answered: r.answered,
	}
	for _, n := range x.Deaths {
		s.Deaths += n
	}
	if g.Oldest > 0 {
		s.OldestSeconds = float64(r.now-g.Oldest) / 1e9
	}
	s.State, s.Why = r.state(g)
	s.Ready = s.State == "running"
	s.Workers = r.table()
	s.Models = models(s.Workers)
	return s
}

func (r *Route) state(g delivery.Gauges) (state, why string) {
	switch {
	case r.drain != nil:
		return "draining", "the bridge is draining"
	case r.paused != nil:
		return "paused", "paused by the operator"
	case r.core.ReadyWorkers() == 0:
		return "waiting", "no worker is ready"
	case g.BreakerOpen:
		return "paused", "the breaker is open: everything fails of late"
	case r.failures > 0 && (r.feed == nil || !r.feed.trusted(r.now)):
		return "waiting", "the source cannot be read"
	}
	return "running", ""
}

func (r *Route) table() []WorkerStatus {
	rows := make([]WorkerStatus, 0, len(r.members))
	for w, m := range r.members {
		h := w.Hello()
		frames, used := m.core.InFlight()
		row := WorkerStatus{
			ID: w.ID(), Slot: h.Slot, PID: h.PID, Model: h.Model, Standby: m.core.Held(), Joined: m.joined.UTC().Format(time.RFC3339),
			Answered: m.answered, Frames: frames, Events: used.Events, Bytes: used.Bytes, Window: m.core.Window().Events,
		}
		if frames > 0 {
			age := r.now - m.core.Since()
			row.OldestSeconds = float64(age) / 1e9
			row.DeadlineLeftMS = (int64(r.cfg.Deadline) - age) / 1e6
		}
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b WorkerStatus) int { return strings.Compare(a.ID, b.ID) })
	return rows
}

// Places is how many workers there are that are not standbys.
func (s *Status) Places() (n int) {
	for i := range s.Workers {
		if !s.Workers[i].Standby {
			n++
		}
	}
	return n
}

// models are the versions that answer, not those of standbys.
func models(rows []WorkerStatus) []string {
	seen := map[string]bool{}
	for _, w := range rows {
		if !w.Standby {
			seen[w.Model] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// report publishes the metrics and logs what has changed, ten times a second at most.
func (r *Route) report() {
	if r.now < r.reportAt {
		return
	}
	before := r.reported
	r.publish()
	r.narrate(before, r.reported)
	r.reportAt = r.now + reportEvery
	if before.Offered == r.reported.Offered && before.Settled == r.reported.Settled && before.Frames == r.reported.Frames {
		r.reportAt = r.now + 10*reportEvery
	}
}

func (r *Route) publish() {
	s := &metrics.Snapshot{
		Stats: r.core.Stats(), Gauges: r.core.Gauges(), Now: r.now,
		Workers: len(r.members), ReadyWorkers: r.core.ReadyWorkers(), Standbys: r.core.HeldWorkers(), Lag: r.count.lag, Outputs: r.count.outputs,
		Unsettled: len(r.pending) + r.writing, Commits: r.count.commits, CommitErrors: r.count.commitErrors,
		SourceErrors: r.count.sourceErrors, TapedEvents: r.count.taped, TapeDropped: r.count.tapeDropped, Stages: r.count.stages,
	}
	r.cfg.Sinks.into(s)
	r.reported = s.Stats
	r.metrics.Publish(s)
}

// narrate logs state changes, a line each.
func (r *Route) narrate(was, is delivery.Stats) {
	if is.BreakerOpened > was.BreakerOpened {
		r.log.Error("breaker opened: everything fails of late, the source pauses and nothing is dead-lettered")
	}
	if is.BreakerClosed > was.BreakerClosed {
		r.log.Info("breaker closed: events succeed again")
	}
	if n := is.Relieved - was.Relieved; n > 0 {
		r.log.Warn("a standby has taken the place of a lost worker", "times", n)
	}
	if n := is.Suspects - was.Suspects; n > 0 {
		r.log.Warn("workers died of batches, which are tried again alone", "batches", n)
	}
	if n := is.Settled[Dead] - was.Settled[Dead]; n > 0 {
		r.log.Warn("events failed for the last time", "events", n, "in_all", is.Settled[Dead])
	}
}
