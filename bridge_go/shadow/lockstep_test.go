package shadow

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// FuzzWalkingInStepFindsWhatReadingFinds holds the quick way to the plain one.
func FuzzWalkingInStepFindsWhatReadingFinds(f *testing.F) {
	for _, seed := range [][2]string{
		{`{"a":1,"b":[1.5,{"c":"x"}],"d":null}`, `{"a":2,"b":[1.0,{"c":"y"}],"d":true}`},
		{`{"a": 1 , "b" :2}`, `{"a":1,"b":3}`}, {`{"a":"A"}`, `{"a":"\u0041"}`}, {`{"a":"\\"}`, `{"a":"\""}`},
		{`[]`, `[1]`}, {`[1,2]`, `[1,3]`}, {`{}`, `{"a":1}`}, {`{"a":{}}`, `{"a":[]}`}, {`{"a":1}`, `{"b":1}`},
		{`1e400`, `-1e400`}, {`{"":1}`, `{"":2}`}, {`{"":{"a":1}}`, `{"":{"a":2}}`}, {`{"a\n":1}`, `{"a\n":2}`},
		{`{"a":"\ufffd"}`, "{\"a\":\"\xff\"}"}, {`[[[[[[[[[[1]]]]]]]]]]`, `[[[[[[[[[[2]]]]]]]]]]`}, {`-0`, `0`}, {`true`, `tru`},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if !json.Valid([]byte(a)) || !json.Valid([]byte(b)) || repeats(a) || repeats(b) {
			return
		}
		quick, plain := differ{tolerance: tolerance{rounding: 1e-9}}, differ{tolerance: tolerance{rounding: 1e-9}}
		if !quick.inStep([]byte(a), []byte(b)) {
			if len(quick.found) > 0 {
				t.Fatalf("%s and %s: differences of a walk that was given up", a, b)
			}
			return
		}
		plain.wholes([]byte(a), []byte(b))
		if told(quick.found) != told(plain.found) {
			t.Fatalf("%s and %s: in step %q, read %q", a, b, told(quick.found), told(plain.found))
		}
	})
}

// repeats says whether a key stands twice in one object: which one counts is up to the reader.
func repeats(text string) bool {
	decoder := json.NewDecoder(strings.NewReader(text))
	var open [][]string // keys of objects; nil for lists
	isKey := false
	for {
		token, err := decoder.Token()
		if err != nil {
			return false
		}
		switch x := token.(type) {
		case json.Delim:
			switch x {
			case '{':
				open = append(open, []string{})
			case '[':
				open = append(open, nil)
			default:
				open = open[:len(open)-1]
			}
			isKey = len(open) > 0 && open[len(open)-1] != nil
			continue
		case string:
			if keys := len(open) > 0 && open[len(open)-1] != nil; keys && isKey {
				last := len(open) - 1
				if slices.Contains(open[last], x) {
					return true
				}
				open[last] = append(open[last], x)
				isKey = false
				continue
			}
		}
		isKey = len(open) > 0 && open[len(open)-1] != nil
	}
}

func TestAnswersOfOneClassAreComparedInStep(t *testing.T) {
	a := []byte(`{"id":"UA1","delay":1.5,"legs":[{"late":true,"n":1},{"late":false,"n":2}],"note":null}`)
	b := []byte(`{"id":"UA1","delay":2.5,"legs":[{"late":false,"n":1},{"late":false,"n":5}],"note":"x"}`)
	d := differ{}
	if !d.inStep(a, b) {
		t.Fatal("given up")
	}
	if got := told(d.found); got != "delay by 1, legs[].late, legs[].n by 3, note" {
		t.Fatal(got)
	}
}
