package columns_test

import (
	"fmt"
	"strings"
	"testing"

	"ds-runner.dev/ds-runner/bridge_go/columns"
)

// A plan with anything that this version does not know is refused: a constraint that is passed over would let through what the
// worker refuses.
func TestPlansThatCannotBe(t *testing.T) {
	const good = `{"name": "x", "wire": "x", "kind": "int", "nullable": false}`
	for plan, says := range map[string]string{
		`[]`:                             "cannot unmarshal",
		`{"unknown": "skip"} x`:          "no JSON object",
		`{"unknown": "skip", "more": 1}`: "more",
		`{"unknown": "maybe", "fields": [` + good + `]}`:             "skip or refuse",
		`{"fields": [` + good + `]}`:                                 "skip or refuse",
		`{"unknown": "skip", "fields": [` + good + `,` + good + `]}`: `two fields are "x"`,
	} {
		refused(t, plan, says)
	}
	for field, says := range map[string]string{
		`"kind": "decimal"`:                                         "decimal",
		`"kind": "str", "starts_with": "a"`:                         "starts_with",
		`"kind": "str", "pattern": "a(?=b)"`:                        "(?=",
		`"kind": "int", "pattern": "a"`:                             "for text",
		`"kind": "str", "multiple_of": 2`:                           "for numbers",
		`"kind": "int", "multiple_of": 0`:                           "above 0",
		`"kind": "int", "multiple_of": 1.5`:                         "1.5",
		`"kind": "float", "multiple_of": -2`:                        "above 0",
		`"kind": "str", "gt": 1`:                                    "for numbers",
		`"kind": "int", "max_length": 1`:                            "for text",
		`"kind": "int", "ge": 1.5`:                                  "1.5",
		`"kind": "int", "ge": 9223372036854775808`:                  "range",
		`"kind": "int", "gt": 9223372036854775807`:                  "no integer passes",
		`"kind": "int", "lt": -9223372036854775808`:                 "no integer passes",
		`"kind": "float", "lt": 1e999`:                              "range",
		`"kind": "str", "choices": ["a"]`:                           "category",
		`"kind": "category"`:                                        "has choices",
		`"kind": "category", "choices": []`:                         "has choices",
		`"kind": "category", "choices": ["a", "b", "a"]`:            "twice",
		`"kind": "category", "choices": [1, 2, 1]`:                  "twice",
		`"kind": "category", "choices": [1.5]`:                      "int64",
		`"kind": "category", "choices": [true]`:                     "neither",
		`"kind": "category", "choices": ["a", null]`:                "neither",
		`"kind": "category", "choices": ["a"], "default": "b"`:      "default",
		`"kind": "int", "default": 1.5`:                             "default",
		`"kind": "int", "default": null`:                            "default",
		`"kind": "str", "default": 1`:                               "default",
		`"kind": "bool", "default": 1`:                              "default",
		`"kind": "float", "default": "1"`:                           "default",
		`"kind": "date", "default": "2013-02-29"`:                   "default",
		`"kind": "datetime", "default": "2013-01-01T00:00:00"`:      "default",
		`"kind": "datetime", "default": "2013-01-01T00:00:00+1:00"`: "default",
	} {
		refused(t, `{"unknown": "skip", "fields": [{"name": "x", `+field+`}]}`, says)
	}
	for output, says := range map[string]string{
		`"kind": "list"`:                           "list",
		`"kind": "int", "default": 1`:              "default",
		`"kind": "str", "choices": ["a"]`:          "category",
		`"kind": "category", "choices": [null]`:    "neither",
		`"kind": "category", "choices": []`:        "has choices",
		`"kind": "int", "nullable": false, "gt":1`: "gt",
	} {
		refused(t, `{"unknown": "skip", "fields": [], "outputs": [{"name": "x", `+output+`}]}`, says)
	}
}

func refused(t *testing.T, plan, says string) {
	t.Helper()
	p, err := columns.ReadPlan([]byte(`{"input": {}, "columns": ` + plan + `}`))
	if err == nil || p != nil || !strings.Contains(err.Error(), says) {
		t.Errorf("%s: %v, wants %q in the error", plan, err, says)
	}
}

// A category of answers that does not say its choices comes as text.
func TestCategoriesAsText(t *testing.T) {
	p := planOf(t, `{"columns": {"unknown": "skip", "fields": [], "outputs": [{"name": "c", "kind": "category"}]}}`)
	body := append(make([]byte, 64), "JFK"...)
	body[4] = 3
	got, err := p.Render(1, []uint64{3, 0, 0, 0, 0, 0, 0, 8, 64, 3}, body)
	if err != nil || string(got[0]) != `{"c":"JFK"}` {
		t.Errorf("%s, %v", got, err)
	}
	if _, err := p.Render(1, []uint64{5, 0, 0, 0, 0, 4, 0, 0, 0, 0}, body); err == nil {
		t.Error("a code of no choices is rendered")
	}
}

// What is told of unknown fields is bounded, whatever the events have.
func TestUnknownNamesAreBounded(t *testing.T) {
	b := columns.NewBuilder(planOf(t, `{"columns": {"unknown": "skip", "fields": [{"name": "a", "kind": "int"}]}}`))
	for round := range 4 {
		for i := range 1000 {
			if !b.Add(fmt.Appendf(nil, `{"%d.%d":1,"a":%d,"x":[2],"x":3}`, round, i, i)) {
				t.Fatal(i)
			}
			if b.Add([]byte(`{"misfit":1,"a":"x"}`)) {
				t.Fatal("a text for an int")
			}
		}
		told := b.Unknown()
		if len(told) != 16 {
			t.Fatalf("%d names are told", len(told))
		}
		for _, u := range told {
			if u.Name == "misfit" || u.Name == "x" && u.N != 1000 || u.Name != "x" && u.N != 1 {
				t.Fatalf("%v", u)
			}
		}
		if b.Reset(); len(b.Unknown()) != 0 {
			t.Fatal("names outlive their batch")
		}
	}
}
