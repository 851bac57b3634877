package player

import (
	"context"
	"encoding/json"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/tape"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// A turn is one batch with one worker. Its fields are under the player's lock until done is closed.
type turn struct {
	index    int
	recorded *tape.Batch
	lease    wire.Lease
	worker   dispatch.Worker
	answers  []wire.Message
	answered uint64
	lost     string // why there is no answer
	used     []bool // of the recorded calls
	asked    bool   // the report has a call of this batch
	done     chan struct{}
}

func (t *turn) isOver() bool {
	select {
	case <-t.done:
		return true
	default:
		return false
	}
}

// begin sends a batch as it was, under a lease of this life, with the metadata that the worker asks for.
func (p *Player) begin(index int, b *tape.Batch, w dispatch.Worker) *turn {
	t := &turn{
		index: index, recorded: b, worker: w, used: make([]bool, len(b.Calls)), done: make(chan struct{}),
		lease: wire.Lease{Nonce: p.c.Nonce, Batch: uint64(index + 1), Epoch: 1},
	}
	frame := *b.Batch
	frame.Lease, frame.DeadlineMS = t.lease, uint64(p.c.Deadline.Milliseconds())
	wants := w.Hello().Wants
	if wants&wire.WantKeys == 0 {
		frame.Keys = nil
	}
	if wants&wire.WantHeaders == 0 {
		frame.Headers = nil
	}
	if wants&wire.WantTimestamps == 0 {
		frame.Timestamps = nil
	}
	p.mu.Lock()
	p.turn = t
	p.report.Environment = environmentOf(w.Hello().Describe)
	p.mu.Unlock()
	if p.began.IsZero() {
		p.began, p.first = time.Now(), b.Sent
	}
	w.Send(&frame)
	return t
}

// environmentOf is that part of a description; nil where it has none.
func environmentOf(describe []byte) json.RawMessage {
	var described struct {
		Environment json.RawMessage `json:"environment"`
	}
	if json.Unmarshal(describe, &described) != nil {
		return nil
	}
	return described.Environment
}

// hear takes a part of an answer.
func (p *Player) hear(w dispatch.Worker, l wire.Lease, m wire.Message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.turn
	if t == nil || t.worker != w || t.lease != l || t.isOver() {
		return
	}
	t.answers = append(t.answers, m)
	r, ok := m.(*wire.Result)
	if ok {
		if r.First != t.answered || r.Count > uint64(len(t.recorded.Batch.Payloads))-t.answered {
			t.lost = "it answered what cannot be true"
			close(t.done)
			w.Close(wire.ByeMalformed, t.lost)
			return
		}
		if t.answered += r.Count; t.answered < uint64(len(t.recorded.Batch.Payloads)) {
			return
		}
	}
	close(t.done)
}

// closeAfter is how long a worker that was asked to end is waited for.
const closeAfter = 5 * time.Second

// finish waits for the answer. A worker that takes longer than the deadline is ended, which is an answer, too.
func (p *Player) finish(ctx context.Context, t *turn) error {
	timer := time.NewTimer(p.c.Deadline)
	defer timer.Stop()
	for cut := false; ; cut = true {
		select {
		case <-t.done:
			return nil
		case <-p.over:
			return errOver
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
		if cut {
			t.worker.Close(wire.ByeDeadline, "no answer within the deadline")
			continue
		}
		p.mu.Lock()
		for s := range p.supervisors {
			s.Cut(t.worker.ID(), "no answer within "+p.c.Deadline.String())
		}
		p.mu.Unlock()
		timer.Reset(closeAfter)
	}
}

// fates are what became of the events of a turn whose answers count, as a ledger tells it.
func (p *Player) fates(t *turn) (list []dispatch.Fate) {
	b := t.recorded.Batch
	places := placesOf(b)
	for i, a := range answersOf(t) {
		if !p.plan.wants(t.index, places[i]) {
			continue
		}
		a.Record = &messaging.Record{
			Partition: places[i].partition, Offset: places[i].offset, Key: b.Keys[i], Value: b.Payloads[i], Time: b.Timestamps[i],
		}
		a.Stream, a.Model, a.Attempts = b.Stream, t.worker.Hello().Model, int(b.Attempt)
		list = append(list, a)
	}
	return list
}

// answersOf has one fate an event.
func answersOf(t *turn) []dispatch.Fate {
	all := make([]dispatch.Fate, len(t.recorded.Batch.Payloads))
	why := dispatch.Fate{Kind: dispatch.Dead, Code: "worker_died", Reason: t.lost}
	for _, m := range t.answers {
		switch m := m.(type) {
		case *wire.Result:
			laidOut(all, m)
		case *wire.Return:
			why = dispatch.Fate{Kind: dispatch.Dead, Code: m.Code, Reason: m.Reason}
		}
	}
	for i := range all {
		if uint64(i) >= t.answered {
			all[i] = why
		}
	}
	return all
}

// laidOut gives the outputs of a result to its events.
func laidOut(all []dispatch.Fate, r *wire.Result) {
	outputs, _ := r.Split()
	errs, routes, at := r.Errors, r.Routes, 0
	for i := range r.Count {
		f, n := &all[r.First+i], 1
		if r.Counts != nil {
			n = int(r.Counts[i])
		}
		if len(errs) > 0 && errs[0].Index == r.First+i {
			*f = failed(&errs[0])
			errs, n = errs[1:], 0
		}
		f.Outputs = outputs[at : at+n]
		for len(routes) > 0 && routes[0].Index < uint64(at+n) {
			f.Routes = append(f.Routes, dispatch.Routed{Index: int(routes[0].Index) - at, Stream: routes[0].Stream})
			routes = routes[1:]
		}
		at += n
	}
}

func failed(e *wire.RowError) dispatch.Fate {
	f := dispatch.Fate{Kind: dispatch.Dead, Code: e.Code, Reason: e.Reason, Detail: e.Detail}
	if e.Kind == wire.KindReject {
		f.Kind = dispatch.Rejected
	}
	return f
}

func (p *Player) tally(t *turn, fates []dispatch.Fate) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.turn = nil
	p.report.Batches++
	for _, used := range t.used {
		if !used {
			p.report.Unasked++
		}
	}
	for i := range fates {
		p.count.in++
		switch fates[i].Kind {
		case dispatch.Scored:
			p.count.scored++
		case dispatch.Rejected:
			p.count.rejected++
		case dispatch.Dead:
			p.count.dead++
		}
	}
}
