package delivery

// A lane is a line of events of which no two may overtake each other: the events of one partition, or those whose
// keys hash alike. While any of its events is with a worker, the lane belongs to that worker, so that its events are
// scored in order; when none is, any worker may take it.
//
// An event that has to be scored again stalls its lane. Events of the lane that were sent behind it may be answered
// before it has been: their answers are discarded, and they go back behind it, since otherwise a later event of a
// key would get its fate first.
type lane struct {
	waiting queue // not with a worker, in order of arrival
	back    queue // came back while others of the lane are still out; goes before waiting when none is
	busy    int   // leased, with a lost worker, or suspect
	cap     int   // busy at most, 0 for no limit
	owner   *Worker
	until   int64 // stalled until then
	timed   bool  // a timer will serve it

	list       *laneList // where a worker can find it
	prev, next *lane
}

// passed says that an event of the lane that came before e has yet to be scored again.
func (l *lane) passed(e *Event) bool { return l.back.head != nil && l.back.head.seq < e.seq }

// open says that w may take an event that comes straight from the source.
func (l *lane) open(w *Worker, now int64) bool {
	if l.waiting.head != nil || l.back.head != nil || l.until > now {
		return false
	}
	return l.busy == 0 || l.owner == w && !l.full()
}

func (l *lane) full() bool { return l.cap > 0 && l.busy >= l.cap }

func (l *lane) filter(keep func(*Event) bool) {
	gone := l.waiting.filter(keep)
	l.back.filter(keep)
	if l.list != nil {
		l.list.events -= gone
		if l.waiting.head == nil {
			l.list.remove(l)
		}
	}
}

// A laneList is a line of lanes from which events can be taken at once: all have events waiting.
type laneList struct {
	head, tail *lane
	events     int
}

func (q *laneList) push(l *lane) {
	l.list, l.prev, l.next = q, q.tail, nil
	if q.tail == nil {
		q.head = l
	} else {
		q.tail.next = l
	}
	q.tail = l
	q.events += l.waiting.n
}

func (q *laneList) remove(l *lane) {
	if l.prev == nil {
		q.head = l.next
	} else {
		l.prev.next = l.next
	}
	if l.next == nil {
		q.tail = l.prev
	} else {
		l.next.prev = l.prev
	}
	q.events -= l.waiting.n
	l.list, l.prev, l.next = nil, nil, nil
}

// queueInLane puts an event that cannot be taken now at the end of its lane.
func (c *Core) queueInLane(l *lane, e *Event) {
	l.waiting.push(e)
	if l.list != nil {
		l.list.events++
		return
	}
	if l.busy > 0 && l.full() {
		c.stats.LaneFull++
	}
	c.serve(l)
}

// takeFromLane removes the event at the head of a listed lane, which w takes.
func (c *Core) takeFromLane(l *lane, w *Worker) *Event {
	e := l.waiting.pop()
	l.list.events--
	l.occupy(w)
	if l.waiting.head == nil || l.full() || l.list != &w.mine {
		l.list.remove(l)
		c.serve(l)
	}
	return e
}

func (l *lane) occupy(w *Worker) {
	l.owner = w
	l.busy++
}

// serve puts a lane where a worker finds it, if it has events that may be taken.
func (c *Core) serve(l *lane) {
	switch {
	case l.list != nil || l.waiting.head == nil:
	case l.until > c.now:
		if !l.timed {
			l.timed = true
			c.timers.push(timer{at: l.until, lane: l})
		}
	case l.busy == 0:
		c.free.push(l)
	case l.owner != nil && l.back.head == nil && !l.full():
		l.owner.mine.push(l)
	}
}

// sendBack puts an event that its lane has out back into it, for not before the time given. The caller releases the lane.
func (c *Core) sendBack(l *lane, e *Event, notBefore int64) {
	if l.list != nil {
		l.list.remove(l)
	}
	l.until = max(l.until, notBefore)
	l.back.insert(e)
}

// release tells a lane that one of its events is no longer out.
func (c *Core) release(l *lane) {
	l.busy--
	if l.busy > 0 {
		c.serve(l)
		return
	}
	// Nothing of it is out any more: it is free for every worker. What came back is older than what has waited.
	l.owner = nil
	if l.list != nil {
		l.list.remove(l)
	}
	l.waiting.prepend(&l.back)
	c.serve(l)
}

// hash is FNV-1a: short keys, no seed, so that a key has the same lane in every run.
func hash(key []byte) uint32 {
	h := uint32(2166136261)
	for _, b := range key {
		h = (h ^ uint32(b)) * 16777619
	}
	return h
}
