package columns_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"ds-runner.dev/ds-runner/bridge_go/columns"
)

const clicks = `{"columns": {"unknown": "skip", "outputs": null, "fields": [
 {"name": "event_id", "kind": "str"}, {"name": "ts", "kind": "int"}, {"name": "user_id", "kind": "int"},
 {"name": "session", "kind": "str"}, {"name": "kind", "kind": "str"}, {"name": "path", "kind": "str"},
 {"name": "referrer", "kind": "str"}, {"name": "country", "kind": "str"}, {"name": "dwell_ms", "kind": "float"},
 {"name": "scroll", "kind": "float"}, {"name": "priority", "kind": "int"}, {"name": "is_member", "kind": "bool"}]}}`

const numbers = `{"columns": {"unknown": "skip", "outputs": null, "fields": [
 {"name": "user_id", "kind": "int"}, {"name": "dwell_ms", "kind": "float"},
 {"name": "scroll", "kind": "float"}, {"name": "priority", "kind": "int"}, {"name": "is_member", "kind": "bool"}]}}`

const mixed = `{"columns": {"unknown": "skip", "outputs": null, "fields": [
 {"name": "flight_id", "kind": "str"}, {"name": "carrier", "kind": "category", "choices": ["9E", "AA", "AS", "B6", "DL", "EV", "UA", "US", "WN"]},
 {"name": "origin", "kind": "category", "choices": ["EWR", "JFK", "LGA"]}, {"name": "dest", "kind": "str"},
 {"name": "distance", "kind": "float", "gt": 0}, {"name": "dep_delay", "kind": "float", "nullable": true, "default": null},
 {"name": "air_time", "kind": "float", "nullable": true}, {"name": "seats", "kind": "int", "ge": 0}, {"name": "stops", "kind": "int", "nullable": true},
 {"name": "cargo", "kind": "bool"}, {"name": "at", "kind": "datetime"}, {"name": "day", "kind": "date"}]}}`

const measured = `{"columns": {"unknown": "skip", "outputs": null, "fields": [
 {"name": "a", "kind": "float"}, {"name": "b", "kind": "float"}, {"name": "c", "kind": "float"}, {"name": "d", "kind": "float"}, {"name": "e", "kind": "float"}]}}`

// flightEvents have a field of each kind, about 260 bytes; measurements five floats of all their digits.
func flightEvents(n int) [][]byte {
	r := rand.New(rand.NewPCG(7, 7))
	pick := func(words ...string) string { return words[r.IntN(len(words))] }
	events := make([][]byte, n)
	for i := range events {
		day := fmt.Sprintf("2013-%02d-%02d", 1+r.IntN(12), 1+r.IntN(28))
		events[i] = fmt.Appendf(nil, `{"flight_id":"%s-UA-%d","carrier":"%s","origin":"%s","dest":"%s","distance":%d,"dep_delay":%s,"air_time":%.1f,"seats":%d,"stops":%s,`+
			`"cargo":%v,"at":"%sT%02d:%02d:00Z","day":"%s"}`, day, r.IntN(10_000), pick("9E", "AA", "B6", "DL", "UA", "WN"), pick("EWR", "JFK", "LGA"),
			pick("IAH", "MIA", "ATL", "ORD", "BOS", "SFO", "LAX"), 100+r.IntN(3000), pick("null", "2.0", "-11.0", "133.5"), r.Float64()*500,
			r.IntN(400), pick("null", "0", "1"), r.IntN(2) == 0, day, r.IntN(24), r.IntN(60), day)
	}
	return events
}

func measurements(n int) [][]byte {
	r := rand.New(rand.NewPCG(7, 7))
	events := make([][]byte, n)
	for i := range events {
		events[i] = fmt.Appendf(nil, `{"a":%v,"b":%v,"c":%v,"d":%v,"e":%v}`, r.Float64(), r.NormFloat64(), r.Float64()*1e6, r.ExpFloat64(), -r.Float64())
	}
	return events
}

// clickEvents are those of tests/bench/events.py: twelve fields, about 300 bytes.
func clickEvents(n int) [][]byte {
	r := rand.New(rand.NewPCG(7, 7))
	pick := func(words ...string) string { return words[r.IntN(len(words))] }
	events := make([][]byte, n)
	for i := range events {
		project := pick("PAY", "OPS", "WEB", "MOB", "DATA")
		events[i] = fmt.Appendf(nil, `{"event_id":"%016x%016x","ts":%d,"user_id":%d,"session":"s-%012x","kind":"%s","path":"/projects/%s/issues/%s-%d?tab=activity",`+
			`"referrer":"/projects/%s/board/%d","country":"%s","dwell_ms":%v,"scroll":%v,"priority":%d,"is_member":%v}`,
			r.Uint64(), r.Uint64(), 1718031234567+13*i, 1+r.IntN(500_000), r.Uint64()>>16,
			pick("issue_viewed", "issue_edited", "comment_added", "status_changed", "search"), project, project, 1+r.IntN(9000),
			project, 1+r.IntN(40), pick("DE", "US", "IN", "FR", "BR"), math.Round(r.ExpFloat64()*400_000)/100,
			math.Round(r.Float64()*1e4)/1e4, 1+r.IntN(5), r.Float64() < 0.8)
	}
	return events
}

// What an event costs from its payload to its place in a body: twelve fields, five of these, twelve of all kinds, five long floats.
func BenchmarkAdd(b *testing.B) {
	for _, c := range []struct {
		name, describe string
		events         [][]byte
	}{
		{"12", clicks, clickEvents(1024)}, {"5of12", numbers, clickEvents(1024)},
		{"mixed", mixed, flightEvents(1024)}, {"measured", measured, measurements(1024)},
	} {
		b.Run(c.name, func(b *testing.B) {
			builder, events := columns.NewBuilder(planOf(b, c.describe)), c.events
			batch(b, builder, events)
			b.ReportAllocs()
			var layout []uint64
			var body []byte
			done, at := 0, 0
			start := cpuTime()
			for b.Loop() {
				if at == 0 {
					builder.Reset()
				}
				if !builder.Add(events[at]) {
					b.Fatalf("%s is a misfit", events[at])
				}
				if at++; at == 256 {
					layout = builder.Layout(layout[:0])
					body = builder.AppendBody(body[:0])
					at = 0
				}
				done++
			}
			b.ReportMetric(float64(cpuTime()-start)/float64(done), "cpu-ns/event")
		})
	}
}

func batch(t testing.TB, b *columns.Builder, events [][]byte) {
	t.Helper()
	b.Reset()
	for _, event := range events {
		if !b.Add(event) {
			t.Fatalf("%s is a misfit", event)
		}
	}
}

// What a row of an answer costs to become a document: an id and a score.
func BenchmarkRender(b *testing.B) {
	const rows = 256
	scores := columns.NewBuilder(planOf(b, `{"columns": {"unknown": "skip", "fields": [{"name": "event_id", "kind": "str"}, {"name": "scroll", "kind": "float"}]}}`))
	batch(b, scores, clickEvents(rows))
	layout, body := scores.Layout(nil), scores.AppendBody(nil)
	at := layout[10+4]
	for row := range uint64(rows) { // a score has all its digits
		binary.LittleEndian.PutUint64(body[at+8*row:], math.Float64bits(1/(2+float64(row))))
	}
	p := planOf(b, `{"columns": {"unknown": "skip", "fields": [], "outputs": [{"name": "event_id", "kind": "str"}, {"name": "score", "kind": "float"}]}}`)
	b.ReportAllocs()
	done := 0
	start := cpuTime()
	for b.Loop() {
		if _, err := p.Render(rows, layout, body); err != nil {
			b.Fatal(err)
		}
		done += rows
	}
	b.ReportMetric(float64(cpuTime()-start)/float64(done), "cpu-ns/row")
}
