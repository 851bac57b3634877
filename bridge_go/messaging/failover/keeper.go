package failover

import (
	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// A keeper is a core with its journal: what is settled is written down before any position moves.
type keeper struct {
	*core
	journal *journal
	pending []byte // entries that are not in the journal yet
	held    [2]map[int32]messaging.Position
}

func newKeeper(r rules, path string, sync bool) (*keeper, error) {
	j, known, err := openJournal(path, sync)
	if err != nil {
		return nil, err
	}
	k := &keeper{core: newCore(r), journal: j, held: [2]map[int32]messaging.Position{{}, {}}}
	k.restore(known)
	return k, nil
}

// restore remembers events that were settled in an earlier life, oldest first.
func (k *keeper) restore(known []*event) {
	for _, e := range known {
		if !e.gone {
			k.remember(e)
			k.settled = append(k.settled, e)
		}
	}
}

// gather takes out of the core what has changed since it was last called. The caller has the lock.
func (k *keeper) gather() {
	for _, e := range k.unsaved {
		if !e.gone {
			k.pending = appendEntry(k.pending, e)
		}
	}
	k.unsaved = nil
	for s := range k.lines {
		for partition, l := range k.lines[s] {
			if l.moved {
				l.moved = false
				k.held[s][partition] = l.upTo
			}
		}
	}
}

// save writes the journal, and gives the positions that may be committed then. Only one goroutine does, after gather; it
// does not need the lock.
func (k *keeper) save() ([2][]messaging.Position, error) {
	var positions [2][]messaging.Position
	if err := k.journal.append(k.pending); err != nil {
		return positions, err
	}
	k.pending = k.pending[:0]
	for s := range k.held {
		for _, p := range k.held[s] {
			positions[s] = append(positions[s], p)
		}
		clear(k.held[s])
	}
	return positions, nil
}

// slack is how many entries the journal may have beside those that are needed.
const slack = 10_000

// overgrown says whether the journal should be written anew; remembered is what goes into it. The caller has the lock for both.
func (k *keeper) overgrown() bool { return k.journal.entries > 2*len(k.settled)+slack }

func (k *keeper) remembered() []byte {
	b := make([]byte, 0, len(k.settled)*entrySize)
	for _, e := range k.settled {
		b = appendEntry(b, e)
	}
	return b
}
