package kafka

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sys/unix"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// The benchmarks copy batches of 256 records of 300 bytes from one topic to another, on a real broker, and tell what that costs this
// process by event. The first is the floor: the client alone.
const perBatch = 256

func BenchmarkCopyByTheClientAlone(b *testing.B) {
	c := connectTo(b, nil)
	in, out := full(b, c, b.N*perBatch), full(b, c, 1)
	reader, err := c.reader(in, map[int32]int64{0: 0})
	must(b, err)
	defer reader.Close()
	writer, err := c.producer(func(string) int32 { return fallbackBatch })
	must(b, err)
	defer writer.Close()
	measured(b, func() {
		for left := b.N * perBatch; left > 0; {
			fetches := reader.PollRecords(context.Background(), min(perBatch, left))
			for it := fetches.RecordIter(); !it.Done(); left-- {
				r := it.Next()
				writer.Produce(context.Background(), &kgo.Record{Topic: out, Key: r.Key, Value: r.Value}, nil)
			}
			must(b, writer.Flush(context.Background()))
		}
	})
}

func BenchmarkCopy(b *testing.B) {
	c := connectTo(b, nil)
	in, out := full(b, c, b.N*perBatch), full(b, c, 1)
	s := sourceOf(b, c, messaging.SourceConfig{Topic: in, Group: group})
	sink, err := c.Sink(context.Background(), messaging.SinkConfig{Topic: out})
	must(b, err)
	measured(b, func() {
		committed := time.Now()
		for left := b.N * perBatch; left > 0; {
			records := next(b, s, left)
			left -= len(records)
			must(b, sink.Write(context.Background(), outputs(records)))
			if left == 0 || time.Since(committed) > 50*time.Millisecond { // as the bridge does
				must(b, s.Commit(context.Background(), positionsOf(records)))
				committed = time.Now()
			}
		}
	})
}

func BenchmarkCopyInTransactions(b *testing.B) {
	c := connectTo(b, nil)
	in, out := full(b, c, b.N*perBatch), full(b, c, 1)
	s := sourceOf(b, c, messaging.SourceConfig{Topic: in, Group: group, Transactional: true}).(*transactor)
	measured(b, func() {
		for left := b.N * perBatch; left > 0; {
			var batch []messaging.Outgoing
			var last []messaging.Record
			for len(batch) < 20_000 && left > 0 {
				last = next(b, s, left)
				left -= len(last)
				batch = append(batch, outputs(last)...)
			}
			must(b, s.Transact(context.Background(), []messaging.Write{{Topic: out, Records: batch}}, positionsOf(last)))
		}
	})
}

func next(b *testing.B, s messaging.Source, left int) []messaging.Record {
	records, err := s.Read(context.Background(), messaging.Limit{Events: min(perBatch, left), Bytes: 1 << 20})
	must(b, err)
	return records
}

func outputs(records []messaging.Record) []messaging.Outgoing {
	all := make([]messaging.Outgoing, len(records))
	for i := range records {
		all[i].Record = messaging.Record{Key: records[i].Key, Value: records[i].Value}
	}
	return all
}

func full(b *testing.B, c *connection, records int) string {
	b.Helper()
	topic := fresh(nil)
	s, err := c.Sink(context.Background(), messaging.SinkConfig{Topic: topic})
	must(b, err)
	value := bytes.Repeat([]byte("v"), 300)
	for from := 0; from < records; from += 10_000 {
		batch := make([]messaging.Outgoing, min(10_000, records-from))
		for i := range batch {
			batch[i].Record = messaging.Record{Key: fmt.Append(nil, (from+i)%1000), Value: value}
		}
		must(b, s.Write(context.Background(), batch))
	}
	must(b, s.Close(context.Background()))
	return topic
}

func measured(b *testing.B, work func()) {
	before := cpu(b)
	b.ReportAllocs()
	b.ResetTimer()
	work()
	b.StopTimer()
	b.ReportMetric((cpu(b)-before)/float64(b.N*perBatch), "cpu-us/event")
}

// cpu is what this process has used, in microseconds.
func cpu(b *testing.B) float64 {
	var used unix.Rusage
	must(b, unix.Getrusage(unix.RUSAGE_SELF, &used))
	return float64(used.Utime.Nano()+used.Stime.Nano()) / 1000
}
