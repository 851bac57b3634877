package kafka

import (
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// An assignment is what a source knows of the partitions that it has at present. Epochs count assignments, over all partitions: one
// that comes back has another epoch than before.
type assignment struct {
	mu      sync.Mutex
	epochs  int32
	parts   map[int32]*part
	settled chan struct{} // closed and renewed at each commit, for who waits for settled records
}

// A part is one assigned partition. Offsets are of what comes next.
type part struct {
	epoch     int32
	member    string // whom the group gave it to
	note      note
	polled    int64 // behind the last record taken from the client, visible or not
	handed    int64 // behind the last record handed out
	done      int64 // behind the last record settled, by a commit
	committed int64 // what the group's offset is, -1 for none
	end       int64 // of the partition, when last heard of
	paused    bool
	leaving   bool // about to be taken away: nothing more is handed out
	leaders   []leader
	passed    []passage
}

// A leader is the leader epoch of the records from an offset on. It goes with commits, so that a later reader finds a
// log that was cut back.
type leader struct {
	from  int64
	epoch int32
}

// A passage tells that nothing visible lies between a record and an offset: a commit of the record may say that offset.
type passage struct{ after, next int64 }

// A note is the metadata of a committed offset.
type note struct {
	Topic      string `json:"topic"`                // id
	Generation int    `json:"generation,omitempty"` // how often the group was moved back
}

func (n note) String() string {
	text, _ := json.Marshal(n)
	return string(text)
}

// noteOf reads metadata, which anybody may have written.
func noteOf(metadata string) note {
	var n note
	_ = json.Unmarshal([]byte(metadata), &n)
	return n
}

func newAssignment() *assignment {
	return &assignment{parts: map[int32]*part{}, settled: make(chan struct{})}
}

// add begins an assignment of a partition, to be read from next on.
func (a *assignment) add(partition int32, member string, n note, next, committed, end int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.epochs++
	a.parts[partition] = &part{epoch: a.epochs, member: member, note: n, polled: next, handed: next, done: next, committed: committed, end: end}
}

// others are partitions that were given to another member id than this one. A client that was given up joins again under a new id and
// may keep what it had, although in between others have read and settled it.
func (a *assignment) others(member string) (partitions []int32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for n, p := range a.parts {
		if p.member != member {
			partitions = append(partitions, n)
		}
	}
	return partitions
}

// all are the partitions that are assigned.
func (a *assignment) all() []int32 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Collect(maps.Keys(a.parts))
}

// remove ends assignments and tells which of them had records that were handed out and not settled.
func (a *assignment) remove(partitions []int32) (unsettled int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, n := range partitions {
		if p := a.parts[n]; p != nil && p.handed > p.done {
			unsettled++
		}
		delete(a.parts, n)
	}
	return unsettled
}

// leave stops the handing out of partitions.
func (a *assignment) leave(partitions []int32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, n := range partitions {
		if p := a.parts[n]; p != nil {
			p.leaving = true
		}
	}
}

// await waits until all that was handed out of these partitions is settled, but not for longer than told.
func (a *assignment) await(partitions []int32, longest time.Duration, closed <-chan struct{}) {
	timeout := time.NewTimer(longest)
	defer timeout.Stop()
	for {
		a.mu.Lock()
		open := slices.ContainsFunc(partitions, func(n int32) bool {
			p := a.parts[n]
			return p != nil && p.handed > p.done
		})
		settled := a.settled
		a.mu.Unlock()
		if !open {
			return
		}
		select {
		case <-settled:
		case <-closed:
			return
		case <-timeout.C:
			return
		}
	}
}

// current finds the assignment that a position is of, nil when that is over.
func (a *assignment) current(p messaging.Position) *part {
	if found := a.parts[p.Partition]; found != nil && found.epoch == p.Epoch {
		return found
	}
	return nil
}

// A settlement is one partition's part of a commit.
type settlement struct {
	messaging.Position
	to kgo.EpochOffset
}

// settlements are what is to be committed for these positions, and the partitions of those whose assignment is over. Positions
// behind an earlier commit are left out.
func (a *assignment) settlements(upTo []messaging.Position) (moves []settlement, stale []int32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, position := range upTo {
		p := a.current(position)
		if p == nil {
			stale = append(stale, position.Partition)
			continue
		}
		if to := p.commitOf(position.Offset); to.Offset > p.committed {
			moves = append(moves, settlement{position, to})
		}
	}
	return moves, stale
}

// over are the partitions of those moves whose assignment has ended.
func (a *assignment) over(moves []settlement) (partitions []int32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, m := range moves {
		if a.current(m.Position) == nil {
			partitions = append(partitions, m.Partition)
		}
	}
	return partitions
}

// record takes note of what was committed.
func (a *assignment) record(moves []settlement) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, m := range moves {
		if p := a.current(m.Position); p != nil {
			p.settle(m.Offset, m.to.Offset)
		}
	}
	close(a.settled)
	a.settled = make(chan struct{})
}

func (p *part) commitOf(offset int64) kgo.EpochOffset {
	to := kgo.EpochOffset{Epoch: -1, Offset: offset + 1}
	for _, l := range p.leaders {
		if l.from > offset {
			break
		}
		to.Epoch = l.epoch
	}
	for _, gone := range p.passed {
		if gone.after == offset {
			to.Offset = gone.next
		}
	}
	return to
}

func (p *part) settle(offset, committed int64) {
	p.done = max(p.done, offset+1)
	p.committed = max(p.committed, committed)
	p.passed = slices.DeleteFunc(p.passed, func(g passage) bool { return g.after < offset })
	for len(p.leaders) > 1 && p.leaders[1].from <= offset {
		p.leaders = p.leaders[1:]
	}
}

// pass notes a record that nobody is to see.
func (p *part) pass(offset int64) {
	p.polled = offset + 1
	last := p.lastHeld()
	if n := len(p.passed); n > 0 && p.passed[n-1].after == last {
		p.passed[n-1].next = offset + 1
		return
	}
	p.passed = append(p.passed, passage{last, offset + 1})
}

// lastHeld is the newest visible record that was taken from the client, -1 for none of this assignment.
func (p *part) lastHeld() int64 {
	if len(p.leaders) == 0 {
		return -1
	}
	return p.newest()
}

func (p *part) newest() int64 {
	if n := len(p.passed); n > 0 && p.passed[n-1].next == p.polled {
		return p.passed[n-1].after
	}
	return p.polled - 1
}

func (p *part) take(r *kgo.Record) {
	p.polled = r.Offset + 1
	if n := len(p.leaders); n == 0 || p.leaders[n-1].epoch != r.LeaderEpoch {
		p.leaders = append(p.leaders, leader{r.Offset, r.LeaderEpoch})
	}
}
