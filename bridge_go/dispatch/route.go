package dispatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/delivery"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/metrics"
	"ds-runner.dev/ds-runner/bridge_go/steps"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// A Route runs one command. It implements [Pool]; its methods are safe from any goroutine.
type Route struct {
	cfg     Config
	log     *slog.Logger
	metrics *metrics.Route
	began   time.Time
	box     chan func() // what the loop is asked to do
	closing chan struct{}
	done    chan struct{}
	taping  atomic.Bool   // the loop has a recorder
	lookups atomic.Uint64 // calls under leases
	pace    pace

	// From here on the loop's alone.
	core        *delivery.Core
	now         int64
	members     map[Worker]*member
	supervisors []Supervisor
	hung        map[string]struct{} // closed over their deadline, not seen since
	answered    bool
	drain       *drain
	paused      *pause // by the operator
	staged      map[wire.Lease][]Staged
	due         []Staged // of batches answered since the last handover
	err         error    // ends the route

	recorder *recorder // nil while nobody records

	feed      *feed
	eof       bool
	lonely    int64 // since when no worker is ready, 0 while one is
	retryOpen int64 // when the source is tried again
	failures  int   // of the source in a row

	sequence sequence // of fates that wait for those before them, in transactions
	pending  []Fate   // for the writer
	flushAt  int64    // when pending is handed over, in transactions
	spare    []Fate
	backlog  int // bytes of pending
	out      chan handover
	writing  int // fates with the writer

	marked      bool  // the mark may be up, perhaps since the last life
	handedOver  int64 // when fates last were
	storedSince int64 // when the first of those was whose positions are not committed, 0 for none
	astray      bool  // positions of a source that was left could not be committed
	told        bool  // that it takes too long

	settled  int // since the last commit
	commitAt int64
	position map[int32]messaging.Position // to be committed

	count    tally
	reportAt int64
	reported delivery.Stats
}

// A tally is what the loop counts besides the core.
type tally struct {
	outputs, commits, commitErrors, sourceErrors uint64
	taped, tapeDropped                           uint64 // events of recordings

	lag    int64
	stages [4]metrics.Histogram
}

// New makes a route that [Route.Run] runs. Workers may join before.
func New(c Config) *Route {
	c = c.withDefaults()
	r := &Route{
		cfg: c, log: c.Log.With("program", c.Program, "command", c.Command),
		began: time.Now().Add(-time.Second), // so that no time is 0, which means never
		box:   make(chan func(), 256), closing: make(chan struct{}), done: make(chan struct{}),
		core: delivery.New(c.rules()), members: map[Worker]*member{}, hung: map[string]struct{}{}, out: make(chan handover, 1),
		position: map[int32]messaging.Position{}, count: tally{lag: -1}, marked: c.Mark != nil,
	}
	if c.Paused {
		r.paused = &pause{}
	}
	return r
}

// Run runs the route: until the source has ended and all is settled, or [Route.Drain] has finished, or something
// fails that cannot be tried again, or the context ends, which leaves what is in flight to the next life. It is called once.
func (r *Route) Run(ctx context.Context) error {
	defer close(r.done)
	var err error
	if r.metrics, err = metrics.NewRoute(r.cfg.Registerer, r.cfg.Program, r.cfg.Command); err != nil {
		close(r.closing)
		return fmt.Errorf("dispatch: register metrics of %s: %w", r.cfg.Command, err)
	}
	defer r.metrics.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := r.startWriter(ctx)
	r.loop(ctx)
	r.finish(ctx, w)
	return r.err
}

// loop turns until there is nothing left to do.
func (r *Route) loop(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for !r.finished() {
		select {
		case f := <-r.box:
			r.tell()
			f()
			r.more()
		case <-timer.C:
		case <-ctx.Done():
			r.err = ctx.Err()
			return
		}
		r.tell()
		if wake := r.turn(ctx); wake > 0 {
			timer.Reset(time.Duration(max(0, wake-r.now)))
		}
	}
}

// tell brings the loop's clock up to date. It is monotonic: a jump of the wall clock moves no deadline.
func (r *Route) tell() { r.now = r.clock() }

func (r *Route) clock() int64 { return int64(time.Since(r.began)) }

// more takes what else is in the box, but not for ever.
func (r *Route) more() {
	for range cap(r.box) {
		select {
		case f := <-r.box:
			f()
		default:
			return
		}
	}
}

// turn carries out what is due and returns when it has to be called again at the latest, 0 for never.
func (r *Route) turn(ctx context.Context) int64 {
	r.core.Hold(r.backlog > r.cfg.MaxBacklog)
	effects := r.core.Tick(r.now)
	r.collect(&answer{})
	r.carryOut(effects)
	r.handOver()
	r.forgetStaged()
	r.tendRecording()
	r.tend(ctx)
	r.commit()
	unmark := r.lowerMark()
	r.report()
	r.showPace()
	return earliest(effects.Wake, r.commitAt, r.flushAt, r.tendAt(), r.reportAt, r.recordingAt(), r.drainAt(), unmark)
}

func earliest(times ...int64) (first int64) {
	for _, t := range times {
		if t > 0 && (first == 0 || t < first) {
			first = t
		}
	}
	return first
}

// post gives the loop something to do; false when it has ended.
func (r *Route) post(f func()) bool {
	select {
	case r.box <- f:
		return true
	case <-r.closing:
		return false
	}
}

// reachable is how long the loop is waited for by those that cannot go on without its answer.
const reachable = time.Second

// ask has the loop do something and waits for it; false when it has ended or takes longer than the patience.
func (r *Route) ask(patience time.Duration, f func()) bool {
	answered := make(chan struct{})
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case r.box <- func() { f(); close(answered) }:
	case <-r.closing:
		return false
	case <-timer.C:
		return false
	}
	select {
	case <-answered:
		return true
	case <-r.done:
		return false
	case <-timer.C:
		return false
	}
}

// Revoke drops everything of partitions that belong to another reader from now on. It waits for the loop, which never
// waits for a worker or a sink, and never longer than a second.
func (r *Route) Revoke(partitions []int32) {
	r.ask(900*time.Millisecond, func() {
		r.core.Revoke(r.now, partitions)
		for _, p := range partitions {
			delete(r.position, p)
		}
		r.dropRevoked()
		if r.recorder != nil {
			r.recorder.revoked(partitions)
		}
	})
}

// Alive says whether a lease can still be answered: calls under a stale one are refused.
func (r *Route) Alive(l wire.Lease) bool {
	alive := false
	return r.ask(time.Second, func() { alive = r.core.Alive(l.Nonce, l.Batch, l.Epoch) }) && alive
}

// A drain is an orderly end.
type drain struct{ until int64 }

// Drain stops the intake, lets workers finish what they have, writes and commits it, and ends the route. What is not
// answered when the context ends is handed back: it is delivered again in the next life. It returns when Run has ended.
func (r *Route) Drain(ctx context.Context) error {
	r.post(func() { r.beginDrain(ctx) })
	select {
	case <-r.done:
	case <-ctx.Done():
		r.post(func() { r.drain.until = r.now })
		<-r.done
	}
	if errors.Is(r.err, context.Canceled) {
		return nil
	}
	return r.err
}

func (r *Route) beginDrain(ctx context.Context) {
	if r.drain != nil {
		return
	}
	r.drain = &drain{}
	if deadline, ok := ctx.Deadline(); ok {
		r.drain.until = r.now + int64(time.Until(deadline))
	}
	r.log.Info("draining", "in_flight", r.core.Outstanding())
	r.core.Drain()
	r.stopReading()
	r.dismiss("the bridge is draining")
	steps.At(steps.Draining)
}

func (r *Route) drainAt() int64 {
	if r.drain == nil {
		return 0
	}
	return r.drain.until
}

// finished says that Run can end.
func (r *Route) finished() bool {
	idle := len(r.pending) == 0 && len(r.due) == 0 && r.writing == 0
	switch {
	case r.err != nil:
		return true
	case r.drain != nil:
		return idle && r.core.Outstanding() == 0 || r.drain.until != 0 && r.drain.until <= r.now
	}
	return r.eof && idle && r.core.Live() == 0
}

// finish ends everything that the route has started, in the order in which it depends on each other: workers, fates,
// positions, source.
func (r *Route) finish(ctx context.Context, w *writer) {
	r.core.Drain()
	r.farewell()
	close(r.closing)
	if r.writing > 0 {
		w.cancel()
	}
	close(r.out)
	<-w.done
	r.endRecording(true)
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := r.cfg.Outlet.Close(closing); err != nil && r.err == nil {
		r.err = fmt.Errorf("dispatch: close the sinks of %s: %w", r.cfg.Command, err)
	}
	r.gather()
	steps.At(steps.Draining)
	if err := r.endFeed(closing); err != nil && r.err == nil {
		r.err = err
	} else if err == nil && r.cfg.Mark != nil && r.clean() {
		w.lower()
	}
	r.tell()
	r.publish()
	r.log.Info("ended", "in", r.reported.Offered, "scored", r.reported.Settled[Scored],
		"rejected", r.reported.Settled[Rejected], "dead", r.reported.Settled[Dead])
}

// position to commit, as the source wants it.
func (r *Route) positions() []messaging.Position {
	var all []messaging.Position
	for _, p := range r.position {
		all = append(all, p)
	}
	return all
}
