package columns_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"

	"ds-runner.dev/ds-runner/bridge_go/columns"
)

// everything has each kind, and what may be said of one.
const everything = `{"unknown": "skip", "outputs": null, "fields": [
 {"name": "f", "wire": "f", "kind": "float", "nullable": true},
 {"name": "x", "wire": "x", "kind": "float", "nullable": false, "default": 0.25, "gt": -1, "le": 100.5},
 {"name": "i", "wire": "i", "kind": "int", "nullable": false, "default": -4},
 {"name": "b", "wire": "b", "kind": "bool", "nullable": false, "default": true},
 {"name": "s", "wire": "s", "kind": "str", "nullable": true, "default": null},
 {"name": "a", "wire": "\u00e4", "kind": "str", "nullable": false, "default": "n\u00e4n"},
 {"name": "c", "wire": "c", "kind": "category", "nullable": true, "choices": ["JFK", "", 7, "7"], "default": "7"},
 {"name": "t", "wire": "t", "kind": "datetime", "nullable": true, "default": "2013-01-01T10:00:00+01:00"},
 {"name": "d", "wire": "d", "kind": "date", "nullable": true, "default": null}]}`

func newOracle(t testing.TB, plan string) *oracle {
	t.Helper()
	var said struct {
		Unknown string
		Fields  []oracleField
	}
	d := json.NewDecoder(bytes.NewReader([]byte(plan)))
	d.UseNumber()
	if err := d.Decode(&said); err != nil {
		t.Fatal(err)
	}
	return &oracle{refuses: said.Unknown == "refuse", fields: said.Fields}
}

// The parser takes an event only if the rules say so, and finds what they say; it leaves an event to the worker only for what the
// package says. Two events follow each other, since names are learnt.
func FuzzAdd(f *testing.F) {
	for _, file := range eventFiles(f) {
		for i := range file.Events {
			payload := file.Events[i].payload(f)
			f.Add(payload, []byte(`{"f":1.5,"x":2,"i":7,"b":false,"s":"x","ä":"y","c":"JFK","t":"2013-01-01T00:00:00.5Z","d":"2013-01-31"}`))
			f.Add(bytes.Replace(payload, []byte(`"x"`), []byte(`"t"`), 1), payload)
		}
	}
	for _, name := range []string{"f", "i", "b", "s", "c", "t", "d", `\u00e4`, "x"} {
		for _, value := range []string{"1", "-0.5e-3", "null", `"\ud83d\ude00"`, `"2013-01-31"`, `"2013-01-01T10:00:00.1234567-05:30"`, "7", `"JFK"`, "[[{}]]"} {
			f.Add([]byte(`{"f":null,"`+name+`":`+value+`}`), []byte(` { "f" : 1 , "`+name+`" : `+value+` } `))
		}
	}
	said := readColumns(f, []byte(everything))
	plan := planOf(f, `{"columns":`+everything+`}`)
	o := newOracle(f, everything)
	f.Fuzz(func(t *testing.T, first, second []byte) {
		b := columns.NewBuilder(plan)
		var want []map[string]any
		names := map[string]int{}
		for _, payload := range [][]byte{first, second, first} {
			row, unknown, ok, odd := o.row(payload)
			taken := b.Add(payload)
			if taken != ok && (taken || !odd && !mayBeMisfit(payload)) {
				t.Fatalf("%q is taken: %v, and an event: %v", payload, taken, ok)
			}
			if taken {
				want = append(want, row)
				slices.Sort(unknown)
				for _, name := range slices.Compact(unknown) {
					names[name]++
				}
			}
		}
		hold(t, rowsOf(t, said, b), want)
		for _, u := range b.Unknown() {
			if n, known := names[u.Name]; known && n != u.N || !known && len(u.Name) < 100 {
				t.Fatalf("%q: unknown %q in %d events, wants %d", first, u.Name, u.N, n)
			}
		}
		if len(names) > 0 && len(b.Unknown()) == 0 {
			t.Fatalf("%q and %q: none is unknown, wants %v", first, second, names)
		}
	})
}

func hold(t *testing.T, got, want []map[string]any) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d rows, wants %d", len(got), len(want))
	}
	for i := range want {
		for name, v := range want[i] {
			if !sameValue(got[i][name], v) {
				t.Fatalf("row %d: %s is %v, wants %v", i, name, got[i][name], v)
			}
		}
	}
}
