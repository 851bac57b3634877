package failover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

const (
	openTime   = 30 * time.Second // for a side's connection and source
	commitTime = 10 * time.Second // for a side's commit
	leaveTime  = 2 * time.Second  // for the last commits and the closing of a side that may be dead
	firstPause = 200 * time.Millisecond
	lastPause  = 10 * time.Second
	oneRead    = 500 // records of a side at a time
	oneBytes   = 1 << 20
)

// A source reads both sides, each in a goroutine of its own, with another one for its commits while it is open.
type source struct {
	c      *connection
	reader reader
	config messaging.SourceConfig
	begun  time.Time
	cancel context.CancelFunc
	work   sync.WaitGroup

	flushing sync.Mutex // held while the journal is written, before mu

	mu      sync.Mutex
	k       *keeper
	told    counts
	todo    [2]map[int32]messaging.Position // to be committed
	sides   [2]messaging.Source             // nil while not open
	ended   [2]bool
	closed  bool
	changed chan struct{} // closed and replaced whenever something may be possible that was not
}

// start begins to read. The caller has the connection's lock.
func (c *connection) start(r reader, sc messaging.SourceConfig) (*source, error) {
	k, err := newKeeper(c.rules, c.journal(r), c.sync)
	if err != nil {
		return nil, err
	}
	k.restore(c.kept[r])
	ctx, cancel := context.WithCancel(context.Background())
	s := &source{
		c: c, reader: r, config: sc, begun: time.Now(), cancel: cancel, k: k, changed: make(chan struct{}),
		todo: [2]map[int32]messaging.Position{{}, {}},
	}
	for _, which := range []side{primary, secondary} {
		s.work.Go(func() { s.serve(ctx, which) })
	}
	s.work.Go(func() { s.watch(ctx) })
	return s, nil
}

// now is the time of the wall, as it was when the source was opened, and runs on by the monotonic clock.
func (s *source) now() int64 { return s.begun.UnixNano() + int64(time.Since(s.begun)) }

func (s *source) announce() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// Read implements messaging.Source.
func (s *source) Read(ctx context.Context, limit messaging.Limit) ([]messaging.Record, error) {
	for {
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			return nil, messaging.ErrClosed
		}
		if err := ctx.Err(); err != nil {
			s.mu.Unlock()
			return nil, err
		}
		records, changed := s.k.read(limit), s.changed
		over := s.ended[primary] && s.ended[secondary] && s.k.waits == 0
		if len(records) > 0 {
			s.announce()
		}
		s.mu.Unlock()
		switch {
		case len(records) > 0:
			return records, nil
		case over:
			return nil, io.EOF
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// Commit implements messaging.Source. It returns when the journal knows what is settled; the sides' positions follow.
func (s *source) Commit(_ context.Context, upTo []messaging.Position) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return messaging.ErrClosed
	}
	now := s.now()
	for _, p := range upTo {
		s.k.settle(now, p)
	}
	s.mu.Unlock()
	return s.flush()
}

// flush writes down what has changed, and has the sides' positions committed.
func (s *source) flush() error {
	s.flushing.Lock()
	defer s.flushing.Unlock()
	s.mu.Lock()
	s.k.gather()
	s.mu.Unlock()
	positions, err := s.k.save()
	if err != nil {
		return err
	}
	s.mu.Lock()
	for which, list := range positions {
		for _, p := range list {
			s.todo[which][p.Partition] = p
		}
	}
	var anew []byte
	if s.k.overgrown() {
		anew = s.k.remembered()
	}
	s.announce()
	s.mu.Unlock()
	if anew != nil {
		return s.k.journal.rewrite(anew)
	}
	return nil
}

// Lag implements messaging.Source: that of the active side, and what is ready.
func (s *source) Lag(ctx context.Context) int64 {
	s.mu.Lock()
	active, ready := s.sides[s.k.active], int64(len(s.k.out))
	s.mu.Unlock()
	if active == nil {
		return -1
	}
	lag := active.Lag(ctx)
	if lag < 0 {
		return -1
	}
	return lag + ready
}

// watch is the goroutine that lets time pass.
func (s *source) watch(ctx context.Context) {
	every := min(max(time.Duration(s.c.rules.after)/10, 5*time.Millisecond), 250*time.Millisecond)
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			s.tick()
			if err := s.flush(); err != nil {
				s.c.options.Log.Error("what is settled cannot be written down, so no position moves", "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

func (s *source) tick() {
	s.mu.Lock()
	defer s.mu.Unlock()
	switched := s.k.tick(s.now())
	s.tell()
	if switched {
		s.c.failedOver.Add(change[s.k.active])
		s.c.options.Log.Warn("the other side is active now", "topic", s.reader.topic, "active", s.k.active.String(),
			"connection", s.c.sides[s.k.active], "taken_over", len(s.k.out))
	}
	s.announce()
}

// change is what a switch to a side means for the number of streams that have failed over.
var change = [2]float64{primary: -1, secondary: 1}

// tell moves the counts into the metrics.
func (s *source) tell() {
	now, before := s.k.count, s.told
	s.told = now
	s.c.switches.Add(float64(now.switches - before.switches))
	s.c.duplicates.Add(float64(now.duplicates - before.duplicates))
	s.c.late.Add(float64(now.late - before.late))
	s.c.forgotten.Add(float64(now.forgotten - before.forgotten))
}

// serve opens a side and reads it, again and again: a side that fails is no news to the other. What its client says is logged
// and decides nothing.
func (s *source) serve(ctx context.Context, which side) {
	log := s.c.options.Log.With("topic", s.reader.topic, "side", which.String(), "connection", s.c.sides[which])
	for failures := 0; ctx.Err() == nil; {
		s.mu.Lock()
		s.k.ask(s.now(), which)
		s.mu.Unlock()
		read, err := s.once(ctx, which)
		if ctx.Err() != nil || err == io.EOF { // as it is: a connection that was cut says so too, wrapped in where
			return
		}
		if read {
			failures = 0
		}
		pause := min(lastPause, firstPause<<min(failures, 20))
		failures++
		log.Warn("one side failed", "error", err, "again_in", pause)
		select {
		case <-time.After(pause/2 + rand.N(pause)):
		case <-ctx.Done():
		}
	}
}

// once is one opening of a side's source, up to its failure. It says whether anything was read.
func (s *source) once(ctx context.Context, which side) (read bool, err error) {
	src, err := s.open(ctx, which)
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var committing sync.WaitGroup
	committing.Go(func() { s.commit(ctx, which, src) })
	defer func() {
		cancel()
		committing.Wait()
		s.mu.Lock()
		s.sides[which] = nil
		s.ended[which] = err == io.EOF
		s.announce()
		s.mu.Unlock()
		leave(src.Close)
	}()
	for {
		limit, err := s.room(ctx, which)
		if err != nil {
			return read, err
		}
		records, err := src.Read(ctx, limit)
		if err != nil {
			return read, err
		}
		read = true
		s.take(which, records)
	}
}

func (s *source) open(ctx context.Context, which side) (messaging.Source, error) {
	ctx, cancel := context.WithTimeout(ctx, openTime)
	defer cancel()
	conn, err := s.c.other(ctx, which)
	if err != nil {
		return nil, err
	}
	src, err := conn.Source(ctx, messaging.SourceConfig{
		Topic: s.c.topic(which, s.config.Topic), Group: s.config.Group, Schema: s.config.Schema,
		OnRevoke: func(partitions []int32) {
			s.c.options.Log.Warn("partitions of one side went to another process, which cannot know what the other side has shown here. One process reads a fail-over stream",
				"topic", s.reader.topic, "side", which.String(), "partitions", partitions)
		},
	})
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sides[which] = src
	s.k.reopened(which)
	return src, nil
}

// room waits until more of a side is wanted. While it waits, nobody blames the side.
func (s *source) room(ctx context.Context, which side) (messaging.Limit, error) {
	for {
		s.mu.Lock()
		limit, changed := s.k.wants(which), s.changed
		if limit.Events > 0 {
			s.k.ask(s.now(), which)
		} else {
			s.k.rest(which)
		}
		s.mu.Unlock()
		if limit.Events > 0 {
			return messaging.Limit{Events: min(limit.Events, oneRead), Bytes: min(limit.Bytes, oneBytes)}, ctx.Err()
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return messaging.Limit{}, ctx.Err()
		}
	}
}

func (s *source) take(which side, records []messaging.Record) {
	ids := make([]id, len(records))
	for i := range records {
		ids[i] = s.c.namer.of(&records[i])
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.k.take(s.now(), which, records, ids)
	if len(s.k.out) > 0 {
		s.announce()
	}
}

// commit is the goroutine that commits a side's positions, the newest ones, for as long as its source is open.
func (s *source) commit(ctx context.Context, which side, src messaging.Source) {
	for {
		s.mu.Lock()
		var positions []messaging.Position
		for _, p := range s.todo[which] {
			positions = append(positions, p)
		}
		clear(s.todo[which])
		changed := s.changed
		s.mu.Unlock()
		if len(positions) == 0 {
			select {
			case <-changed:
				continue
			case <-ctx.Done():
				return
			}
		}
		if err := commitTo(ctx, src, positions); err != nil && ctx.Err() == nil {
			s.c.options.Log.Warn("one side did not take its positions", "topic", s.reader.topic, "side", which.String(), "error", err)
			s.putBack(which, positions)
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
				return
			}
		}
	}
}

func commitTo(ctx context.Context, src messaging.Source, positions []messaging.Position) error {
	ctx, cancel := context.WithTimeout(ctx, commitTime)
	defer cancel()
	return src.Commit(ctx, positions)
}

// putBack keeps positions for the next try, where there are no newer ones.
func (s *source) putBack(which side, positions []messaging.Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range positions {
		if _, newer := s.todo[which][p.Partition]; !newer {
			s.todo[which][p.Partition] = p
		}
	}
}

// leave bounds the closing of what may be dead.
func leave(what func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), leaveTime)
	defer cancel()
	return what(ctx)
}

// Close implements messaging.Source. The last positions are committed where the side answers; the journal has them in any case.
func (s *source) Close(ctx context.Context) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.announce()
	s.mu.Unlock()
	err := s.flush()
	s.settleDown(ctx)
	s.cancel()
	done := make(chan struct{})
	go func() { s.work.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
		return errors.Join(err, fmt.Errorf("failover: close %s: %w", s.reader.topic, ctx.Err()))
	}
	s.flushing.Lock()
	defer s.flushing.Unlock()
	s.tell()
	if s.k.active == secondary {
		s.c.failedOver.Add(change[primary]) // the next source begins with the primary
	}
	s.c.left(s.reader, s, s.k.settled)
	return errors.Join(err, s.k.journal.close())
}

// settleDown waits a moment for the sides that are open to take their last positions.
func (s *source) settleDown(ctx context.Context) {
	late := time.After(leaveTime)
	for {
		s.mu.Lock()
		left := 0
		for which, src := range s.sides {
			if src != nil {
				left += len(s.todo[which])
			}
		}
		changed := s.changed
		s.mu.Unlock()
		if left == 0 {
			return
		}
		select {
		case <-changed:
		case <-time.After(10 * time.Millisecond):
		case <-late:
			return
		case <-ctx.Done():
			return
		}
	}
}
