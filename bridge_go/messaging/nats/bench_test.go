package nats

import (
	"testing"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/providers"
)

func BenchmarkWrite(b *testing.B) {
	c := open(b, providers.URL(b, "nats"), "", "")
	s, err := c.Sink(ctx, messaging.SinkConfig{Topic: topicName()})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close(ctx)
	for i := 0; b.Loop(); i += 256 {
		if err := s.Write(ctx, numbered(i, 256)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/256, "ns/record")
}

func BenchmarkRead(b *testing.B) {
	c := open(b, providers.URL(b, "nats"), "", "")
	name := topicName()
	for i := 0; i < 512*1024; i += 4096 {
		write(b, c, name, numbered(i, 4096)...)
	}
	s := readerOf(b, c, name, "g")
	n := 0
	for b.Loop() {
		got := read(b, s, 256)
		n += len(got)
		commit(b, s, got[len(got)-1])
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/record")
}

func BenchmarkFates(b *testing.B) {
	for name, records := range map[string]int{"one": 1, "two": 2} {
		b.Run(name, func(b *testing.B) {
			c := open(b, providers.URL(b, "nats"), "", "stream=fates-"+run)
			w, err := c.Fates(ctx, []string{"f." + run, "d." + run})
			if err != nil {
				b.Fatal(err)
			}
			defer w.Close(ctx)
			all := make([]messaging.FateWrite, 256)
			for i := 0; b.Loop(); i++ {
				for k := range all {
					all[k] = messaging.FateWrite{ID: name + string(numbered(i*256+k, 1)[0].Value)}
					for range records {
						all[k].Records = append(all[k].Records, messaging.FateRecord{Topic: "f." + run, Record: messaging.Record{Value: []byte(`{"n":1}`)}})
					}
				}
				if err := w.WriteFates(ctx, all); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/256, "ns/fate")
		})
	}
}
