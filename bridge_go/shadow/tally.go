package shadow

import (
	"cmp"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/plainjson"
)

// Bounds of what is kept of differences: fields come from outputs, and a model may name as many as it likes.
const (
	maxFields   = 64
	maxName     = 100 // bytes of a field's name
	maxExamples = 3   // of each field, the farthest apart
	maxShown    = 200 // bytes of an example's value
	otherFields = "(other)"
)

// A tally counts how often and how far a shadow differs. It is safe from any goroutine.
type tally struct {
	writes atomic.Uint64 // of the shadow's model, dropped

	mu                  sync.Mutex
	compared, differing uint64
	fates               [3][3]uint64 // the primary's, the shadow's
	fields              map[string]*field
}

// A field is what is known of the differences of one.
type field struct {
	events    uint64 // that differ in it
	last      uint64 // of them, by its number among those compared: several fields of one may share this entry
	mean, max float64
	distances uint64 // of numbers, that mean and max are of
	examples  []Example
}

// An Example is one event whose answers are not the same in a field. Values are JSON, cut where they are long.
type Example struct {
	Event        string          `json:"event"` // stream/partition/offset
	Primary      json.RawMessage `json:"primary"`
	Shadow       json.RawMessage `json:"shadow"`
	PrimaryModel string          `json:"primary_model"`
	ShadowModel  string          `json:"shadow_model"`
	amount       float64
}

func newTally() *tally { return &tally{fields: map[string]*field{}} }

// add counts one event.
func (t *tally) add(primary *answer, f *dispatch.Fate, differences []difference) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.compared++
	t.fates[primary.kind][f.Kind]++
	if len(differences) == 0 {
		return
	}
	t.differing++
	for i := range differences {
		d := &differences[i]
		x := t.field(d.field)
		if x.last != t.compared {
			x.events, x.last = x.events+1, t.compared
		}
		if !math.IsNaN(d.amount) && !math.IsInf(d.amount, 0) {
			x.distance(d.amount)
		}
		x.example(primary, f, d)
	}
}

// distance goes into the mean as it comes: a sum of large ones would be infinite, for which JSON has no word.
func (x *field) distance(amount float64) {
	x.distances++
	x.mean += (amount - x.mean) / float64(x.distances)
	x.max = max(x.max, amount)
}

// field finds or makes the entry of a field; beyond the bound they share one. Names become labels, which have to be UTF-8: one that
// is not would be a panic of the scrape.
func (t *tally) field(name string) *field {
	name = cut(strings.ToValidUTF8(name, "\uFFFD"), maxName)
	if t.fields[name] == nil && len(t.fields) >= maxFields {
		name = otherFields
	}
	if t.fields[name] == nil {
		t.fields[name] = &field{}
	}
	return t.fields[name]
}

// example keeps a difference if it is one of the farthest; of values that are no numbers, the first.
func (x *field) example(primary *answer, f *dispatch.Fate, d *difference) {
	amount := d.amount
	if math.IsNaN(amount) {
		amount = 0
	}
	if full := len(x.examples) == maxExamples; full && amount <= x.examples[maxExamples-1].amount {
		return
	} else if full {
		x.examples = x.examples[:maxExamples-1]
	}
	x.examples = append(x.examples, Example{
		Event:   f.Stream + "/" + strconv.Itoa(int(f.Record.Partition)) + "/" + strconv.FormatInt(f.Record.Offset, 10),
		Primary: shown(d.primary), Shadow: shown(d.shadows), PrimaryModel: primary.model, ShadowModel: f.Model, amount: amount,
	})
	slices.SortStableFunc(x.examples, func(a, b Example) int { return cmp.Compare(b.amount, a.amount) })
}

// shown is a value as JSON; as a text that is cut where it is long.
func shown(v any) json.RawMessage {
	whole, err := plainjson.Marshal(v)
	if err != nil {
		return json.RawMessage("null")
	}
	if len(whole) <= maxShown {
		return whole
	}
	return plainjson.AppendString(nil, cut(string(whole), maxShown)+"...")
}

// cut shortens text to at most n bytes, between two characters.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return strings.Clone(text[:n])
}
