package shadow

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
)

// A Status is a shadow as the control methods and the summary show it.
type Status struct {
	Model   string   `json:"model"`  // as program.yaml has it
	Models  []string `json:"models"` // versions of its workers
	Workers int      `json:"workers"`
	Ready   bool     `json:"ready"`
	Deaths  uint64   `json:"worker_deaths"`

	Compared      uint64 `json:"compared"`
	Differing     uint64 `json:"differing"` // in anything
	Dropped       uint64 `json:"dropped"`   // events that found the queue full, or were left at the end
	Spared        uint64 `json:"spared"`    // events that its share of the work had no room for
	DroppedWrites uint64 `json:"dropped_writes"`
	Queued        int    `json:"queued"` // waiting or being scored
	QueuedBytes   int    `json:"queued_bytes"`

	Fields []Field `json:"fields"` // what differs, the most frequent first
	Fates  []Fates `json:"fates"`  // pairs that came up
}

// A Field is how often and how far a shadow differs in one field.
type Field struct {
	Field    string    `json:"field"`
	Differs  uint64    `json:"differs"`        // events
	Mean     *float64  `json:"mean,omitempty"` // of the distances of numbers that differ
	Max      *float64  `json:"max,omitempty"`
	Examples []Example `json:"examples,omitempty"` // the farthest
}

// Fates counts the events that had one fate with the primary and another, or the same, with the shadow.
type Fates struct {
	Primary string `json:"primary"`
	Shadow  string `json:"shadow"`
	Events  uint64 `json:"events"`
}

// Status looks at the shadow now, without examples.
func (s *Shadow) Status() Status { return s.status(s.route.Status(), false) }

// Report is the status with examples of what differs.
func (s *Shadow) Report() Status { return s.status(s.route.Status(), true) }

func (s *Shadow) status(r dispatch.Status, examples bool) Status {
	used, dropped := s.queue.figures()
	x := Status{
		Model: s.model, Models: r.Models, Workers: len(r.Workers), Ready: r.Ready, Deaths: r.Deaths,
		Dropped: dropped, Spared: s.queue.sparedEvents(), DroppedWrites: s.tally.writes.Load(), Queued: used.Events, QueuedBytes: used.Bytes,
	}
	s.tally.into(&x, examples)
	return x
}

// into fills in what was counted.
func (t *tally) into(s *Status, examples bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.Compared, s.Differing = t.compared, t.differing
	s.Fields, s.Fates = []Field{}, []Fates{}
	for _, name := range slices.Sorted(maps.Keys(t.fields)) {
		s.Fields = append(s.Fields, t.fields[name].shown(name, examples))
	}
	slices.SortStableFunc(s.Fields, func(a, b Field) int { return cmp.Compare(b.Differs, a.Differs) })
	for primary, row := range t.fates {
		for shadows, n := range row {
			if n > 0 {
				s.Fates = append(s.Fates, Fates{kinds[dispatch.FateKind(primary)], kinds[dispatch.FateKind(shadows)], n})
			}
		}
	}
	slices.SortFunc(s.Fates, func(a, b Fates) int {
		return strings.Compare(a.Primary+" "+a.Shadow, b.Primary+" "+b.Shadow)
	})
}

func (x *field) shown(name string, examples bool) Field {
	f := Field{Field: name, Differs: x.events}
	if x.distances > 0 {
		mean, most := x.mean, x.max
		f.Mean, f.Max = &mean, &most
	}
	if examples {
		f.Examples = slices.Clone(x.examples)
	}
	return f
}
