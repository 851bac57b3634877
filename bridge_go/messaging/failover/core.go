package failover

import (
	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// Rules are the settings that decide.
type rules struct {
	after, back, window int64 // ns
	ids                 int   // that are remembered
	ahead, aheadBytes   int   // what may wait
	output, outputBytes int   // what may be ready to be handed out
}

// A core decides what is handed out, from which side, and what is settled. It knows no goroutines and no clock: whoever calls it has
// the lock, and says what time it is.
type core struct {
	rules  rules
	active side
	newest [2]int64 // the highest time of a record that each side has shown
	since  [2]int64 // when each side began to be waited for in vain; 0 while nobody waits
	upTime int64    // since when the primary has kept up, while it is not active; 0 while it does not

	events  map[id][]*event
	known   int // events in it
	lines   [2]map[int32]*line
	ahead   [2]fifo // waiting events, by the side that showed them
	waits   int     // of these, those that still wait
	bytes   int
	owed    fifo // handed out from the secondary while it is active; the primary has yet to show them
	settled fifo // in the order in which they were
	unsaved []*event

	out      []messaging.Record
	outBytes int

	count counts
}

// Counts are since the core was made.
type counts struct{ switches, duplicates, late, forgotten uint64 }

// A fifo is a queue of events from which those in the middle are taken out by what they have become.
type fifo []*event

func (f *fifo) pop() {
	(*f)[0] = nil
	*f = (*f)[1:]
}

func newCore(r rules) *core {
	return &core{rules: r, events: map[id][]*event{}, lines: [2]map[int32]*line{{}, {}}}
}

// wants says how much may be read of a side: nothing while what it has shown is not needed.
func (c *core) wants(s side) messaging.Limit {
	l := messaging.Limit{Events: c.rules.output - len(c.out), Bytes: c.rules.outputBytes - c.outBytes}
	if s != c.active {
		l = messaging.Limit{Events: c.rules.ahead - c.waits, Bytes: c.rules.aheadBytes - c.bytes}
	}
	if l.Events <= 0 || l.Bytes <= 0 {
		return messaging.Limit{}
	}
	return l
}

// ask notes that a side is being waited for; rest, that it is not, so that nobody blames it.
func (c *core) ask(now int64, s side) {
	if c.since[s] == 0 {
		c.since[s] = now
	}
}

func (c *core) rest(s side) { c.since[s] = 0 }

// take takes in what a side has shown. The ids are those of the records; a record without one has a fault that says so.
func (c *core) take(now int64, s side, records []messaging.Record, ids []id) {
	c.since[s] = 0
	if s == primary && c.active == secondary && c.upTime == 0 && len(records) > 0 {
		c.upTime = now
	}
	for i := range records {
		c.newest[s] = max(c.newest[s], records[i].Time)
		c.show(now, s, &records[i], ids[i])
	}
}

func (c *core) show(now int64, s side, r *messaging.Record, name id) {
	l := c.line(s, r)
	e, again := c.find(s, r, name)
	l.read = append(l.read, item{r.Offset, r.Epoch, e})
	switch {
	case again:
		// Read again after a restart: it has its fate, or will have.
	case e.state != waiting:
		e.shown[s], e.place[s] = true, place{r.Partition, r.Offset}
		c.count.duplicates++
		if e.state == settled {
			c.unsaved = append(c.unsaved, e)
		}
	case e.shown[s.other()]: // the active side shows what has waited
		e.shown[s], e.place[s] = true, place{r.Partition, r.Offset}
		c.stopWaiting(e)
		c.count.duplicates++
		c.deliver(now, s, e, r)
	default:
		e.shown[s], e.place[s], e.at = true, place{r.Partition, r.Offset}, now
		if s == c.active {
			c.deliver(now, s, e, r)
		} else {
			c.wait(s, e, r)
		}
	}
	l.advance(r.Partition)
}

// line is that of a record's partition. Under a new assignment of the partition its records come again from the side's position on.
func (c *core) line(s side, r *messaging.Record) *line {
	l := c.lines[s][r.Partition]
	switch {
	case l == nil:
		l = &line{epoch: r.Epoch}
		c.lines[s][r.Partition] = l
	case l.epoch != r.Epoch || l.again:
		l.epoch, l.again, l.read = r.Epoch, false, nil
	}
	return l
}

// reopened notes that a side's source was opened anew, and gives again what its positions do not cover. What is handed out stays so:
// the events are known by their places when they come again.
func (c *core) reopened(s side) {
	for _, l := range c.lines[s] {
		l.again = true
	}
}

// find gives the event that a record is: the one that is known to be at this place, or the first of its id that the side has not shown,
// or a new one.
func (c *core) find(s side, r *messaging.Record, name id) (e *event, again bool) {
	if name == (id{}) {
		return &event{}, false
	}
	at := place{r.Partition, r.Offset}
	for _, e := range c.events[name] {
		if e.shown[s] && e.place[s] == at {
			return e, true
		}
	}
	for _, e := range c.events[name] {
		if !e.shown[s] {
			return e, false
		}
	}
	e = &event{id: name, known: true}
	c.remember(e)
	return e, false
}

func (c *core) remember(e *event) {
	c.events[e.id] = append(c.events[e.id], e)
	c.known++
}

func (c *core) wait(s side, e *event, r *messaging.Record) {
	kept := *r // or else it would hold all that was read with it
	e.record = &kept
	c.ahead[s] = append(c.ahead[s], e)
	c.waits++
	c.bytes += e.size()
}

func (c *core) stopWaiting(e *event) {
	c.waits--
	c.bytes -= e.size()
	e.record = nil
}

// deliver hands an event out, as the side has it.
func (c *core) deliver(now int64, s side, e *event, r *messaging.Record) {
	l := c.lines[s][r.Partition]
	e.state, e.from = delivered, s
	l.out = append(l.out, item{r.Offset, r.Epoch, e})
	if s == secondary && c.active == secondary && e.known && !e.shown[primary] {
		e.at = now
		c.owed = append(c.owed, e)
	}
	o := *r
	o.Partition, o.Epoch = s.outside(r.Partition), 0
	c.out = append(c.out, o)
	c.outBytes += len(o.Key) + len(o.Value)
}

// release hands out the oldest event that a side has shown and that waits.
func (c *core) release(now int64, s side) {
	e := c.ahead[s][0]
	c.ahead[s].pop()
	r := e.record
	c.stopWaiting(e)
	c.deliver(now, s, e, r)
}

// oldest is the oldest event that waits, nil for none.
func (c *core) oldest(s side) *event {
	q := &c.ahead[s]
	for len(*q) > 0 && ((*q)[0].state != waiting || (*q)[0].gone) {
		q.pop()
	}
	if len(*q) == 0 {
		*q = nil
		return nil
	}
	return (*q)[0]
}

// tick decides what time brings, and says whether something became ready.
func (c *core) tick(now int64) (switched bool) {
	standby := c.active.other()
	switch {
	case c.stalled(now), c.active == secondary && c.keptUp(now):
		c.change(now, standby)
		switched = true
	default:
		for e := c.oldest(standby); e != nil && c.passedOver(now, e); e = c.oldest(standby) {
			c.count.late++
			c.release(now, standby)
		}
	}
	c.forget(now)
	return switched
}

// stalled: the active side was asked and gave nothing for so long, and the other has had an event for as long that it lacks.
func (c *core) stalled(now int64) bool {
	since := c.since[c.active]
	if since == 0 || now-since < c.rules.after {
		return false
	}
	e := c.oldest(c.active.other())
	return e != nil && now-e.at >= c.rules.after
}

// passedOver: the active side has not shown the event within the window, and has shown younger ones. One that works through
// a long backlog has yet to come to it.
func (c *core) passedOver(now int64, e *event) bool {
	if now-e.at < c.rules.window {
		return false
	}
	newest := c.newest[c.active]
	return newest == 0 || newest >= e.record.Time
}

// keptUp: the primary has shown for so long, in time, whatever the secondary has handed out.
func (c *core) keptUp(now int64) bool {
	for len(c.owed) > 0 && (c.owed[0].shown[primary] || c.owed[0].gone || now-c.owed[0].at >= c.rules.window) {
		c.owed.pop()
	}
	if len(c.owed) > 0 && now-c.owed[0].at >= c.rules.after {
		c.upTime = 0
	}
	return c.upTime != 0 && now-c.upTime >= c.rules.back
}

func (c *core) change(now int64, to side) {
	c.count.switches++
	c.active, c.upTime, c.owed = to, 0, nil
	for e := c.oldest(to); e != nil; e = c.oldest(to) {
		c.release(now, to)
	}
}

// read takes what is ready, within limits.
func (c *core) read(limit messaging.Limit) []messaging.Record {
	n, bytes := 0, 0
	for n < len(c.out) && n < max(limit.Events, 1) {
		if bytes += len(c.out[n].Key) + len(c.out[n].Value); n > 0 && bytes > limit.Bytes {
			break
		}
		n++
	}
	if n == 0 {
		return nil
	}
	records := c.out[:n:n]
	c.out = c.out[n:]
	for i := range records {
		c.outBytes -= len(records[i].Key) + len(records[i].Value)
	}
	return records
}

// settle notes that the fates of what was handed out of a partition are stored, up to a position of our own.
func (c *core) settle(now int64, p messaging.Position) {
	s, partition := inside(p.Partition)
	l := c.lines[s][partition]
	if l == nil {
		return
	}
	for len(l.out) > 0 && l.out[0].offset <= p.Offset {
		e := l.out[0].event
		l.out[0] = item{}
		l.out = l.out[1:]
		e.state, e.at = settled, now
		for _, shown := range []side{primary, secondary} {
			if other := c.lines[shown][e.place[shown].partition]; e.shown[shown] && other != nil {
				other.advance(e.place[shown].partition)
			}
		}
		if e.known {
			c.unsaved = append(c.unsaved, e)
			c.settled = append(c.settled, e)
		}
	}
}

// forget drops settled events that are older than the window, or too many.
func (c *core) forget(now int64) {
	for len(c.settled) > 0 {
		e := c.settled[0]
		old := now-e.at >= c.rules.window
		if !old && c.known <= c.rules.ids {
			break
		}
		if !old && !(e.shown[primary] && e.shown[secondary]) {
			c.count.forgotten++
		}
		c.settled.pop()
		c.drop(e)
	}
	if len(c.settled) == 0 {
		c.settled = nil
	}
}

func (c *core) drop(e *event) {
	e.gone = true
	all := c.events[e.id]
	for i, other := range all {
		if other == e {
			all = append(all[:i:i], all[i+1:]...)
			c.known--
			break
		}
	}
	if len(all) == 0 {
		delete(c.events, e.id)
	} else {
		c.events[e.id] = all
	}
}
