package shadow

import (
	"context"
	"encoding/json"
	"log/slog"
	"math"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ds-runner.dev/ds-runner/bridge_go/delivery"
	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// suffix is what workers of a shadow say behind their command's name in HELLO.
const suffix = "/shadow"

// Of is the command whose shadow a name of HELLO means; false for a command itself.
func Of(name string) (command string, ok bool) { return strings.CutSuffix(name, suffix) }

const (
	// never is how long a shadow without workers keeps its source: the queue holds what it is bounded to.
	never = 100 * 365 * 24 * time.Hour
	// lastAnswers is how long the end waits for answers to what is queued, when workers are there to give them, unless a Config
	// says otherwise.
	lastAnswers = time.Second
	// defaultTolerance is by how much floats may differ where a worker does not say.
	defaultTolerance = 1e-9
)

// Config describes the shadow of a command.
type Config struct {
	Program, Command, Stream string
	Model                    string // version or alias, as program.yaml has it

	Share     float64 // of the command's work, which the shadow may take; 0: as much as it likes
	Tolerance float64 // how far two numbers with a fraction may be apart

	Queue    messaging.Limit // events and bytes that wait or are being scored
	Nonce    uint64
	Batch    dispatch.Batch
	Order    delivery.Order
	Deadline time.Duration
	Last     time.Duration // how long the end waits for the last answers, 1 s

	Log        *slog.Logger
	Registerer prometheus.Registerer // or nil
}

// A Shadow is safe from any goroutine.
type Shadow struct {
	Leases *Leases

	model string
	route *dispatch.Route
	queue *queue
	tally *tally
	log   *slog.Logger
	last  time.Duration
	done  chan struct{}
	work  struct{ command, own atomic.Int64 } // nanoseconds for which workers had the batches that they answered

	tolerance atomic.Uint64 // bits of a float
}

// New makes a shadow that Run runs. Workers may join before.
func New(c Config) (*Shadow, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Last == 0 {
		c.Last = lastAnswers
	}
	s := &Shadow{model: c.Model, queue: newQueue(c.Queue), tally: newTally(), last: c.Last, done: make(chan struct{})}
	s.queue.budget = budget{c.Share, &s.work.command, &s.work.own}
	s.log = c.Log.With("command", c.Command, "shadow", c.Model)
	s.route = dispatch.New(dispatch.Config{
		Program: c.Program, Command: c.Command + suffix, Stream: c.Stream, Nonce: c.Nonce,
		Open:   s.open,
		Outlet: &comparison{s.queue, s.tally, c.Tolerance, &s.tolerance},
		Batch:  c.Batch, Order: c.Order, Deadline: c.Deadline,
		// What fails is counted: there is nothing to protect from being dead-lettered.
		Attempts: 1, Breaker: dispatch.Breaker{Off: true},
		LeaveAfter: never, Log: c.Log, Work: &s.work.own,
	})
	s.tolerance.Store(math.Float64bits(defaultTolerance))
	s.Leases = &Leases{route: s.route, dropped: &s.tally.writes}
	return s, s.register(c)
}

// Pool is what the shadow's workers join.
func (s *Shadow) Pool() dispatch.Pool { return s.route }

// open gives the queue, and takes from the first worker by how much its class lets two floats differ.
func (s *Shadow) open(_ context.Context, describe []byte) (messaging.Source, error) {
	described := struct {
		Tolerance float64 `json:"tolerance"`
	}{defaultTolerance}
	if json.Unmarshal(describe, &described) == nil {
		s.tolerance.Store(math.Float64bits(described.Tolerance))
	}
	return s.queue, nil
}

// Work is where the routes of the command count the work of their workers, which a share is of.
func (s *Shadow) Work() *atomic.Int64 { return &s.work.command }

// Offer takes a copy of events that have their fate, as far as there is room; the newest are dropped. It never waits.
func (s *Shadow) Offer(fates []dispatch.Fate) { s.queue.offer(fates) }

// Run runs the shadow until Drain. A shadow that fails is logged; nobody else is concerned.
func (s *Shadow) Run(ctx context.Context) {
	defer close(s.done)
	if err := s.route.Run(ctx); err != nil {
		s.log.Error("the shadow has ended, the command goes on without it", "error", err)
	}
}

// Drain ends the shadow: what is queued is scored and compared if that takes no longer than a moment, and dropped otherwise.
func (s *Shadow) Drain() {
	s.queue.end()
	if s.route.Status().Ready {
		select {
		case <-s.done:
		case <-time.After(s.last):
		}
	}
	over, cancel := context.WithDeadline(context.Background(), time.Now())
	defer cancel()
	s.route.Drain(over)
	<-s.done
	s.queue.abandon()
	n := s.Status()
	s.log.Info("shadow ended", "compared", n.Compared, "differing", n.Differing, "dropped", n.Dropped, "spared", n.Spared)
}
