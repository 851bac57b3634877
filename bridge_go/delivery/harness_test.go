package delivery

import (
	"fmt"
	"slices"
	"testing"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

const (
	ms     = int64(1e6)
	second = int64(1e9)
)

// A drama is a core on a stage: the test says what happens, the drama keeps what came of it.
type drama struct {
	*testing.T
	*Core
	now    int64
	offset int64
	leases map[*Worker][]*wire.Batch
	ids    map[uint64][]string // of a batch
	fates  []string            // as "0/3 scored"
	given  []Fate
	cuts   []string
	closes []CloseReason
}

func stage(t *testing.T, cfg Config) *drama {
	cfg.Nonce = 7
	return &drama{T: t, Core: New(cfg), now: second, leases: map[*Worker][]*wire.Batch{}, ids: map[uint64][]string{}}
}

// offer brings in n events of 10 bytes with these keys in turn.
func (p *drama) offer(n int, keys ...string) {
	records := make([]messaging.Record, n)
	for i := range records {
		records[i] = messaging.Record{Offset: p.offset, Value: make([]byte, 10)}
		if len(keys) > 0 {
			records[i].Key = []byte(keys[i%len(keys)])
		}
		p.offset++
	}
	p.Offer(p.now, records)
	p.tick()
}

func (p *drama) hire(name string, events int) *Worker {
	w := p.Join(p.now, name, 0, "1", nil)
	p.Ready(p.now, w, Room{events, 1 << 20})
	p.tick()
	return w
}

func (p *drama) wait(nanos int64) {
	p.now += nanos
	p.tick()
}

func (p *drama) tick() {
	e := p.Tick(p.now)
	p.note()
	for _, l := range e.Leases {
		b := &wire.Batch{Lease: wire.Lease{Nonce: 7, Batch: l.Batch, Epoch: l.Epoch}, Attempt: uint64(l.Attempt)}
		for _, x := range l.Events() {
			p.ids[l.Batch] = append(p.ids[l.Batch], id(x))
		}
		p.leases[l.Worker] = append(p.leases[l.Worker], b)
	}
	for _, w := range e.Cuts {
		p.cuts = append(p.cuts, w.ID)
	}
	for _, c := range e.Closes {
		p.closes = append(p.closes, c.Why)
	}
}

func (p *drama) note() {
	for _, f := range p.Fates() {
		p.given = append(p.given, f)
		p.fates = append(p.fates, id(f.Event)+" "+f.Kind.String())
	}
}

// holds are the events of the batches that a worker has not answered.
func (p *drama) holds(w *Worker) (batches [][]string) {
	for _, b := range p.leases[w] {
		batches = append(batches, p.ids[b.Batch])
	}
	return batches
}

// answer answers a worker's oldest batch, with the errors given by event.
func (p *drama) answer(w *Worker, errs map[string]wire.ErrKind) {
	p.Helper()
	b := p.leases[w][0]
	p.leases[w] = p.leases[w][1:]
	r := &wire.Result{Lease: b.Lease, Count: uint64(len(p.ids[b.Batch]))}
	for i, name := range p.ids[b.Batch] {
		if k := errs[name]; k != 0 {
			r.Errors = append(r.Errors, wire.RowError{Index: uint64(i), Kind: k, Code: "x", RetryMS: 10})
		}
	}
	if err := p.Result(p.now, w, r, int(r.Count)-len(r.Errors)); err != nil {
		p.Fatal(err)
	}
	p.note()
	p.tick()
}

// die ends a worker of a cause that its parent names.
func (p *drama) die(w *Worker, cause string) {
	p.Died(p.now, w.ID, cause, "")
	p.Leave(p.now, w, false)
	delete(p.leases, w)
	p.tick()
}

func (p *drama) settleAll() {
	for _, f := range p.given {
		p.Settled(f.Event, f.Kind)
	}
	p.given = nil
}

func (p *drama) want(what string, got, want any) {
	p.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		p.Fatalf("%s: got %v, wants %v", what, got, want)
	}
}

func (p *drama) dead() (ids []string) {
	for _, f := range p.fates {
		var name, kind string
		fmt.Sscan(f, &name, &kind)
		if kind == "dead" {
			ids = append(ids, name)
		}
	}
	slices.Sort(ids)
	return ids
}

// events are the ids from a to b of partition 0.
func events(a, b int) (ids []string) {
	for i := a; i <= b; i++ {
		ids = append(ids, fmt.Sprintf("0/%d", i))
	}
	return ids
}
