package shadow

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"strings"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
)

// Names of what differs and is no field of the outputs. They are in brackets, as no field is that a class declares.
const (
	ofFate    = "(fate)"    // scored by one, rejected or failed by the other
	ofOutputs = "(outputs)" // another number of outputs
	ofStream  = "(stream)"  // outputs that go elsewhere
	ofWhole   = "(value)"   // an output that is no JSON object
)

// maxDepth is how deep outputs are taken apart; what lies deeper is equal or is not, as a whole.
const maxDepth = 8

// A difference is one field in which two answers are not the same. Amount is how far two numbers are apart, the farthest where
// a field stands in a list; NaN for what is no number.
type difference struct {
	field            string
	amount           float64
	primary, shadows any // the values; nil where there is none
}

// compare lists in which fields the shadow's fate of an event is not the primary's, each field once. Text, booleans and whole
// numbers are equal or are not; numbers with a fraction are the same within a tolerance.
func compare(primary *answer, f *dispatch.Fate, within tolerance) []difference {
	if primary.kind != f.Kind {
		return []difference{{ofFate, math.NaN(), kinds[primary.kind], kinds[f.Kind]}}
	}
	d := differ{tolerance: within}
	if !slices.Equal(primary.routes, f.Routes) {
		d.note(ofStream, math.NaN(), len(primary.routes), len(f.Routes))
	}
	if len(primary.outputs) != len(f.Outputs) {
		d.note(ofOutputs, math.NaN(), len(primary.outputs), len(f.Outputs))
	}
	for i := range min(len(primary.outputs), len(f.Outputs)) {
		d.output(primary.outputs[i], f.Outputs[i])
	}
	return d.found
}

var kinds = map[dispatch.FateKind]string{dispatch.Scored: "scored", dispatch.Rejected: "rejected", dispatch.Dead: "dead"}

// A differ collects the differences of one event.
type differ struct {
	tolerance
	found []difference
}

// A tolerance is how far two numbers with a fraction may be apart and still be the same.
type tolerance struct {
	apart float64
	// rounding is how far sums of the same numbers come apart, absolute or relative: the class says it.
	rounding float64
}

func (t tolerance) same(x, y float64) bool {
	amount := math.Abs(x - y)
	return !math.IsInf(amount, 0) && (amount <= t.apart || amount <= t.rounding*max(1, math.Abs(x), math.Abs(y)))
}

// note adds a difference. Behind the first fields of an event the others share one entry, as they do in the tally: each is looked for
// among those that were found, and an output may have any number.
func (d *differ) note(field string, amount float64, primary, shadows any) {
	known := d.noted(field)
	if known == nil && len(d.found) >= maxFields {
		field = otherFields
		known = d.noted(field)
	}
	switch {
	case known == nil:
		d.found = append(d.found, difference{field, amount, primary, shadows})
	case amount > known.amount, math.IsNaN(known.amount) && !math.IsNaN(amount):
		*known = difference{field, amount, primary, shadows}
	}
}

func (d *differ) noted(field string) *difference {
	for i := range d.found {
		if d.found[i].field == field {
			return &d.found[i]
		}
	}
	return nil
}

// output compares two encoded outputs. Those that are the same bytes are not read.
func (d *differ) output(a, b []byte) {
	if bytes.Equal(a, b) {
		return
	}
	if !json.Valid(a) || !json.Valid(b) {
		d.note(ofWhole, math.NaN(), nil, nil) // not the same, and no JSON
		return
	}
	if !d.inStep(a, b) {
		d.wholes(a, b)
	}
}

// wholes compares two JSON texts by their values.
func (d *differ) wholes(a, b []byte) {
	x, errX := parsed(a)
	y, errY := parsed(b)
	if errX != nil || errY != nil {
		d.note(ofWhole, math.NaN(), nil, nil) // valid, but too deep
		return
	}
	d.values("", 0, x, y)
}

func parsed(b []byte) (v any, err error) {
	decoder := json.NewDecoder(bytes.NewReader(b))
	decoder.UseNumber()
	err = decoder.Decode(&v)
	return v, err
}

func (d *differ) values(path string, depth int, a, b any) {
	if depth < maxDepth {
		switch x := a.(type) {
		case map[string]any:
			if y, ok := b.(map[string]any); ok {
				d.maps(path, depth, x, y)
				return
			}
		case []any:
			if y, ok := b.([]any); ok {
				d.lists(path, depth, x, y)
				return
			}
		}
	}
	if x, ok := a.(json.Number); ok {
		if y, ok := b.(json.Number); ok {
			d.numbers(path, x, y)
			return
		}
	}
	if !reflect.DeepEqual(a, b) {
		d.note(named(path), math.NaN(), a, b)
	}
}

func (d *differ) maps(path string, depth int, a, b map[string]any) {
	for key, x := range a {
		y, ok := b[key]
		if inner := joined(path, key); ok {
			d.values(inner, depth+1, x, y)
		} else {
			d.note(inner, math.NaN(), x, nil)
		}
	}
	for key, y := range b {
		if _, ok := a[key]; !ok {
			d.note(joined(path, key), math.NaN(), nil, y)
		}
	}
}

func (d *differ) lists(path string, depth int, a, b []any) {
	path += "[]"
	if len(a) != len(b) {
		d.note(path, math.NaN(), a, b)
	}
	for i := range min(len(a), len(b)) {
		d.values(path, depth+1, a[i], b[i])
	}
}

func (d *differ) numbers(path string, a, b json.Number) {
	if a == b {
		return
	}
	x, _ := a.Float64() // out of range is infinite
	y, _ := b.Float64()
	if (fractional(a) || fractional(b)) && d.same(x, y) {
		return
	}
	d.note(named(path), math.Abs(x-y), a, b)
}

// fractional says whether a number is written as one that has a fraction.
func fractional(n json.Number) bool { return strings.ContainsAny(string(n), ".eE") }

func joined(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func named(path string) string {
	if path == "" {
		return ofWhole
	}
	return path
}
