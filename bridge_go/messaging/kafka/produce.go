package kafka

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/steps"
)

// producer makes a client that writes when it is told to (Flush): all records of a Write travel together.
func (c *connection) producer(largest func(topic string) int32, more ...kgo.Opt) (*kgo.Client, error) {
	o := append([]kgo.Opt{}, c.base...)
	o = append(o,
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.ProducerBatchMaxBytesFn(largest),
		kgo.ProducerBatchCompression(codec(c.settings.compression)),
		kgo.ProduceRequestTimeout(min(10*time.Second, c.settings.write)),
		kgo.ManualFlushing(),
		kgo.MaxBufferedRecords(math.MaxInt32), // one Write at a time: its caller bounds it
	)
	return kgo.NewClient(append(o, more...)...)
}

func codec(name string) kgo.CompressionCodec {
	switch name {
	case "snappy":
		return kgo.SnappyCompression()
	case "lz4":
		return kgo.Lz4Compression()
	case "zstd":
		return kgo.ZstdCompression()
	case "gzip":
		return kgo.GzipCompression()
	}
	return kgo.NoCompression()
}

// A batch is the records of one Write on their way. Its memory is used again for the next.
type batch struct {
	records []kgo.Record
	headers []kgo.RecordHeader

	done sync.WaitGroup

	mu     sync.Mutex
	failed map[*kgo.Record]error
}

// fill takes records in without copying their bytes: all promises are kept before Write returns.
func (b *batch) fill(topic string, records []messaging.Outgoing) {
	n := 0
	for i := range records {
		n += len(records[i].Headers)
	}
	if free := cap(b.headers) - len(b.headers); free < n {
		b.headers = make([]kgo.RecordHeader, 0, n) // records filled before keep theirs
	}
	for i := range records {
		from := &records[i].Record
		r := kgo.Record{Topic: topic, Key: from.Key, Value: from.Value}
		if from.Time != 0 {
			r.Timestamp = time.Unix(0, from.Time)
		}
		if len(from.Headers) > 0 {
			first := len(b.headers)
			for _, h := range from.Headers {
				b.headers = append(b.headers, kgo.RecordHeader{Key: h.Name, Value: h.Value})
			}
			r.Headers = b.headers[first:len(b.headers):len(b.headers)]
		}
		b.records = append(b.records, r)
	}
}

func (b *batch) reset() {
	clear(b.records)
	clear(b.headers)
	b.records, b.headers, b.failed = b.records[:0], b.headers[:0], nil
}

// send writes what skip does not name and waits until the fate of each record is known, or until the context ends: then all that is open
// is given up.
func (b *batch) send(ctx context.Context, client *kgo.Client, skip func(int) bool) {
	settled := b.settled // one function for all records
	for i := range b.records {
		if steps.Wanted(steps.HalfResults) && i == len(b.records)/2 {
			_ = client.Flush(ctx)
			steps.At(steps.HalfResults)
		}
		if skip == nil || !skip(i) {
			b.done.Add(1)
			client.Produce(ctx, &b.records[i], settled)
		}
	}
	if err := client.Flush(ctx); err != nil {
		client.UnsafeAbortBufferedRecords()
	}
	b.done.Wait()
}

func (b *batch) settled(r *kgo.Record, err error) {
	if err != nil {
		b.mu.Lock()
		if b.failed == nil {
			b.failed = map[*kgo.Record]error{}
		}
		b.failed[r] = err
		b.mu.Unlock()
	}
	b.done.Done()
}

// failure is why a record was not written.
func (b *batch) failure(i int) error {
	if b.failed == nil {
		return nil
	}
	return b.failed[&b.records[i]]
}

// write writes a few records and returns the first error.
func write(ctx context.Context, client *kgo.Client, records []*kgo.Record) error {
	var mu sync.Mutex
	var first error
	for _, r := range records {
		client.Produce(ctx, r, func(_ *kgo.Record, err error) {
			mu.Lock()
			defer mu.Unlock()
			if first == nil {
				first = err
			}
		})
	}
	err := client.Flush(ctx)
	if err != nil {
		client.UnsafeAbortBufferedRecords()
	}
	mu.Lock()
	defer mu.Unlock()
	return errors.Join(first, err)
}
