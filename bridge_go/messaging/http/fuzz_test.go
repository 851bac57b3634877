package http

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"
	"unicode/utf8"
)

// FuzzParse: events or a problem, nothing else; each event is one JSON value in UTF-8, within its bounds, and all of them together
// are what the body held.
func FuzzParse(f *testing.F) {
	for _, body := range []string{
		``, `{}`, `[]`, `[1]`, `[1,2]`, ` [ {"a":[1]} , "x]" ] `, `[1`, `[1,]`, `[,]`, `[[[[]]]]`, `1 2`, "1\n2\n", "\n\r\n", "[1]\n[2]", `["\ud800"]`, "\"\xff\"", "\ufeff{}",
		`[{"a":1}{"b":2}]`, `[1]x`, `[1e999]`, `[nul]`, "[\"\x00\"]", `{"a":"` + "\n" + `"}`, "\v1", "[1,\u00a02]",
	} {
		f.Add([]byte(body), false)
		f.Add([]byte(body), true)
	}
	f.Fuzz(func(t *testing.T, body []byte, lines bool) {
		kind := kindJSON
		if lines {
			kind = kindLines
		}
		b := bounds{events: 20, event: 200}
		given := slices.Clone(body)
		events, p := parse(body, kind, b)
		if !bytes.Equal(given, body) {
			t.Fatal("the body was changed")
		}
		if p != nil {
			if events != nil || p.Status < 400 || p.Status > 499 || len(p.Errors) > maxEventErrors {
				t.Fatalf("%d events with %+v", len(events), p)
			}
			return
		}
		if len(events) > b.events {
			t.Fatalf("%d events", len(events))
		}
		for _, e := range events {
			if len(e) > b.event || !utf8.Valid(e) || !json.Valid(e) {
				t.Fatalf("%q was taken", e)
			}
		}
		again, p := parse(append(append([]byte("["), bytes.Join(events, []byte(","))...), ']'), kindJSON, b)
		if p != nil || !slices.EqualFunc(events, again, bytes.Equal) {
			t.Fatalf("%q together are %q, %v", events, again, p)
		}
		if kind == kindJSON {
			var all []json.RawMessage
			if trimmed := bytes.TrimSpace(body); trimmed[0] == '[' && (json.Unmarshal(body, &all) != nil || len(all) != len(events)) {
				t.Fatalf("%q holds %d values, %d were taken", body, len(all), len(events))
			}
		}
	})
}
