package dispatch

import (
	"ds-runner.dev/ds-runner/bridge_go/delivery"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// A wave is records that are written at once. A sink that may refuse one for now and store those behind it gets waves in which no
// two are of one lane: what is written again would come behind what it belongs in front of.
type wave struct {
	records []messaging.Outgoing
	owners  []int // index of the fate
}

// split takes the first record of each lane, and all that have none.
func (w wave) split(fates []Fate) (first, rest wave) {
	seen := map[delivery.Lane]bool{}
	for i, owner := range w.owners {
		lane := fates[owner].ID.Lane()
		if lane != nil && seen[lane] {
			rest.add(w.records[i], owner)
			continue
		}
		seen[lane] = true
		first.add(w.records[i], owner)
	}
	return first, rest
}

func (w *wave) add(r messaging.Outgoing, owner int) {
	w.records = append(w.records, r)
	w.owners = append(w.owners, owner)
}
