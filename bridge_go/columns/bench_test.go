package columns_test

import (
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

// What an event costs from its payload to its place in a body: all twelve fields, or five of them.
func BenchmarkAdd(b *testing.B) {
	for name, describe := range map[string]string{"12": clicks, "5of12": numbers} {
		b.Run(name, func(b *testing.B) {
			builder := columns.NewBuilder(planOf(b, describe))
			events := clickEvents(1024)
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
