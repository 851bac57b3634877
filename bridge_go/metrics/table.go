// Package metrics turns what a route counts into Prometheus metrics.
//
// A route counts in plain fields that one goroutine owns, and now and then publishes a [Snapshot]; scraping reads the
// last one. So nothing is done for a metric per event, and a scrape never waits for a route. [Table] lists every metric: the
// documentation, the dashboard and the alert rules are tested against it.
package metrics

import (
	"maps"
	"slices"

	"ds-runner.dev/ds-runner/bridge_go/delivery"
)

// Stages of an event's way, for ds_stage_seconds.
const (
	Queue  = iota // read until leased
	Worker        // leased until answered
	Sink          // answered until stored
	Total         // read until stored
	stages
)

var stageNames = [stages]string{"queue", "worker", "sink", "total"}

// A Snapshot is everything that a route counts. Times are in nanoseconds of one clock.
type Snapshot struct {
	delivery.Stats
	delivery.Gauges
	Now            int64
	Workers        int // joined
	ReadyWorkers   int
	Standbys       int
	Lag            int64 // -1 when unknown
	Outputs        uint64
	Unsettled      int // fates with the outlet
	Commits        uint64
	CommitErrors   uint64
	SourceErrors   uint64
	SinkRetries    uint64
	SinkRefusals   uint64
	StagedRefusals uint64 // writes of models
	WindowExceeded uint64
	TapedEvents    uint64
	TapeDropped    uint64
	DeadReduced    map[string]uint64 // dead letters that did not fit, by what was left out
	Stages         [stages]Histogram
}

// A Metric describes one metric. All have the labels program and command besides their own.
type Metric struct {
	Name, Type, Help string
	Labels           []string
	each             func(s *Snapshot, emit emit)
}

type emit func(value float64, labels ...string)

// Table is every metric of a route.
var Table = []Metric{
	counter("ds_events_in_total", "Events read from the source.", func(s *Snapshot) uint64 { return s.Offered }),
	{"ds_events_total", "counter", "Events with a durable fate, by fate: scored, rejected, dead.", []string{"fate"}, eachFate},
	counter("ds_events_retried_total", "Events that came back to be delivered again.", func(s *Snapshot) uint64 { return s.Retried }),
	counter("ds_events_leased_total", "Events sent to workers, repeats included.", func(s *Snapshot) uint64 { return s.Leased }),
	counter("ds_outputs_total", "Outputs that were stored.", func(s *Snapshot) uint64 { return s.Outputs }),
	counter("ds_frames_total", "Batches sent to workers.", func(s *Snapshot) uint64 { return s.Frames }),
	counter("ds_batches_returned_total", "Batches that workers gave back.", func(s *Snapshot) uint64 { return s.Returned }),
	{"ds_out_of_memory_total", "counter", "Batches that did not fit into a worker's memory, by size: several events, or one alone, which nothing here can help.", []string{"size"}, eachCrowded},
	{"ds_results_dropped_total", "counter", "Results of leases that had ended, by reason: other_bridge, epoch, ended.", []string{"reason"}, eachDropped},
	counter("ds_answers_discarded_total", "Answers thrown away to keep the order of a lane.", func(s *Snapshot) uint64 { return s.Discarded }),
	{"ds_worker_deaths_total", "counter", "Workers lost, by cause: exit, signal, oom, hang, killed, load, link, unknown, malformed.", []string{"cause"}, eachDeath},
	counter("ds_deadlines_missed_total", "Batches that were not answered within the deadline.", func(s *Snapshot) uint64 { return s.Overdue }),
	counter("ds_suspects_total", "Batches suspected of killing their worker.", func(s *Snapshot) uint64 { return s.Suspects }),
	counter("ds_suspects_cleared_total", "Suspected batches of which no worker died again.", func(s *Snapshot) uint64 { return s.Cleared }),
	counter("ds_deaths_excused_total", "Deaths of workers that were not held against events.", func(s *Snapshot) uint64 { return s.Excused }),
	counter("ds_events_forgotten_total", "Events taken out of line before a worker had them, since nobody waited for them any more.", func(s *Snapshot) uint64 { return s.Forgotten }),
	counter("ds_lane_full_total", "Events that had to wait since their lane was at its cap: a hot key.", func(s *Snapshot) uint64 { return s.LaneFull }),
	counter("ds_breaker_opened_total", "Times that the breaker paused the source.", func(s *Snapshot) uint64 { return s.BreakerOpened }),
	gauge("ds_breaker_open", "1 while the breaker pauses the source.", func(s *Snapshot) float64 { return oneIf(s.BreakerOpen) }),
	gauge("ds_workers", "Workers that are connected.", func(s *Snapshot) float64 { return float64(s.Workers) }),
	gauge("ds_workers_ready", "Workers that take events.", func(s *Snapshot) float64 { return float64(s.ReadyWorkers) }),
	gauge("ds_workers_standby", "Workers that are ready, and held until another is lost.", func(s *Snapshot) float64 { return float64(s.Standbys) }),
	counter("ds_standby_taken_total", "Lost workers whose place a standby took.", func(s *Snapshot) uint64 { return s.Relieved }),
	gauge("ds_in_flight_events", "Events with workers.", func(s *Snapshot) float64 { return float64(s.InFlight.Events) }),
	gauge("ds_in_flight_bytes", "Bytes of events with workers.", func(s *Snapshot) float64 { return float64(s.InFlight.Bytes) }),
	gauge("ds_in_flight_frames", "Batches with workers.", func(s *Snapshot) float64 { return float64(s.InFlightFrames) }),
	gauge("ds_credit_events", "Events that workers would still take.", func(s *Snapshot) float64 { return float64(max(0, s.Window.Events-s.InFlight.Events)) }),
	gauge("ds_credit_bytes", "Bytes that workers would still take.", func(s *Snapshot) float64 { return float64(max(0, s.Window.Bytes-s.InFlight.Bytes)) }),
	gauge("ds_queued_events", "Events that a worker with room would get.", func(s *Snapshot) float64 { return float64(s.Queued) }),
	gauge("ds_parked_events", "Events that wait for the time of their retry.", func(s *Snapshot) float64 { return float64(s.Parked) }),
	gauge("ds_held_verdicts", "Failed events whose verdict waits for a success.", func(s *Snapshot) float64 { return float64(s.Held) }),
	gauge("ds_suspicions", "Suspected batches that are being bisected.", func(s *Snapshot) float64 { return float64(s.Suspicions) }),
	gauge("ds_unsettled_events", "Events read whose fate is not durable.", func(s *Snapshot) float64 { return float64(s.Live.Events) }),
	gauge("ds_unsettled_bytes", "Bytes of events read whose fate is not durable.", func(s *Snapshot) float64 { return float64(s.Live.Bytes) }),
	gauge("ds_stopped_partitions", "Partitions that are read no further, since an event of theirs is stuck.", func(s *Snapshot) float64 { return float64(s.Stopped) }),
	gauge("ds_outlet_events", "Events with a fate that is being stored.", func(s *Snapshot) float64 { return float64(s.Unsettled) }),
	gauge("ds_oldest_event_seconds", "Age of the oldest event without a durable fate.", oldest),
	gauge("ds_lag_events", "Events in the source that have not been read, -1 when unknown.", func(s *Snapshot) float64 { return float64(s.Lag) }),
	counter("ds_commits_total", "Commits of positions.", func(s *Snapshot) uint64 { return s.Commits }),
	counter("ds_commit_errors_total", "Commits that failed and were tried again.", func(s *Snapshot) uint64 { return s.CommitErrors }),
	counter("ds_source_errors_total", "Times that the source could not be opened or read.", func(s *Snapshot) uint64 { return s.SourceErrors }),
	counter("ds_sink_retries_total", "Writes to sinks that failed and were tried again.", func(s *Snapshot) uint64 { return s.SinkRetries }),
	counter("ds_staged_refusals_total", "Writes of models (ctx.publish, kv.put) that were refused for good.", func(s *Snapshot) uint64 { return s.StagedRefusals }),
	counter("ds_sink_refusals_total", "Outputs that a sink refused for good.", func(s *Snapshot) uint64 { return s.SinkRefusals }),
	counter("ds_window_exceeded_total", "Times that stored results had no committed position for longer than the sink remembers message ids: they may come twice.", func(s *Snapshot) uint64 { return s.WindowExceeded }),
	{"ds_dead_letters_reduced_total", "counter", "Dead letters that the sink refused as they were, by what was left out: headers, payload, all.", []string{"left_out"}, eachReduced},
	counter("ds_recorded_events_total", "Deliveries of events that are on a tape.", func(s *Snapshot) uint64 { return s.TapedEvents }),
	counter("ds_recording_dropped_events_total", "Deliveries of events that are missing on a tape: it was not taken off the bridge in time.", func(s *Snapshot) uint64 { return s.TapeDropped }),
	{"ds_stage_seconds", "histogram", "Time of an event by stage: queue, worker, sink, total.", []string{"stage"}, nil},
}

func counter(name, help string, value func(*Snapshot) uint64) Metric {
	return Metric{name, "counter", help, nil, func(s *Snapshot, e emit) { e(float64(value(s))) }}
}

func gauge(name, help string, value func(*Snapshot) float64) Metric {
	return Metric{name, "gauge", help, nil, func(s *Snapshot, e emit) { e(value(s)) }}
}

func eachFate(s *Snapshot, e emit) {
	for kind, n := range s.Settled {
		e(float64(n), delivery.Kind(kind).String())
	}
}

func eachCrowded(s *Snapshot, e emit) {
	e(float64(s.Crowded-s.CrowdedAlone), "several")
	e(float64(s.CrowdedAlone), "one")
}

func eachDropped(s *Snapshot, e emit) { eachOf(s.Dropped, e) }
func eachDeath(s *Snapshot, e emit)   { eachOf(s.Deaths, e) }
func eachReduced(s *Snapshot, e emit) { eachOf(s.DeadReduced, e) }

func eachOf(counts map[string]uint64, e emit) {
	for _, label := range slices.Sorted(maps.Keys(counts)) {
		e(float64(counts[label]), label)
	}
}

func oldest(s *Snapshot) float64 {
	if s.Oldest == 0 {
		return 0
	}
	return float64(s.Now-s.Oldest) / 1e9
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
