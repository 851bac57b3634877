package shadow

import (
	"context"
	"errors"
	"io"
	"testing"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

func fates(n, bytes int) []dispatch.Fate {
	list := make([]dispatch.Fate, n)
	for i := range list {
		list[i] = dispatch.Fate{Kind: dispatch.Scored, Outputs: [][]byte{make([]byte, bytes/2)},
			Record: &messaging.Record{Offset: int64(i), Epoch: 4, Value: make([]byte, bytes-bytes/2)}}
	}
	return list
}

func TestAQueueTakesTheFirstThatFitAndDropsTheRest(t *testing.T) {
	for _, c := range []struct {
		limit messaging.Limit
		taken int
	}{{messaging.Limit{Events: 7, Bytes: 1 << 20}, 7}, {messaging.Limit{Events: 100, Bytes: 1_000}, 10}, {messaging.Limit{Events: 100, Bytes: 99}, 0}} {
		q := newQueue(c.limit)
		q.offer(fates(20, 100))
		used, dropped := q.figures()
		if used.Events != c.taken || used.Bytes != 100*c.taken || dropped != uint64(20-c.taken) {
			t.Errorf("%+v: uses %+v, dropped %d", c.limit, used, dropped)
		}
	}
}

func TestRoomIsMadeByAnswersAndNotByReading(t *testing.T) {
	q := newQueue(messaging.Limit{Events: 10, Bytes: 1 << 20})
	q.offer(fates(10, 10))
	records, err := q.Read(context.Background(), messaging.Limit{Events: 4, Bytes: 1 << 20})
	if err != nil || len(records) != 4 || records[3].Offset != 3 || records[0].Epoch != 0 {
		t.Fatalf("read %d, %v", len(records), err)
	}
	q.offer(fates(1, 10))
	if _, dropped := q.figures(); dropped != 1 {
		t.Fatal("events that are being scored make room")
	}
	if a := q.answered(&records[0]); a == nil || len(a.outputs) != 1 {
		t.Fatalf("no answer of the primary: %+v", a)
	}
	if q.answered(&records[0]) != nil {
		t.Fatal("an event is answered twice")
	}
	q.offer(fates(1, 10))
	if used, dropped := q.figures(); dropped != 1 || used.Events != 10 {
		t.Fatalf("an answered event makes no room: %+v", used)
	}
}

func TestBytesAreFreeWhenAllThatShareABlockAreAnswered(t *testing.T) {
	q := newQueue(messaging.Limit{Events: 10_000, Bytes: 1 << 20})
	q.offer(fates(maxChunk+1, 10))
	var read []*messaging.Record
	for len(read) < maxChunk+1 {
		records, _ := q.Read(context.Background(), messaging.Limit{Events: 1_000, Bytes: 1 << 20})
		for i := range records {
			read = append(read, &records[i])
		}
	}
	if q.answered(read[maxChunk]); !usesBytes(q, 10*maxChunk) {
		t.Fatal("the block of the last event is kept")
	}
	for _, r := range read[:maxChunk-1] {
		q.answered(r)
	}
	if !usesBytes(q, 10*maxChunk) {
		t.Fatal("a block that is in use is not counted")
	}
	if q.answered(read[maxChunk-1]); !usesBytes(q, 0) {
		t.Fatal("a block that is not in use is counted")
	}
}

func usesBytes(q *queue, n int) bool {
	used, _ := q.figures()
	return used.Bytes == n
}

func TestAQueueKeepsNothingOfThePrimarys(t *testing.T) {
	q := newQueue(messaging.Limit{Events: 10, Bytes: 1 << 20})
	given := fates(1, 10)
	given[0].Record.Key = []byte("key")
	given[0].Record.Headers = []messaging.Header{{Name: "h", Value: []byte("v")}}
	q.offer(given)
	given[0].Record.Value[0], given[0].Record.Key[0], given[0].Outputs[0][0] = 9, 'X', 9
	given[0].Record.Headers[0].Value[0] = 'X'
	records, _ := q.Read(context.Background(), messaging.Limit{Events: 1, Bytes: 1})
	if r := records[0]; r.Value[0] != 0 || string(r.Key) != "key" || string(r.Headers[0].Value) != "v" || q.answered(&records[0]).outputs[0][0] != 0 {
		t.Fatalf("the copy changes with the original: %+v", r)
	}
}

// The queue counts neither a payload as its stream carries it, nor the fetch that this is a part of.
func TestAQueueDoesNotKeepPayloadsAsTheyWereBeforeTheirFormat(t *testing.T) {
	q := newQueue(messaging.Limit{Events: 10, Bytes: 1 << 20})
	given, stored := fates(1, 10), make([]byte, 1<<20)
	given[0].Record.Original = &stored
	q.offer(given)
	if records, _ := q.Read(context.Background(), messaging.Limit{Events: 1, Bytes: 1}); records[0].Original != nil {
		t.Fatal("the original payload is kept, and not counted")
	}
}

func TestReadBlocksUntilAnEventTheContextOrTheEnd(t *testing.T) {
	q := newQueue(messaging.Limit{Events: 10, Bytes: 1 << 20})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := q.Read(ctx, messaging.Limit{Events: 1, Bytes: 1}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	go q.offer(fates(1, 10))
	if r, err := q.Read(context.Background(), messaging.Limit{Events: 1, Bytes: 1}); len(r) != 1 || err != nil {
		t.Fatal(r, err)
	}
	go q.end()
	if _, err := q.Read(context.Background(), messaging.Limit{Events: 1, Bytes: 1}); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	q.offer(fates(1, 10))
	if used, dropped := q.figures(); used.Events != 1 || dropped != 1 {
		t.Fatalf("after the end it has taken more: %+v, %d dropped", used, dropped)
	}
}

func TestNoTombstoneTurnsIntoAnEmptyEvent(t *testing.T) {
	q := newQueue(messaging.Limit{Events: 10, Bytes: 1 << 20})
	q.offer([]dispatch.Fate{{Record: &messaging.Record{}}})
	if r, _ := q.Read(context.Background(), messaging.Limit{Events: 1, Bytes: 1}); r[0].Value != nil || r[0].Key != nil {
		t.Fatalf("%+v", r)
	}
}
