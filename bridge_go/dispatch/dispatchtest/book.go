package dispatchtest

import (
	"context"
	"fmt"
	"sync"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// A Book is an outlet that keeps every fate. It outlives routes, as a broker does.
type Book struct {
	mu       sync.Mutex
	scored   map[string][]string // outputs by event, one entry each time
	rejected map[string]int
	dead     map[string]int
	codes    map[string]string
	order    map[string][]string // events in the order of their first fate, by key
	fail     error
}

// NewBook has no fates.
func NewBook() *Book {
	return &Book{scored: map[string][]string{}, rejected: map[string]int{}, dead: map[string]int{},
		codes: map[string]string{}, order: map[string][]string{}}
}

// Settle implements dispatch.Outlet.
func (b *Book) Settle(_ context.Context, fates []dispatch.Fate) ([]dispatch.Refusal, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail != nil {
		return nil, b.fail
	}
	for i := range fates {
		b.write(&fates[i])
	}
	return nil, nil
}

func (b *Book) write(f *dispatch.Fate) {
	id := fmt.Sprintf("%d/%d", f.Record.Partition, f.Record.Offset)
	if b.times(id) == 0 && f.Record.Key != nil {
		b.order[string(f.Record.Key)] = append(b.order[string(f.Record.Key)], id)
	}
	switch f.Kind {
	case dispatch.Scored:
		for _, o := range f.Outputs {
			b.scored[id] = append(b.scored[id], string(o))
		}
	case dispatch.Rejected:
		b.rejected[id]++
	case dispatch.Dead:
		b.dead[id]++
		b.codes[id] = f.Code
	}
}

func (b *Book) times(id string) int { return len(b.scored[id]) + b.rejected[id] + b.dead[id] }

// Close implements dispatch.Outlet.
func (b *Book) Close(context.Context) error { return nil }

// Events is the number of events with a fate.
func (b *Book) Events() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.scored) + len(b.rejected) + len(b.dead)
}

// Dead are the codes of the dead events.
func (b *Book) Dead() map[string]string {
	b.mu.Lock()
	defer b.mu.Unlock()
	dead := map[string]string{}
	for id := range b.dead {
		dead[id] = b.codes[id]
	}
	return dead
}

// An Audit is what a book says of a log: `lost` events have no fate, `wrong` ones an answer that is not theirs, `duplicates` are
// outputs beyond the first of an event, `inversions` first fates out of the order of their key.
type Audit struct {
	Lost, Wrong, Duplicates, Inversions int
	Unexpected                          int // fates of events that are not in the log
	Scored, Rejected, Dead              int
}

// Audit holds the book against the events that a log had.
func (b *Book) Audit(records []messaging.Record) (a Audit) {
	b.mu.Lock()
	defer b.mu.Unlock()
	known := map[string]bool{}
	for i := range records {
		id := fmt.Sprintf("%d/%d", records[i].Partition, records[i].Offset)
		known[id] = true
		if b.times(id) == 0 {
			a.Lost++
		}
		for _, o := range b.scored[id] {
			if o != string(AppendAnswer(nil, records[i].Value)) {
				a.Wrong++
			}
		}
		a.Duplicates += max(0, b.times(id)-1)
	}
	for id := range b.scored {
		if !known[id] {
			a.Unexpected++
		}
	}
	a.Inversions = b.inversions(records)
	a.Scored, a.Rejected, a.Dead = len(b.scored), len(b.rejected), len(b.dead)
	return a
}

func (b *Book) inversions(records []messaging.Record) (n int) {
	rank := map[string]int{}
	for i := range records {
		rank[fmt.Sprintf("%d/%d", records[i].Partition, records[i].Offset)] = i
	}
	for _, ids := range b.order {
		for i := 1; i < len(ids); i++ {
			if rank[ids[i]] < rank[ids[i-1]] {
				n++
			}
		}
	}
	return n
}
