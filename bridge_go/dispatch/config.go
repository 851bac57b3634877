package dispatch

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ds-runner.dev/ds-runner/bridge_go/delivery"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// Batch bounds one frame. Linger is how long an idle worker waits for it to fill. Where there is a Most, frames grow up to it while
// workers are busy and quick, see delivery/size.go.
type Batch struct {
	Events, Bytes int
	Linger        time.Duration
	Most          delivery.Room
}

// Breaker is when failures are held to be the surroundings' and not the events', see delivery.BreakerConfig. Zero values
// are its defaults.
type Breaker struct {
	Off  bool
	Run  int
	Hold time.Duration
}

// A Transaction says how fates become exactly one output each: by prefixes of their partitions, with the positions.
type Transaction struct {
	By     messaging.Transactor // nil: the source is one
	Every  time.Duration        // how long one may wait for more, 100 ms
	Events int                  // or until so many, 8,192
}

// Config describes a route. Values that are zero have the defaults of delivery.Config, or those named here.
type Config struct {
	Program, Command string
	Stream           string // name of the input

	// Open opens the source. It is called when the first worker is ready, with the JSON of its HELLO's describe, and again after the source was left or failed.
	// SourceConfig.OnRevoke is to be Route.Revoke.
	Open func(ctx context.Context, describe []byte) (messaging.Source, error)
	// Decode, when not nil, makes JSON of what was read, in place. Records that it cannot read get a fault. It waits for what may
	// pass, until the context ends, which is its only error.
	Decode func(ctx context.Context, records []messaging.Record) error
	Outlet Outlet

	Nonce       uint64 // of this life of the bridge, the same that the server welcomes workers with
	Batch       Batch
	Order       delivery.Order
	Deadline    time.Duration
	Attempts    int
	Breaker     Breaker
	Bounded     bool // the source ends: no breaker, and an error of the source ends the route
	OneInFlight bool
	Concurrency int           // batches that a worker scores beside each other if it says that it can; 1. More need OneInFlight and no order
	Adaptive    bool          // linger by the pace, see delivery.Config
	MaxEvent    int           // bytes that fit into a frame
	Intake      delivery.Room // read and not settled, see delivery.Config
	Span        delivery.Room // of one partition

	// Transaction, when not nil, has outputs and positions stored together. The outlet is then a [Composer].
	Transaction *Transaction

	// Sequenced has fates handed to the outlet in the order of their partitions, none before those in front of it.
	Sequenced bool
	// Mark, when not nil, is up while results may be stored whose positions are not.
	Mark Mark
	// Window is how long the sinks remember ids, 0 when they do not or nobody knows. Results whose positions could not be
	// committed for longer are told of.
	Window time.Duration

	Paused bool // from the start, until Route.Resume

	LeaveAfter    time.Duration // without a ready worker the source is left, 30 s; never when it is bounded
	CommitEvery   time.Duration // 50 ms
	CommitEvents  int           // or after so many, 10,000
	HeartbeatEach time.Duration // asked of workers' calls connections, 1 s
	MaxBacklog    int           // bytes of fates that wait for the outlet before leases stop, 64 MiB

	Log        *slog.Logger
	Registerer prometheus.Registerer
	// Stored, when not nil, is told on the writer's goroutine of fates that are durable now. It does not block, and keeps
	// neither the slice nor what the fates point to. Nothing of it can fail the route.
	Stored func(fates []Fate)
	// Sinks, when not nil, counts what the outlet had to do.
	Sinks *SinkCounts
	// Work, when not nil, gets the nanoseconds for which workers had the batches that they answered.
	Work *atomic.Int64
}

func (c Config) withDefaults() Config {
	or(&c.LeaveAfter, 30*time.Second)
	or(&c.CommitEvery, 50*time.Millisecond)
	or(&c.CommitEvents, 10_000)
	or(&c.HeartbeatEach, time.Second)
	or(&c.MaxBacklog, 64<<20)
	if c.Transaction != nil {
		t := *c.Transaction
		or(&t.Every, 100*time.Millisecond)
		or(&t.Events, 8_192) // half of what a route reads ahead: the other half is scored meanwhile
		c.Transaction = &t
	}
	or(&c.Deadline, 30*time.Second)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Sinks == nil {
		c.Sinks = &SinkCounts{}
	}
	return c
}

func or[T comparable](v *T, otherwise T) {
	var zero T
	if *v == zero {
		*v = otherwise
	}
}

// rules are the core's share of the settings.
func (c Config) rules() delivery.Config {
	return delivery.Config{
		Nonce: c.Nonce, Order: c.Order, OneInFlight: c.OneInFlight, Adaptive: c.Adaptive, Attempts: c.Attempts, MaxEvent: c.MaxEvent,
		Intake: c.Intake, Span: c.Span,
		Batch: delivery.Room{Events: c.Batch.Events, Bytes: c.Batch.Bytes}, Most: c.Batch.Most, Linger: int64(c.Batch.Linger),
		Deadline: int64(c.Deadline),
		Breaker:  delivery.BreakerConfig{Off: c.Breaker.Off || c.Bounded, Run: c.Breaker.Run, Hold: int64(c.Breaker.Hold)},
	}
}
