package delivery

import (
	"fmt"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// A Core tracks every event of one command from its offer to its one fate. It is not safe for two goroutines.
type Core struct {
	cfg   Config
	now   int64 // as of the last call that told the time
	epoch uint64

	// Events.
	pool       pool
	seq        uint64
	live       Room    // offered and not settled
	kept       int     // offered, and not settled or behind one that is not
	pausing    bool    // the source can stop reading single partitions
	letGo      []int32 // stopped partitions that were taken away
	partitions map[int32]*partition
	over       map[int32]int32 // epoch of the last assignment of a partition that was taken away
	recent     *partition
	fresh      queue // as they came
	again      queue // not ordered by a lane, to be delivered again
	parked     int   // in timers, not ordered by a lane
	lanes      []*lane
	free       laneList // lanes with events waiting and none out
	timers     timers
	fates      []Fate

	// Workers.
	workers    []*Worker
	parting    []*Worker // cut, connection still open
	losses     []*loss   // not judged yet
	storm      []int64   // when frames were lost of late
	left       []departure
	cases      []*suspicion
	supervised bool
	orphaned   int64 // when the last supervisor went, 0 for never
	breaker    breaker
	shrink     uint // halvings of the batch after a worker ran out of memory
	calmAt     int64
	leases     uint64 // the last batch id
	out        int    // leases with workers, losses included
	spare      []*Lease
	draining   bool
	onHold     bool
	served     []Service
	pace       Pace
	sizing     sizing

	due     int64 // when Tick was to be called at the latest, 0 for never
	effects Effects
	stats   Stats
}

// Effects are what the caller of Tick carries out.
type Effects struct {
	Leases []*Lease // to be sent to their workers; valid until the next call of the core
	Cuts   []*Worker
	Closes []Close
	Wake   int64 // when Tick has to be called at the latest, 0 for never
}

// A Close ends a connection. The core is done with its worker already.
type Close struct {
	Worker *Worker
	Why    CloseReason
}

// CloseReason says why a connection is closed.
type CloseReason uint8

const (
	CloseOverdue  CloseReason = iota // over its deadline, and still there after the grace
	CloseReplaced                    // the same name dialled again
	CloseDead                        // its parent says that it is dead, and something holds its socket open
)

// New makes a core.
func New(cfg Config) *Core {
	c := &Core{cfg: cfg.withDefaults(), partitions: map[int32]*partition{}, over: map[int32]int32{}, stats: newStats()}
	c.breaker.cfg = c.cfg.Breaker
	c.sizing.frame = c.cfg.Batch
	if c.cfg.Order == ByKey {
		c.lanes = make([]*lane, c.cfg.Lanes)
		all := make([]lane, c.cfg.Lanes)
		for i := range all {
			all[i].cap = c.cfg.LaneCap
			c.lanes[i] = &all[i]
		}
	}
	return c
}

// Offer brings in events in the order in which they were read. The core keeps pointers into records.
func (c *Core) Offer(now int64, records []messaging.Record) {
	c.now = now
	for i := range records {
		if r := &records[i]; r.Epoch == 0 || c.current(r) {
			c.offer(r)
			c.stats.Offered++
		}
	}
}

func (c *Core) offer(r *messaging.Record) {
	e := c.pool.get()
	c.seq++
	e.Record, e.Offered, e.seq, e.size = r, c.now, c.seq, size(r)
	p := c.partition(r.Partition)
	p.push(e)
	c.kept++
	c.count(e, 1)
	if f := r.Fault; f != nil {
		c.finish(e, Dead, &Failure{Code: f.Code, Reason: f.Reason})
		return
	}
	if e.size > c.cfg.MaxEvent || len(r.Headers) > maxBatchHeaders {
		c.finish(e, Dead, &Failure{Code: "event_too_large", Reason: tooLarge(e, c.cfg.MaxEvent)})
		return
	}
	switch {
	case p.lane != nil:
		e.lane = p.lane
	case c.lanes != nil && r.Key != nil:
		e.lane = c.lanes[hash(r.Key)%uint32(len(c.lanes))]
	}
	e.state = waiting
	c.fresh.push(e)
}

func size(r *messaging.Record) int {
	n := len(r.Value) + len(r.Key)
	for i := range r.Headers {
		n += len(r.Headers[i].Name) + len(r.Headers[i].Value)
	}
	return n
}

func tooLarge(e *Event, limit int) string {
	return fmt.Sprintf("the event has %d bytes and %d headers, a frame takes %d bytes and %d headers",
		e.size, len(e.Record.Headers), limit, maxBatchHeaders)
}

// Wants is how much may be offered now; nothing when either is 0.
func (c *Core) Wants() Room {
	if c.draining || c.stuck() {
		return Room{}
	}
	r := Room{Events: max(0, min(c.cfg.Intake.Events-c.live.Events, c.ahead())), Bytes: max(0, c.cfg.Intake.Bytes-c.live.Bytes)}
	if c.breaker.isOpen() {
		// The source pauses, but for a few events that a probe takes along: those that failed may fail for ever.
		r.Events = min(r.Events, max(0, c.probeSize()/2-c.fresh.n))
	}
	return r
}

// Worthwhile says whether it is time to offer so many. While a full batch waits, little room is left until it is two batches:
// a read costs the same for ten events as for a thousand.
func (c *Core) Worthwhile(events int) bool {
	size := c.sizing.frame.Events
	return events >= 2*size || events > 0 && c.fresh.n < size
}

// ahead is how many more events the workers could use soon: what their windows take, and four batches to choose from.
// Events that wait for their lane or their time are not counted, so that a hot key does not keep the others from being read.
func (c *Core) ahead() int {
	n := framesAhead*c.sizing.frame.Events - c.fresh.n - c.again.n - c.free.events
	for _, w := range c.workers {
		if w.usable() {
			n += w.window.Events - w.used.Events - w.mine.events
		}
	}
	return n
}

// Fates returns the fates given since it was last called, in the order in which they are to be written. The slice is
// valid until the next call of the core.
func (c *Core) Fates() []Fate {
	f := c.fates
	c.fates = c.fates[:0]
	return f
}

// finish gives an event its fate.
func (c *Core) finish(e *Event, k Kind, f *Failure) {
	e.state = fated
	c.fates = append(c.fates, Fate{Event: e, Kind: k, Failure: f})
}

// Settled says that the fate of an event is durable. It is then forgotten.
func (c *Core) Settled(e Ticket, k Kind) {
	if e.part.revoked {
		c.drop(e)
		return
	}
	c.count(e, -1)
	c.stats.Settled[k]++
	e.state = settled
	e.Record = nil // of what waits for others only the position is of use
	if e.part.head == e {
		e.part.advance(c)
	}
}

// count adds an event to what is not settled, or takes it out.
func (c *Core) count(e *Event, by int) {
	c.live.Events += by
	c.live.Bytes += by * e.size
	e.part.live.Events += by
	e.part.live.Bytes += by * e.size
}

// Refused says that the outlet will never take what a fate holds: too large, no rights. The event is dead instead.
func (c *Core) Refused(e Ticket, f Failure) {
	if e.part.revoked {
		c.drop(e)
		return
	}
	c.finish(e, Dead, &f)
}

// Hold stops the giving of leases for a while, and lets it go on: while fates pile up that cannot be written.
func (c *Core) Hold(yes bool) { c.onHold = yes }

// Served returns how long the events answered since it was last called were with their workers, by frame.
func (c *Core) Served() []Service {
	s := c.served
	c.served = c.served[:0]
	return s
}

// A Service is the time that a number of events were with their worker.
type Service struct {
	Nanos  int64
	Events int
}

// Drain ends the giving of leases. What is out may still be answered; the rest is left to the next reader.
func (c *Core) Drain() { c.draining = true }

// Outstanding is the number of batches that are not answered.
func (c *Core) Outstanding() int { return c.out }

// Live is the number of events offered and not settled.
func (c *Core) Live() int { return c.live.Events }

// Tick does what is due and gives leases to workers with room.
func (c *Core) Tick(now int64) Effects {
	c.now = now
	c.wake()
	c.forgive()
	c.expire()
	c.breaker.tick(c)
	if !c.draining && !c.onHold {
		c.dispatch()
	}
	e := c.effects
	c.effects = Effects{Leases: c.effects.Leases[:0]}
	c.due = c.nextWake()
	e.Wake = c.due
	return e
}
