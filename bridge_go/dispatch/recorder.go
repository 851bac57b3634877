package dispatch

import (
	"bytes"
	"context"
	"time"

	"github.com/tinylib/msgp/msgp"

	"ds-runner.dev/ds-runner/bridge_go/delivery"
	"ds-runner.dev/ds-runner/bridge_go/tape"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// A recorder is the loop's side of a recording: what was sent to workers and is not answered yet, and which events wait for
// their fates. It hears of
//
//	carryOut      a batch that is sent
//	Called        an answer to a call under its lease, before the worker has it, so before its result
//	Result        some of its answers; with the last one the batch is whole
//	Return        that it was given back
//	turn          leases that have ended otherwise: a worker lost, a partition revoked
//	written       fates that are stored
type recorder struct {
	to       *Recording
	count    *tally // of the route
	lookups  bool
	open     map[uint64]*opened // by batch number
	workers  map[Worker]uint64
	waiting  map[place]struct{} // recorded events without a fate
	until    int64              // once stopping: when fates are no longer waited for
	patience time.Duration      // how long that is
}

// opened is a batch whose lease has not ended.
type opened struct {
	*tape.Batch
	sent  int64
	calls int // bytes
	noted int // events whose fates are waited for
}

// A place is where an event is in the input.
type place struct {
	partition int32
	offset    int64
}

// Bounds of what is recorded besides the window: the answers of one batch's calls, and for how long the last fates are waited for
// unless a RecordConfig says otherwise.
const (
	maxTapedCalls = 64 << 20
	lastFates     = 2 * time.Second
)

// RecordConfig is what somebody wants to hear.
type RecordConfig struct {
	Bridge  string        // its version
	Lookups bool          // keep the answers of calls
	Bytes   int           // bound of what waits for the reader, 64 MiB
	Idle    time.Duration // how long it is kept without being asked, 10 s
	Fates   time.Duration // how long the last fates are waited for once it is stopped, 2 s
}

// Record begins a recording of what is leased from now on. ErrRecording when there is one already, ErrStale when the route
// has ended.
func (r *Route) Record(_ context.Context, c RecordConfig) (*Recording, error) {
	or(&c.Fates, lastFates)
	x, err := newRecording(c), ErrStale
	r.ask(reachable, func() {
		if r.recorder != nil && !r.recorder.to.abandoned() {
			err = ErrRecording
			return
		}
		r.endRecording(false)
		x.put(&tape.Recording{
			Program: r.cfg.Program, Command: r.cfg.Command, Stream: r.cfg.Stream, Began: time.Now().UnixNano(), Bridge: c.Bridge, Lookups: c.Lookups,
		})
		r.recorder = &recorder{
			to: x, count: &r.count, lookups: c.Lookups, patience: c.Fates, open: map[uint64]*opened{}, workers: map[Worker]uint64{}, waiting: map[place]struct{}{},
		}
		r.taping.Store(true)
		err = nil
	})
	return x, err
}

func (r *Route) endRecording(orderly bool) {
	if r.recorder == nil {
		return
	}
	r.taping.Store(false)
	r.recorder.to.end(orderly)
	r.recorder = nil
}

// Called tells of a call under a lease before its answer is given; failed is nil when it succeeded. It may be called from any goroutine, and
// costs next to nothing while nobody records.
func (r *Route) Called(l wire.Lease, method string, args, value []byte, failed *wire.CallError) {
	r.lookups.Add(1)
	if !r.taping.Load() {
		return
	}
	c := tape.Call{Method: method, Args: bytes.Clone(args), Value: value}
	switch {
	case failed != nil:
		c.State, c.Value = tape.Failed, failed.Append(nil)
	case value == nil:
		c.Value = msgp.AppendNil(nil)
	}
	r.post(func() {
		if r.recorder != nil {
			r.recorder.called(l.Batch, c)
		}
	})
}

// record notes what was said of a batch whose lease was good until then.
func (r *Route) record(l wire.Lease, m wire.Message) {
	if r.recorder != nil {
		r.recorder.answered(l.Batch, m, !r.core.Alive(l.Nonce, l.Batch, l.Epoch), r.now)
	}
}

// tendRecording finishes batches whose leases have ended without an answer, and the recording when it is to end.
func (r *Route) tendRecording() {
	x := r.recorder
	if x == nil {
		return
	}
	for number, b := range x.open {
		if lease := b.Batch.Batch.Lease; !r.core.Alive(lease.Nonce, number, lease.Epoch) {
			x.finish(number, r.now)
		}
	}
	switch {
	case x.to.abandoned():
		r.log.Warn("nobody reads the recording any more: it is ended")
		r.endRecording(false)
	case x.to.stopping():
		if x.until == 0 {
			x.until = r.now + int64(x.patience)
			clear(x.open) // it takes nothing more
		}
		if len(x.waiting) == 0 || x.until <= r.now {
			r.endRecording(true)
		}
	}
}

// recordingAt is when tendRecording has something to do though nothing happens.
func (r *Route) recordingAt() int64 {
	if r.recorder == nil {
		return 0
	}
	return r.now + int64(100*time.Millisecond)
}

// sent notes a batch that goes to a worker, with all that is known of its events.
func (x *recorder) sent(b *wire.Batch, events []*delivery.Event, m *member, now int64) {
	if x.until != 0 || x.to.stopping() {
		return
	}
	whole := *b
	addMetadata(&whole, events, wire.WantKeys|wire.WantHeaders|wire.WantTimestamps)
	x.open[b.Batch] = &opened{Batch: &tape.Batch{Worker: x.worker(m), Sent: time.Now().UnixNano(), Batch: &whole}, sent: now}
}

// worker is the number of a worker, which is told of before its first batch.
func (x *recorder) worker(m *member) uint64 {
	number, known := x.workers[m.Worker]
	if !known {
		h := m.Hello()
		number = uint64(len(x.workers) + 1)
		x.workers[m.Worker] = number
		x.to.put(&tape.Worker{Number: number, ID: m.ID(), Model: h.Model, SDK: h.SDK, Describe: h.Describe})
	}
	return number
}

// called adds a call to its batch. One that was answered after its batch is of no use to a replay.
func (x *recorder) called(batch uint64, c tape.Call) {
	b := x.open[batch]
	if b == nil {
		return
	}
	if !x.lookups && c.Method != "stage" && c.Method != "clock" {
		c.State, c.Value = tape.Unkept, nil
	}
	if b.calls += len(c.Args) + len(c.Value); b.calls > maxTapedCalls {
		b.Calls = nil // it is dropped in the end
		return
	}
	b.Calls = append(b.Calls, c)
}

// answered adds what a worker has said of a batch, and finishes it if its lease has ended with that.
func (x *recorder) answered(batch uint64, m wire.Message, ended bool, now int64) {
	b := x.open[batch]
	if b == nil {
		return
	}
	b.Answers = append(b.Answers, m)
	if r, ok := m.(*wire.Result); ok {
		x.await(b, int(r.First+r.Count)) // the fates of a first part may be stored before the last part comes
	}
	if ended {
		x.finish(batch, now)
	}
}

// await waits for the fates of the first n events of a batch.
func (x *recorder) await(b *opened, n int) {
	for _, at := range placesOf(b.Batch.Batch)[b.noted:n] {
		x.waiting[at] = struct{}{}
	}
	b.noted = n
}

func placesOf(b *wire.Batch) []place {
	all := make([]place, 0, len(b.Payloads))
	for _, run := range b.Positions {
		for i := range run.N {
			all = append(all, place{run.Partition, run.First + i})
		}
	}
	return all
}

// finish hands a batch over, whole. Events that it has no answer to are waited for, too: they may be dead of it.
func (x *recorder) finish(batch uint64, now int64) {
	b := x.open[batch]
	delete(x.open, batch)
	b.Took = now - b.sent
	n := len(b.Batch.Batch.Payloads)
	if x.to.putBatch(b.Batch, b.calls > maxTapedCalls) {
		x.count.taped += uint64(n)
		x.await(b, n)
		return
	}
	x.count.tapeDropped += uint64(n)
	for _, at := range placesOf(b.Batch.Batch)[:b.noted] {
		delete(x.waiting, at)
	}
}

// revoked stops waiting for fates of partitions that are another reader's now.
func (x *recorder) revoked(partitions []int32) {
	gone := map[int32]bool{}
	for _, p := range partitions {
		gone[p] = true
	}
	for at := range x.waiting {
		if gone[at.partition] {
			delete(x.waiting, at)
		}
	}
}

// stored tells of fates, those of recorded events alone. Refused ones come again, as dead.
func (x *recorder) stored(fates []Fate, refused []Refusal) {
	var f tape.Fates
	for i := range fates {
		if len(refused) > 0 && refused[0].Index == i {
			refused = refused[1:]
			continue
		}
		at := place{fates[i].Record.Partition, fates[i].Record.Offset}
		if _, recorded := x.waiting[at]; !recorded {
			continue
		}
		delete(x.waiting, at)
		f.Runs = lengthened(f.Runs, &fates[i])
	}
	if len(f.Runs) > 0 {
		x.to.put(&f)
	}
}

// lengthened adds a fate to the last run, or begins one.
func lengthened(runs []tape.FateRun, f *Fate) []tape.FateRun {
	kind := tapeKinds[f.Kind]
	if n := len(runs); n > 0 && kind == tape.Scored {
		last := &runs[n-1]
		if last.Kind == kind && last.Partition == f.Record.Partition && last.First+last.N == f.Record.Offset && last.Model == f.Model {
			last.N++
			return runs
		}
	}
	return append(runs, tape.FateRun{
		Partition: f.Record.Partition, First: f.Record.Offset, N: 1, Kind: kind, Attempts: uint64(f.Attempts), Model: f.Model, Code: f.Code, Reason: f.Reason,
	})
}

var tapeKinds = map[FateKind]tape.FateKind{Scored: tape.Scored, Rejected: tape.Rejected, Dead: tape.Dead}
