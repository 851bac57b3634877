package front

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func TestRowsAreFoundByTheirExtents(t *testing.T) {
	for body, want := range map[string][]string{
		`{}`:                             {`{}`},
		" \r\n\t{\"a\": 1} \n":           {`{"a": 1}`},
		`{"a":[1,{"b":"]}"}],"c":"\"}"}`: {`{"a":[1,{"b":"]}"}],"c":"\"}"}`},
		`[]`:                             {},
		`[ ]`:                            {},
		`[{}, {"a":"é✈😀"} ,1]`:           {`{}`, `{"a":"é✈😀"}`, `1`},
		`["\u00e9\\", -0.5e+10, true, false, null, [[]]]`: {`"\u00e9\\"`, `-0.5e+10`, `true`, `false`, `null`, `[[]]`},
	} {
		rows, list, err := scanRows([]byte(body), nil)
		if err != nil {
			t.Errorf("%s: %v", body, err)
			continue
		}
		got := []string{}
		for _, s := range rows {
			got = append(got, body[s.from:s.to])
		}
		if !reflect.DeepEqual(got, want) || list != (strings.TrimSpace(body)[0] == '[') {
			t.Errorf("%s: %q, list %v", body, got, list)
		}
	}
}

func TestWhatIsNotJSONIsRefusedAtItsByte(t *testing.T) {
	for body, offset := range map[string]int{
		``: 0, ` `: 1, `5`: 0, `"a"`: 0, `null`: 0, "\xef\xbb\xbf{}": 0,
		`{"a":1}{"a":2}`: 7, `{} x`: 3, `[1] [2]`: 4, `{"a":1},`: 7,
		`{`: 1, `[`: 1, `[1`: 2, `[1,`: 3, `[1,]`: 3, `[,1]`: 1, `{"a"}`: 4, `{"a":}`: 5, `{"a":1,}`: 7, `{a:1}`: 1, `{1:1}`: 1,
		`[1 2]`: 3, `{"a":1 "b":2}`: 7, `{"a":1]`: 6, `[1}`: 2,
		`[01]`: 2, `[1.]`: 3, `[.5]`: 1, `[-]`: 2, `[+1]`: 1, `[1e]`: 3, `[1e+]`: 4, `[NaN]`: 1, `[Infinity]`: 1, `[tru]`: 1, `[nul`: 1,
		`["a`: 1, `["\x"]`: 3, `["\u12g4"]`: 6, `["\u12`: 6, `["\`: 3, "[\"a\nb\"]": 3, "[\"a\x00\"]": 3, "[\"\xff\"]": 2, "[\"\xed\xa0\x80\"]": 2,
		"[\"01234567\x1f\"]": 10, "[\"0123456\xc0\xaf\"]": 9, `{"a":'b'}`: 5, `[1]//`: 3,
	} {
		_, _, err := scanRows([]byte(body), nil)
		if err == nil || err.offset != offset {
			t.Errorf("%q: %v, want byte %d", body, err, offset)
		}
	}
}

func TestNestingIsBounded(t *testing.T) {
	deep := func(n int) []byte {
		return []byte("[" + strings.Repeat(`{"a":[`, n/2) + strings.Repeat("]}", n/2) + "]")
	}
	if _, _, err := scanRows(deep(maxNesting), nil); err != nil {
		t.Errorf("as deep as allowed: %v", err)
	}
	if _, _, err := scanRows(deep(maxNesting+2), nil); err == nil || err.what != "nested too deep" {
		t.Errorf("too deep: %v", err)
	}
}

func FuzzRowsAreWhatTheStandardLibrarySees(f *testing.F) {
	for _, seed := range []string{`{"a":1}`, `[{"a":"\u00e9"},2]`, `[1.5e-7,null]`, "[\"\xff\"]", `{"a":1}{"b":2}`, `[[[]]]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		rows, list, err := scanRows(body, nil)
		if err != nil {
			if err.offset > len(body) {
				t.Fatalf("byte %d of %d", err.offset, len(body))
			}
			return
		}
		if !json.Valid(body) {
			t.Fatalf("accepted %q", body)
		}
		if !list {
			return
		}
		var items []json.RawMessage
		if json.Unmarshal(body, &items) != nil || len(items) != len(rows) {
			t.Fatalf("%d rows of %d in %q", len(rows), len(items), body)
		}
		for i, s := range rows {
			if string(body[s.from:s.to]) != string(items[i]) {
				t.Fatalf("row %d is %q, not %q", i, body[s.from:s.to], items[i])
			}
		}
	})
}

func BenchmarkScanRow(b *testing.B) {
	row := []byte(`{"flight_id":"N14228-1545","carrier":"UA","origin":"EWR","dest":"IAH","distance":1400,"dep_delay":2.0,` +
		`"sched_dep_time":515,"air_time":227,"hour":5,"minute":15,"tailnum":"N14228","note":"a text of some length, as they come"}`)
	b.SetBytes(int64(len(row)))
	rows := make([]span, 0, 1)
	for b.Loop() {
		if _, _, err := scanRows(row, rows); err != nil {
			b.Fatal(err)
		}
	}
}
