package delivery

// A queue is a line of events, linked through the events themselves. An event waits in one queue at most.
type queue struct {
	head, tail *Event
	n          int
}

func (q *queue) push(e *Event) {
	e.next = nil
	if q.tail == nil {
		q.head = e
	} else {
		q.tail.next = e
	}
	q.tail = e
	q.n++
}

func (q *queue) pop() *Event {
	e := q.head
	q.head = e.next
	if q.head == nil {
		q.tail = nil
	}
	e.next = nil
	q.n--
	return e
}

// insert puts e in its place by arrival. Events nearly always come back in order, so it looks at the end first.
func (q *queue) insert(e *Event) {
	if q.tail == nil || q.tail.seq < e.seq {
		q.push(e)
		return
	}
	at := &q.head
	for (*at).seq < e.seq {
		at = &(*at).next
	}
	e.next = *at
	*at = e
	q.n++
}

// prepend puts all of front before what is queued.
func (q *queue) prepend(front *queue) {
	if front.head == nil {
		return
	}
	front.tail.next = q.head
	if q.tail == nil {
		q.tail = front.tail
	}
	q.head = front.head
	q.n += front.n
	*front = queue{}
}

// filter keeps the events for which keep holds and returns how many went.
func (q *queue) filter(keep func(*Event) bool) (gone int) {
	var kept queue
	for q.head != nil {
		e := q.pop()
		if keep(e) {
			kept.push(e)
		} else {
			gone++
		}
	}
	*q = kept
	return gone
}
