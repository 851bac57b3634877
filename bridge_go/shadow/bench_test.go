package shadow

import (
	"fmt"
	"testing"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

func estimates(n int, delay float64) []dispatch.Fate {
	list := make([]dispatch.Fate, n)
	for i := range list {
		output := fmt.Appendf(nil, `{"flight_id":"UA%d","arr_delay":%g,"late":true,"minutes":%d}`, i, float64(i)+delay, i)
		list[i] = dispatch.Fate{Kind: dispatch.Scored, Stream: "in", Outputs: [][]byte{output},
			Record: &messaging.Record{Offset: int64(i), Key: []byte("UA"), Value: make([]byte, 300)}}
	}
	return list
}

// What the primary pays: a copy for what fits, next to nothing for what does not.
func BenchmarkOffer(b *testing.B) {
	for name, limit := range map[string]int{"taken": 1 << 40, "dropped": 0} {
		b.Run(name, func(b *testing.B) {
			given := estimates(256, 0)
			q := newQueue(messaging.Limit{Events: limit, Bytes: 1 << 40})
			b.ReportAllocs()
			for b.Loop() {
				q.offer(given)
				q.abandon()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(given)), "ns/event")
		})
	}
}

func BenchmarkCompare(b *testing.B) {
	for name, delay := range map[string]float64{"same": 0, "different": 0.5} {
		b.Run(name, func(b *testing.B) {
			primary, shadows, tally := estimates(256, 0), estimates(256, delay), newTally()
			b.ReportAllocs()
			for b.Loop() {
				for i := range primary {
					a := &answer{kind: dispatch.Scored, outputs: primary[i].Outputs}
					tally.add(a, &shadows[i], compare(a, &shadows[i], tolerance{rounding: 1e-9}))
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(primary)), "ns/event")
		})
	}
}
