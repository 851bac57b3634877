package dispatch_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tinylib/msgp/msgp"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/dispatch/dispatchtest"
	"ds-runner.dev/ds-runner/bridge_go/tape"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// record begins a recording of the rig's route.
func (r *rig) record(c dispatch.RecordConfig) *dispatch.Recording {
	r.Helper()
	var x *dispatch.Recording
	r.until("a recording has begun", func() bool {
		var err error
		x, err = r.Record(context.Background(), c)
		return err == nil
	})
	return x
}

// read reads a recording to its end.
func (r *rig) read(x *dispatch.Recording) (data []byte, count dispatch.Recorded) {
	r.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		part, n, done := x.Next(ctx)
		data = append(data, part...)
		if done {
			return data, n
		}
		if ctx.Err() != nil {
			r.Fatal("the recording does not end")
		}
	}
}

// A heard tape is one taken apart.
type heard struct {
	batches []*tape.Batch
	events  map[string]int // deliveries recorded with an answer, by place
	fates   map[string]tape.FateRun
	gaps    tape.Gap
	workers []*tape.Worker
	ended   bool
}

func (r *rig) hear(data []byte) *heard {
	r.Helper()
	reader, err := tape.NewReader(bytes.NewReader(data))
	if err != nil {
		r.Fatal(err)
	}
	h := &heard{events: map[string]int{}, fates: map[string]tape.FateRun{}}
	for {
		f, err := reader.Next()
		switch {
		case errors.Is(err, io.EOF):
			return h
		case err != nil:
			r.Fatal(err)
		}
		h.take(f)
	}
}

func (h *heard) take(f tape.Frame) {
	switch f := f.(type) {
	case *tape.Worker:
		h.workers = append(h.workers, f)
	case *tape.Batch:
		h.batches = append(h.batches, f)
		for _, run := range f.Batch.Positions {
			for i := range run.N {
				h.events[fmt.Sprintf("%d/%d", run.Partition, run.First+i)]++
			}
		}
	case *tape.Fates:
		for _, run := range f.Runs {
			for i := range run.N {
				h.fates[fmt.Sprintf("%d/%d", run.Partition, run.First+i)] = run
			}
		}
	case *tape.Gap:
		h.gaps.Batches += f.Batches
		h.gaps.Events += f.Events
	case *tape.End:
		h.ended = true
	}
}

var lookups = dispatch.RecordConfig{Bridge: "test", Lookups: true}

func TestATapeHoldsBatchesCallsAnswersAndFatesOfEachEvent(t *testing.T) { // DELIVERY 34
	var r *rig
	log := dispatchtest.NewLog(0, 2, 10, false)
	r = start(t, log, nil)
	dispatchtest.Hire(r, "w1", 1, func(w *dispatchtest.Worker, b *wire.Batch) *wire.Result {
		r.Called(b.Lease, "kv.get", msgp.AppendInt(nil, int(b.Batch)), []byte{0x01}, nil)
		r.Called(b.Lease, "sql.open", nil, nil, &wire.CallError{Code: "bad_sql", Reason: "no"})
		return dispatchtest.Echo(w, b)
	})
	x := r.record(lookups)
	log.Append(2_000, 2, 10)
	r.until("all is scored", func() bool { return r.book.Events() == 2_000 })
	x.Stop()
	data, count := r.read(x)
	h := r.hear(data)
	if len(h.events) != 2_000 || len(h.fates) != 2_000 || !h.ended || count.Events != 2_000 || count.Fates != 2_000 || count.DroppedBatches != 0 {
		t.Fatalf("%d events, %d fates, ended %v, %+v", len(h.events), len(h.fates), h.ended, count)
	}
	if len(h.workers) != 1 || h.workers[0].Model != "1" {
		t.Fatalf("workers: %+v", h.workers)
	}
	records := r.log.Records()
	byPlace := map[string][]byte{}
	for _, rec := range records {
		byPlace[fmt.Sprintf("%d/%d", rec.Partition, rec.Offset)] = rec.Key
	}
	for _, b := range h.batches {
		if !b.Answered() || len(b.Calls) != 2 || b.Calls[0].Method != "kv.get" || b.Calls[1].State != tape.Failed || b.Sent == 0 || b.Took <= 0 {
			t.Fatalf("batch: %+v", b)
		}
		i := 0
		for _, run := range b.Batch.Positions {
			for n := range run.N {
				if want := byPlace[fmt.Sprintf("%d/%d", run.Partition, run.First+n)]; !bytes.Equal(b.Batch.Keys[i], want) {
					t.Fatalf("key %q, wants %q", b.Batch.Keys[i], want)
				}
				i++
			}
		}
	}
}

func TestFatesOfRejectedAndDeadEventsAreOnTheTape(t *testing.T) {
	log := dispatchtest.NewLog(0, 1, 0, false)
	r := start(t, log, func(c *dispatch.Config) { c.Breaker.Off = true })
	dispatchtest.Hire(r, "w1", 1, dispatchtest.Failing(func(id string) wire.ErrKind {
		return map[string]wire.ErrKind{"0/3": wire.KindFail, "0/5": wire.KindReject}[id]
	}))
	x := r.record(lookups)
	log.Append(10, 1, 0)
	r.until("all have fates", func() bool { return r.book.Events() == 10 })
	x.Stop()
	data, _ := r.read(x)
	h := r.hear(data)
	if h.fates["0/3"].Kind != tape.Dead || h.fates["0/5"].Kind != tape.Rejected || h.fates["0/4"].Kind != tape.Scored || h.events["0/3"] < 2 {
		t.Fatalf("%+v, %d deliveries of the dead one", h.fates, h.events["0/3"])
	}
}

func TestABatchWhoseWorkerDiedIsOnTheTapeWithoutAnAnswer(t *testing.T) {
	log := dispatchtest.NewLog(0, 1, 0, false)
	r := start(t, log, nil)
	leased := make(chan struct{})
	first := dispatchtest.Hire(r, "w1", 1, func(*dispatchtest.Worker, *wire.Batch) *wire.Result { close(leased); return nil })
	x := r.record(lookups)
	log.Append(5, 1, 0)
	<-leased
	first.Kill()
	dispatchtest.Hire(r, "w2", 2, dispatchtest.Echo)
	r.until("all is scored", func() bool { return r.book.Events() == 5 })
	x.Stop()
	data, _ := r.read(x)
	h := r.hear(data)
	if len(h.batches) < 2 || h.batches[0].Answered() || !h.batches[len(h.batches)-1].Answered() || len(h.workers) != 2 {
		t.Fatalf("%d batches, %d workers", len(h.batches), len(h.workers))
	}
}

func TestWithoutLookupsTheTapeSaysThatItHasNone(t *testing.T) {
	var r *rig
	log := dispatchtest.NewLog(0, 1, 0, false)
	r = start(t, log, nil)
	dispatchtest.Hire(r, "w1", 1, func(w *dispatchtest.Worker, b *wire.Batch) *wire.Result {
		r.Called(b.Lease, "kv.get", nil, []byte("secret"), nil)
		r.Called(b.Lease, "stage", nil, nil, nil)
		return dispatchtest.Echo(w, b)
	})
	x := r.record(dispatch.RecordConfig{})
	log.Append(5, 1, 0)
	r.until("all is scored", func() bool { return r.book.Events() == 5 })
	x.Stop()
	data, _ := r.read(x)
	if bytes.Contains(data, []byte("secret")) {
		t.Fatal("an answer is on the tape")
	}
	if calls := r.hear(data).batches[0].Calls; calls[0].State != tape.Unkept || calls[1].State != tape.Answered {
		t.Fatalf("%+v", calls)
	}
}

func TestASlowReaderCostsBatchesOfTheTapeAndNeverTheRoute(t *testing.T) {
	log := dispatchtest.NewLog(0, 1, 0, false)
	r := start(t, log, nil)
	dispatchtest.Hire(r, "w1", 1, dispatchtest.Echo)
	x := r.record(dispatch.RecordConfig{Bytes: 50_000})
	log.Append(20_000, 1, 0)
	r.until("all is scored though nobody reads the tape", func() bool { return r.book.Events() == 20_000 })
	r.until("all is committed", func() bool { return log.Committed() == 20_000 })
	x.Stop()
	data, count := r.read(x)
	h := r.hear(data)
	if count.DroppedEvents == 0 || h.gaps.Events != count.DroppedEvents || h.gaps.Batches != count.DroppedBatches {
		t.Fatalf("dropped %+v, gaps %+v", count, h.gaps)
	}
	if uint64(len(h.events))+h.gaps.Events != 20_000 || !h.ended {
		t.Fatalf("%d events and %d dropped of 20,000", len(h.events), h.gaps.Events)
	}
	r.audit(dispatchtest.Audit{Scored: 20_000})
}

func TestFatesThatAreStoredBeforeTheirBatchIsAnsweredInFullAreOnTheTape(t *testing.T) {
	var r *rig
	log := dispatchtest.NewLog(0, 1, 0, false)
	r = start(t, log, nil)
	dispatchtest.Hire(r, "w1", 1, func(w *dispatchtest.Worker, b *wire.Batch) *wire.Result {
		if len(b.Payloads) < 2 {
			return dispatchtest.Echo(w, b)
		}
		whole := dispatchtest.Echo(w, b)
		at := bytes.IndexByte(whole.Lines, '\n') + 1
		before := r.book.Events()
		r.Result(w, &wire.Result{Lease: b.Lease, First: 0, Count: 1, Lines: whole.Lines[:at]})
		r.until("the first part is stored", func() bool { return r.book.Events() > before })
		return &wire.Result{Lease: b.Lease, First: 1, Count: whole.Count - 1, Lines: whole.Lines[at:]}
	})
	x := r.record(dispatch.RecordConfig{Bridge: "test", Lookups: true, Fates: time.Hour}) // for none is missing: read would give up
	log.Append(50, 1, 0)
	r.until("all is scored", func() bool { return r.book.Events() == 50 })
	x.Stop()
	data, count := r.read(x)
	if count.Fates != 50 {
		t.Fatalf("%+v", count)
	}
	for _, b := range r.hear(data).batches {
		if !b.Answered() {
			t.Fatalf("%d answers for %d events", len(b.Answers), len(b.Batch.Payloads))
		}
	}
}

func TestALargeBatchIsGivenInPieces(t *testing.T) {
	var r *rig
	log := dispatchtest.NewLog(0, 1, 0, false)
	r = start(t, log, nil)
	dispatchtest.Hire(r, "w1", 1, func(w *dispatchtest.Worker, b *wire.Batch) *wire.Result {
		r.Called(b.Lease, "sql.open", nil, make([]byte, 11<<20), nil)
		return dispatchtest.Echo(w, b)
	})
	x := r.record(lookups)
	log.Append(1, 1, 0)
	r.until("it is scored", func() bool { return r.book.Events() == 1 })
	x.Stop()
	var data []byte
	for done := false; !done; {
		var part []byte
		part, _, done = x.Next(context.Background())
		if len(part) > 4<<20 {
			t.Fatalf("%d bytes at once", len(part))
		}
		data = append(data, part...)
	}
	if h := r.hear(data); len(h.batches) != 1 || len(h.batches[0].Calls[0].Value) != 11<<20 || !h.ended {
		t.Fatalf("%d batches", len(h.batches))
	}
}

func TestABatchWithMoreAnswersThanATapeKeepsIsDroppedAlone(t *testing.T) {
	var r *rig
	log := dispatchtest.NewLog(0, 1, 0, false)
	r = start(t, log, nil)
	var large atomic.Bool
	large.Store(true)
	dispatchtest.Hire(r, "w1", 1, func(w *dispatchtest.Worker, b *wire.Batch) *wire.Result {
		for range 5 {
			if large.Load() {
				r.Called(b.Lease, "sql.next", nil, make([]byte, 15<<20), nil)
			}
		}
		return dispatchtest.Echo(w, b)
	})
	x := r.record(lookups)
	log.Append(1, 1, 0)
	r.until("the first is scored", func() bool { return r.book.Events() == 1 })
	large.Store(false)
	log.Append(1, 1, 0)
	r.until("the second is scored", func() bool { return r.book.Events() == 2 })
	x.Stop()
	data, count := r.read(x)
	if h := r.hear(data); len(h.batches) != 1 || h.gaps.Events != 1 || count.DroppedEvents != 1 {
		t.Fatalf("%d batches, gaps %+v", len(h.batches), h.gaps)
	}
}

func TestARecordingThatNobodyAsksForEnds(t *testing.T) {
	log := dispatchtest.NewLog(0, 1, 0, false)
	r := start(t, log, nil)
	dispatchtest.Hire(r, "w1", 1, dispatchtest.Echo)
	x := r.record(dispatch.RecordConfig{Idle: 50 * time.Millisecond})
	r.until("another may record", func() bool {
		again, err := r.Record(context.Background(), lookups)
		if err == nil {
			again.Stop()
		}
		return err == nil
	})
	data, _ := r.read(x)
	if h := r.hear(data); h.ended {
		t.Fatal("a recording that was given up says that it ended in order")
	}
}

func TestOneRecordsAtATimeAndTheEndOfTheRouteEndsIt(t *testing.T) {
	log := dispatchtest.NewLog(10, 1, 0, false)
	r := start(t, log, nil)
	dispatchtest.Hire(r, "w1", 1, dispatchtest.Echo)
	x := r.record(lookups)
	if _, err := r.Record(context.Background(), lookups); !errors.Is(err, dispatch.ErrRecording) {
		t.Fatalf("got %v", err)
	}
	r.until("all is scored", func() bool { return r.book.Events() == 10 })
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r.Drain(ctx)
	data, _ := r.read(x)
	if h := r.hear(data); !h.ended {
		t.Fatal("the tape does not end")
	}
}
