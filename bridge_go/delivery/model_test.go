package delivery

import (
	"fmt"
	"testing"
)

// A truth is what an event really is, which the core can only find out.
type truth uint8

const (
	good   truth = iota
	raises       // fails whenever it is scored
	rejects
	kills // ends its worker
)

// A model is the specification: what must hold for every event whatever happens.
type model struct {
	t      *testing.T
	truth  map[string]truth   // by event id
	open   map[Ticket]string  // offered and not settled
	fate   map[string]Kind    // of settled events
	fated  map[Ticket]bool    // handed out, not settled
	excuse map[string]bool    // refused by the outlet: dead, and innocent
	lane   map[string]string  // what orders it
	rank   map[string]int     // arrival by lane
	newest map[string]int     // rank of the newest first fate of a lane
	first  map[string]bool    // ids that have had a first fate
	dead   map[string]Failure // for messages
}

func newModel(t *testing.T) *model {
	return &model{t: t, truth: map[string]truth{}, open: map[Ticket]string{}, fate: map[string]Kind{},
		fated: map[Ticket]bool{}, excuse: map[string]bool{}, lane: map[string]string{}, rank: map[string]int{},
		newest: map[string]int{}, first: map[string]bool{}, dead: map[string]Failure{}}
}

// decided checks one fate as it is handed out.
func (m *model) decided(f Fate, id string) {
	if m.fated[f.Event] {
		m.t.Fatalf("%s has two fates", id)
	}
	m.fated[f.Event] = true
	want := map[truth]Kind{good: Scored, raises: Dead, rejects: Rejected, kills: Dead}[m.truth[id]]
	if f.Kind != want && !(f.Kind == Dead && m.excuse[id]) {
		m.t.Fatalf("%s is %s and was meant to be %s: %+v", id, f.Kind, want, f.Failure)
	}
	if lane := m.lane[id]; lane != "" && !m.first[id] {
		m.first[id] = true
		if m.rank[id] < m.newest[lane] {
			m.t.Fatalf("%s has its first fate after rank %d of its lane %s", id, m.newest[lane], lane)
		}
		m.newest[lane] = m.rank[id]
	}
}

// committed checks that nothing up to a position is without its fate.
func (m *model) committed(partition int32, upTo int64, received []int64) {
	for _, offset := range received {
		if id := fmt.Sprintf("%d/%d", partition, offset); offset <= upTo {
			if _, ok := m.fate[id]; !ok {
				m.t.Fatalf("%d/%d is committed and %s has no fate", partition, upTo, id)
			}
		}
	}
}
