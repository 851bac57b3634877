package delivery

import "ds-runner.dev/ds-runner/bridge_go/messaging"

// A Ticket is how the rest of the bridge names an event between its offer and its end.
type Ticket = *Event

// An Event is one record on its way to its one fate. The exported fields are for reading.
type Event struct {
	Record  *messaging.Record // until it is settled
	Offered int64             // when it came in
	Turn    uint64            // number in its partition since that was assigned, from 0
	Tries   int               // deliveries that ended in a failure, a return or a death that this event took part in

	part  *partition
	lane  *lane  // nil when nothing orders it
	next  *Event // in the queue in which it waits
	after *Event // in its partition
	seq   uint64 // order of arrival, over all partitions
	size  int
	state state

	offset int64 // of the record, which is gone when it is settled

	fails    uint8  // failures said by the model, in the breaker's life number failLife
	failLife uint32 // see breaker.life
	run      uint32 // the last run of failures that counted it
	counted  bool   // its failure is among the breaker's outcomes
	excuses  uint8  // deaths that were the environment's doing
	links    uint8  // connections that were lost under it while the worker lived on
	failure  *Failure
}

// Revoked says that the event's partition was taken away after it was offered: its fate is nobody's affair any more.
func (e *Event) Revoked() bool { return e.part.revoked }

// Assignment is the same for all events of one partition between its assignment and its end.
func (e *Event) Assignment() Assignment { return e.part }

// Lane is the same for all events that may not overtake this one; nil when it has none of them.
func (e *Event) Lane() Lane {
	if e == nil {
		return nil
	}
	return e.lane
}

// A Lane is used as a key.
type Lane = *lane

// An Assignment is a partition from when it was assigned until it is taken away. It is used as a key.
type Assignment = *partition

// Revoked says that it has been taken away.
func (p *partition) Revoked() bool { return p.revoked }

// state says who holds an event. Its holder is the one who lets go of it when its partition has been revoked.
type state uint8

const (
	free    state = iota
	waiting       // in a queue, a lane or parked
	leased        // with a worker, or with a lost one that has not been judged
	suspect       // in a unit that waits for isolation
	held          // failed for good, but the breaker doubts it
	fated         // with the outlet
	settled       // durable, waiting for the events before it
)

// Failure is why an event was rejected or is dead.
type Failure struct {
	Code, Reason string
	Detail       []byte
	Model        string
}

// Kind is what became of an event.
type Kind uint8

const (
	Scored Kind = iota
	Rejected
	Dead
)

func (k Kind) String() string { return [...]string{"scored", "rejected", "dead"}[k] }

// A Fate is the one end of one event. Outputs of a scored one are those First to First+N-1 of the result that was
// settled in the same call.
type Fate struct {
	Event    Ticket
	Kind     Kind
	First, N int
	Failure  *Failure
}

// events are recycled, since one is needed for each record that comes in.
type pool struct{ head *Event }

func (p *pool) get() *Event {
	if p.head == nil {
		p.grow()
	}
	e := p.head
	p.head = e.next
	e.next = nil
	return e
}

func (p *pool) grow() {
	chunk := make([]Event, 256)
	for i := range chunk {
		p.put(&chunk[i])
	}
}

func (p *pool) put(e *Event) {
	*e = Event{next: p.head}
	p.head = e
}
