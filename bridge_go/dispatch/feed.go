package dispatch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/steps"
)

// A feed is one opening of the source: its reader and its committer. The loop opens it when a worker is ready and
// leaves it when none has been for a while: a reader of a group holds partitions, and those of a program that cannot
// load its model are to go to another.
type feed struct {
	cancel  context.CancelFunc // ends the reader
	src     messaging.Source   // nil until it is open
	pauser  messaging.Pauser   // the source, if it can stop reading single partitions
	limits  chan messaging.Limit
	commits chan []messaging.Position // nil until it is open

	opened     int64 // when
	reading    bool
	committing bool
	asked      int64 // when the last commit was asked for
	leaving    bool  // reads no more
	left       bool  // commits no more either: it is being closed beside the loop
	once       sync.Once
	ended      error
	readerDone chan struct{}
	commitDone chan error // the last commit's error, then closed
}

// How long the source is waited for before it is tried again.
const (
	firstReopen = 200 * time.Millisecond
	lastReopen  = 30 * time.Second

	// trustAfter is how long a source that failed before has to be open without a failure until the route is ready: opening
	// some sources costs them nothing, and it is the first read that fails.
	trustAfter = time.Second
)

// tend opens, reads and leaves the source, as workers come and go.
func (r *Route) tend(ctx context.Context) {
	ready := r.core.ReadyWorkers() > 0
	switch {
	case ready:
		r.lonely = 0
	case r.lonely == 0:
		r.lonely = r.now
	}
	switch {
	case r.drain != nil || r.eof:
	case r.paused != nil:
		r.rest(ctx)
	case r.feed == nil:
		if ready && r.retryOpen <= r.now {
			r.openFeed(ctx)
		}
	case r.leaveAt() != 0 && r.leaveAt() <= r.now:
		r.log.Info("no worker is ready, leaving the source", "after", r.cfg.LeaveAfter)
		r.leaveFeed(ctx)
	default:
		r.steer()
		r.askForMore()
	}
}

// tendAt is when tend has something to do though nothing happens.
func (r *Route) tendAt() int64 {
	switch {
	case r.drain != nil || r.eof || r.paused != nil:
		return 0
	case r.feed == nil && r.lonely == 0:
		return r.retryOpen
	}
	return r.leaveAt()
}

// leaveAt is when the source is left for want of workers, 0 for never. One that is being opened is left when it is open.
func (r *Route) leaveAt() int64 {
	if f := r.feed; f == nil || f.src == nil || f.leaving || r.lonely == 0 || r.cfg.Bounded {
		return 0
	}
	return r.lonely + int64(r.cfg.LeaveAfter)
}

func (r *Route) openFeed(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	f := &feed{cancel: cancel, limits: make(chan messaging.Limit, 1), readerDone: make(chan struct{})}
	r.feed = f
	go r.read(ctx, f, r.description())
}

// description is what the workers say of the event type.
func (r *Route) description() []byte {
	for w := range r.members {
		if d := w.Hello().Describe; len(d) > 0 {
			return d
		}
	}
	return nil
}

// read is the reader goroutine.
func (r *Route) read(ctx context.Context, f *feed, describe []byte) {
	defer close(f.readerDone)
	src, err := r.cfg.Open(ctx, describe)
	if err != nil {
		r.post(func() { r.feedFailed(f, fmt.Errorf("open %s: %w", r.cfg.Stream, err)) })
		return
	}
	if !r.post(func() { r.feedOpened(f, src) }) {
		f.src = src // endFeed closes it, after this goroutine has ended
		return
	}
	for {
		select {
		case limit := <-f.limits:
			records, err := src.Read(ctx, limit)
			steps.At(steps.AfterPoll)
			if r.cfg.Decode != nil && len(records) > 0 {
				if failed := r.cfg.Decode(ctx, records); failed != nil {
					records, err = nil, failed
				}
			}
			r.post(func() { r.received(f, records, err) })
			if err != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

func (r *Route) feedOpened(f *feed, src messaging.Source) {
	f.src = src
	f.pauser, _ = src.(messaging.Pauser)
	r.core.Pausing(f.pauser != nil)
	f.commits = make(chan []messaging.Position, 1)
	f.commitDone = make(chan error, 1)
	go r.committer(f)
	f.opened, r.count.lag = r.now, -1
	r.log.Info("source opened", "stream", r.cfg.Stream)
}

// steer has the source stop reading partitions whose oldest event is stuck, and read them on later.
func (r *Route) steer() {
	f := r.feed
	if f == nil || f.pauser == nil || f.leaving {
		return
	}
	readOn, stop := r.core.Turned()
	if len(readOn) > 0 {
		f.pauser.Resume(readOn)
		r.log.Info("partitions are read again", "stream", r.cfg.Stream, "partitions", readOn)
	}
	if len(stop) > 0 {
		f.pauser.Pause(stop)
		r.log.Warn("partitions are read no further: too much waits behind their oldest events", "stream", r.cfg.Stream, "partitions", stop)
	}
}

// askForMore has the reader read when the core wants a worthwhile number of events.
func (r *Route) askForMore() {
	f := r.feed
	if f.src == nil || f.reading || f.leaving || r.sequence.bytes > r.cfg.MaxBacklog {
		return
	}
	if room := r.core.Wants(); r.core.Worthwhile(room.Events) && room.Bytes > 0 {
		f.reading = true
		f.limits <- messaging.Limit{Events: room.Events, Bytes: room.Bytes}
	}
}

// received takes in what was read.
func (r *Route) received(f *feed, records []messaging.Record, err error) {
	f.reading = false
	if f != r.feed || f.leaving {
		return
	}
	r.core.Offer(r.now, records)
	switch {
	case err == nil:
		r.failures = 0
	case err == io.EOF: // as it is: a connection that was cut says so too, wrapped in where
		r.eof = true
	case errors.Is(err, context.Canceled):
	default:
		r.feedFailed(f, fmt.Errorf("read %s: %w", r.cfg.Stream, err))
	}
}

// feedFailed gives the source up. A bounded one ends the route: what it holds is not going to come otherwise.
func (r *Route) feedFailed(f *feed, err error) {
	if f != r.feed || f.leaving {
		return
	}
	r.count.sourceErrors++
	if r.cfg.Bounded {
		r.err = fmt.Errorf("dispatch: %s: %w", r.cfg.Command, err)
		return
	}
	if f.lasted(r.now) {
		r.failures = 0
	}
	pause := min(lastReopen, firstReopen<<min(r.failures, 20))
	r.failures++
	r.retryOpen = r.now + int64(pause)
	r.log.Error("source failed", "error", err, "again_in", pause)
	r.leaveFeed(context.Background())
}

// lasted says that a source has been open for long enough to have nothing to do with the failures before.
func (f *feed) lasted(now int64) bool { return f.src != nil && now-f.opened > int64(lastReopen) }

// trusted says that a source is open and has not failed for a while, though it may have given nothing yet.
func (f *feed) trusted(now int64) bool {
	return f.src != nil && !f.leaving && now-f.opened >= int64(trustAfter)
}

// stopReading ends the intake, but not the feed: positions are committed still.
func (r *Route) stopReading() {
	if r.feed != nil {
		r.feed.leaving = true
		r.feed.cancel()
	}
}

// leaveFeed closes the source beside the loop, after what is settled has been committed. Events of it that have no fate are
// dropped; they come again from the last commit on.
func (r *Route) leaveFeed(ctx context.Context) {
	f := r.feed
	if f.leaving {
		return
	}
	r.gather()
	r.core.RevokeAll(r.now)
	f.leaving, f.left = true, true
	last := r.positions()
	clear(r.position)
	ctx = context.WithoutCancel(ctx)
	go func() {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		if err := f.end(ctx, last); err != nil {
			r.log.Warn("source was not left in order", "error", err)
			r.post(func() { r.astray = true })
		}
		r.post(func() { r.feed = nil; r.tellPaused() })
	}()
}

// endFeed leaves the source at the end of the route.
func (r *Route) endFeed(ctx context.Context) error {
	if r.feed == nil {
		return nil
	}
	if err := r.feed.end(ctx, r.positions()); err != nil {
		return fmt.Errorf("dispatch: leave %s: %w", r.cfg.Stream, err)
	}
	return nil
}

// end stops the reader, commits the last positions, and closes the source, once: a route that ends while its source is being
// left waits for that.
func (f *feed) end(ctx context.Context, last []messaging.Position) error {
	f.once.Do(func() { f.ended = f.close(ctx, last) })
	return f.ended
}

func (f *feed) close(ctx context.Context, last []messaging.Position) error {
	f.cancel()
	<-f.readerDone
	if f.src == nil {
		return nil
	}
	var err error
	if f.commits != nil {
		close(f.commits)
		err = <-f.commitDone
	}
	if len(last) > 0 {
		err = f.src.Commit(ctx, last)
	}
	return errors.Join(err, f.src.Close(ctx))
}
