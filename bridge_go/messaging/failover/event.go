package failover

import "ds-runner.dev/ds-runner/bridge_go/messaging"

// A side is one of the two connections.
type side uint8

const (
	primary side = iota
	secondary
)

func (s side) other() side { return 1 - s }

func (s side) String() string { return [...]string{"primary", "secondary"}[s] }

// Partitions of the two sides take turns: those of the primary are even, those of the secondary odd.
func (s side) outside(partition int32) int32 { return 2*partition + int32(s) }

func inside(partition int32) (side, int32) { return side(partition & 1), partition >> 1 }

// An id is the hash of what names an event.
type id [16]byte

// A place is where a side has an event.
type place struct {
	partition int32
	offset    int64
}

type state uint8

const (
	waiting   state = iota // for the active side to show it
	delivered              // handed out, or about to be
	settled                // its fate is stored
)

// An event is one occurrence of an id. An id that a producer uses twice is two events; the first that a side shows is the first of
// the other.
type event struct {
	id     id
	known  bool // by its id; a record that has none is an event by itself
	shown  [2]bool
	place  [2]place
	from   side // that handed it out
	state  state
	at     int64             // when it was first shown; when it was settled, once it is
	record *messaging.Record // of one that waits
	gone   bool              // forgotten
}

// size is what a waiting event holds.
func (e *event) size() int {
	n := 200 + len(e.record.Key) + len(e.record.Value)
	for _, h := range e.record.Headers {
		n += 40 + len(h.Name) + len(h.Value)
	}
	return n
}

// An item is a record that a side has shown.
type item struct {
	offset int64
	epoch  int32 // the side's own
	event  *event
}

// A line is what was read of one partition of a side and is not settled from its beginning on. Its position is behind the longest settled
// prefix.
type line struct {
	epoch int32 // the side's own, of what was read last
	again bool  // the side's source was opened anew: what it gives next begins at its position
	read  []item
	out   []item // of read, what was handed out from here, in the same order
	upTo  messaging.Position
	moved bool
}

// advance lets go of the settled prefix.
func (l *line) advance(partition int32) {
	for len(l.read) > 0 && l.read[0].event.state == settled {
		l.upTo = messaging.Position{Partition: partition, Offset: l.read[0].offset, Epoch: l.read[0].epoch}
		l.moved = true
		l.read[0] = item{}
		l.read = l.read[1:]
	}
}
