package shadow

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

func told(differences []difference) string {
	var list []string
	for _, d := range differences {
		text := d.field
		if !math.IsNaN(d.amount) {
			text += fmt.Sprintf(" by %g", d.amount)
		}
		list = append(list, text)
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

func TestAnswersAreComparedFieldByField(t *testing.T) {
	for _, c := range []struct{ primary, shadow, want string }{
		{`{"a":1}`, `{"a":1}`, ""},
		{`{"a":1,"b":2}`, `{"b":2, "a":1}`, ""},
		{`{"a":1}`, `{"a":3}`, "a by 2"},
		{`{"a":1.0}`, `{"a":1.0000000001}`, ""},
		{`{"a":1e9}`, `{"a":1000000000.5}`, ""}, // relative
		{`{"a":1.5}`, `{"a":2}`, "a by 0.5"},
		{`{"a":9007199254740993}`, `{"a":9007199254740992}`, "a by 0"}, // too large for a float, and not equal
		{`{"a":true}`, `{"a":false}`, "a"},
		{`{"a":true}`, `{"a":1}`, "a"},
		{`{"a":"x"}`, `{"a":"y"}`, "a"},
		{`{"a":null}`, `{"a":2}`, "a"},
		{`{"a":1}`, `{}`, "a"},
		{`{}`, `{"a":1}`, "a"},
		{`{"a":{"b":1.5,"c":2}}`, `{"a":{"b":1.0,"c":2}}`, "a.b by 0.5"},
		{`{"a":[1.5,2.5]}`, `{"a":[1.0,1.0]}`, "a[] by 1.5"},
		{`{"a":[1,2]}`, `{"a":[1]}`, "a[]"},
		{`{"a":[{"b":1}]}`, `{"a":[{"b":2}]}`, "a[].b by 1"},
		{`1.5`, `2.5`, "(value) by 1"},
		{`"x"`, `"y"`, "(value)"},
		{`not JSON`, `{"a":1}`, "(value)"},
		{`not JSON`, `not JSON`, ""},
		{`{"a":1e999}`, `{"a":1}`, "a by +Inf"},
		{`{"":1}`, `{"":2}`, "(value) by 1"},
	} {
		a := &answer{kind: dispatch.Scored, outputs: [][]byte{[]byte(c.primary)}}
		f := &dispatch.Fate{Kind: dispatch.Scored, Outputs: [][]byte{[]byte(c.shadow)}}
		if got := told(compare(a, f, tolerance{rounding: 1e-9})); got != c.want {
			t.Errorf("%s and %s: %q, wants %q", c.primary, c.shadow, got, c.want)
		}
	}
}

func TestFatesOutputsAndStreamsAreComparedToo(t *testing.T) {
	one := [][]byte{[]byte(`{"a":1}`)}
	for _, c := range []struct {
		primary answer
		shadow  dispatch.Fate
		want    string
	}{
		{answer{kind: dispatch.Scored, outputs: one}, dispatch.Fate{Kind: dispatch.Rejected}, "(fate)"},
		{answer{kind: dispatch.Dead}, dispatch.Fate{Kind: dispatch.Dead}, ""},
		{answer{kind: dispatch.Rejected}, dispatch.Fate{Kind: dispatch.Rejected}, ""},
		{answer{outputs: one}, dispatch.Fate{}, "(outputs)"},
		{answer{outputs: one}, dispatch.Fate{Outputs: one, Routes: []dispatch.Routed{{Index: 0, Stream: "alerts"}}}, "(stream)"},
	} {
		if got := told(compare(&c.primary, &c.shadow, tolerance{})); got != c.want {
			t.Errorf("%+v: %q, wants %q", c.primary, got, c.want)
		}
	}
}

func TestWhatLiesDeepIsComparedAsAWhole(t *testing.T) {
	deep := func(leaf string) []byte {
		return []byte(strings.Repeat(`{"a":`, 5_000) + leaf + strings.Repeat("}", 5_000))
	}
	a := &answer{outputs: [][]byte{deep("1")}}
	got := compare(a, &dispatch.Fate{Outputs: [][]byte{deep("2")}}, tolerance{})
	if len(got) != 1 || got[0].field != strings.TrimSuffix(strings.Repeat("a.", maxDepth), ".") {
		t.Fatalf("%q", told(got))
	}
}

func TestATallyIsBoundedHoweverManyFieldsThereAre(t *testing.T) {
	tally := newTally()
	long := strings.Repeat("é", 1_000)
	for i := range 1_000 {
		f := &dispatch.Fate{Stream: "in", Record: &messaging.Record{Offset: int64(i)}}
		tally.add(&answer{}, f, []difference{{fmt.Sprint(i, long), float64(i), long, long}})
	}
	var s Status
	tally.into(&s, true)
	if len(s.Fields) != maxFields+1 || s.Compared != 1_000 || s.Differing != 1_000 {
		t.Fatalf("%d fields, %d compared", len(s.Fields), s.Compared)
	}
	most := s.Fields[0]
	if most.Field != otherFields || most.Differs != 1_000-maxFields || *most.Max != 999 || len(most.Examples) != maxExamples {
		t.Fatalf("%+v", most)
	}
	if e := most.Examples; e[0].Event != "in/0/999" || e[1].Event != "in/0/998" || len(e[0].Primary) > maxShown+10 {
		t.Fatalf("examples are not the farthest, or long: %+v", e)
	}
	for _, f := range s.Fields {
		if len(f.Field) > maxName {
			t.Fatalf("a name of %d bytes", len(f.Field))
		}
	}
}

func TestAnInfiniteDistanceCountsAndSpoilsNoMean(t *testing.T) {
	tally := newTally()
	f := &dispatch.Fate{Record: &messaging.Record{}}
	tally.add(&answer{}, f, []difference{{"a", math.Inf(1), nil, nil}})
	tally.add(&answer{}, f, []difference{{"a", 2, nil, nil}})
	var s Status
	tally.into(&s, false)
	if x := s.Fields[0]; x.Differs != 2 || *x.Mean != 2 || *x.Max != 2 {
		t.Fatalf("%+v", x)
	}
}

func TestNumbersMayBeApartByTheToleranceUnlessTheyAreWhole(t *testing.T) {
	a := &answer{outputs: [][]byte{[]byte(`{"a":1000.5,"b":1000.5,"n":3}`)}}
	f := &dispatch.Fate{Outputs: [][]byte{[]byte(`{"a":1001.0,"b":1001.1,"n":4}`)}}
	if got := told(compare(a, f, tolerance{apart: 0.5, rounding: 1e-9})); !strings.HasPrefix(got, "b by 0.6") || !strings.HasSuffix(got, ", n by 1") {
		t.Fatal(got)
	}
}

func TestAnEventCountsOnceHoweverManyOfItsFieldsShareAnEntry(t *testing.T) {
	tally := newTally()
	f := &dispatch.Fate{Record: &messaging.Record{}}
	var many []difference
	for i := range 3 * maxFields {
		many = append(many, difference{fmt.Sprint(i), 1, 1, 2})
	}
	tally.add(&answer{}, f, many)
	tally.add(&answer{}, f, many)
	var s Status
	tally.into(&s, false)
	for _, x := range s.Fields {
		if x.Differs != 2 {
			t.Errorf("%s differs in %d of 2 events", x.Field, x.Differs)
		}
	}
}

func TestAnOutputOfAnyNumberOfFieldsIsComparedInTimeThatGrowsWithIt(t *testing.T) {
	object := func(value int) []byte {
		var b strings.Builder
		for i := range 10_000 {
			fmt.Fprintf(&b, `,"field-%d":%d`, i, value)
		}
		return []byte("{" + b.String()[1:] + "}")
	}
	a := &answer{outputs: [][]byte{object(1)}}
	got := compare(a, &dispatch.Fate{Outputs: [][]byte{object(3)}}, tolerance{})
	if len(got) != maxFields+1 || got[maxFields].field != otherFields || got[maxFields].amount != 2 {
		t.Fatalf("%d differences, and each is looked for among all that were found", len(got))
	}
}

// A sum of two would be infinite, which no JSON can say: the status of the whole bridge would be an error.
func TestTheMeanOfHugeDistancesIsANumber(t *testing.T) {
	tally := newTally()
	f := &dispatch.Fate{Record: &messaging.Record{}}
	for range 3 {
		tally.add(&answer{}, f, []difference{{"a", math.MaxFloat64, nil, nil}})
	}
	var s Status
	tally.into(&s, false)
	if x := s.Fields[0]; *x.Mean != math.MaxFloat64 || *x.Max != math.MaxFloat64 {
		t.Fatalf("mean %g, max %g", *x.Mean, *x.Max)
	}
}
