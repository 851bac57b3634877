package dispatchtest

import (
	"bytes"
	"errors"
	"sync"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// ErrGone is with what a worker leaves that is killed.
var ErrGone = errors.New("connection reset")

// A Score answers a batch. A nil result is no answer: the worker has died, or hangs, or has given the batch back.
type Score func(w *Worker, b *wire.Batch) *wire.Result

// A Worker is a worker without a socket: it answers in order, on one goroutine, like the real one.
type Worker struct {
	pool  dispatch.Pool
	hello *wire.Hello
	score Score

	mu      sync.Mutex
	queue   []*wire.Batch
	arrived *sync.Cond
	gone    bool
	drained bool
	code    wire.ByeCode
	done    chan struct{}
}

// Hire has a worker join with a window of four batches of 256.
func Hire(pool dispatch.Pool, name string, pid uint64, score Score) *Worker {
	return hire(pool, name, pid, wire.WantKeys, score)
}

// HireStandby has a worker join that is to be held until another is lost.
func HireStandby(pool dispatch.Pool, name string, pid uint64, score Score) *Worker {
	return hire(pool, name, pid, wire.WantKeys|wire.Standby, score)
}

func hire(pool dispatch.Pool, name string, pid uint64, wants wire.Wants, score Score) *Worker {
	w := &Worker{pool: pool, score: score, done: make(chan struct{}),
		hello: &wire.Hello{Program: "p", Command: "c", Worker: name, PID: pid, Model: "1", Wants: wants}}
	w.arrived = sync.NewCond(&w.mu)
	if _, err := pool.Join(w); err != nil {
		close(w.done)
		return w
	}
	pool.Ready(w, 1024, 4<<20)
	go w.work()
	return w
}

// ID implements dispatch.Worker.
func (w *Worker) ID() string { return w.hello.Worker }

// Hello implements dispatch.Worker.
func (w *Worker) Hello() *wire.Hello { return w.hello }

// Send implements dispatch.Worker.
func (w *Worker) Send(b *wire.Batch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queue = append(w.queue, b)
	w.arrived.Signal()
}

// Drain implements dispatch.Worker: it says goodbye when it has answered.
func (w *Worker) Drain(string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.drained = true
	w.arrived.Signal()
}

// Close implements dispatch.Worker.
func (w *Worker) Close(code wire.ByeCode, _ string) {
	w.mu.Lock()
	w.code = code
	w.mu.Unlock()
	go w.Kill()
}

// Closed is the code with which the bridge closed it.
func (w *Worker) Closed() wire.ByeCode {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.code
}

// Kill ends the connection in the middle of whatever it does, once.
func (w *Worker) Kill() { w.leave(ErrGone) }

// Done is closed when the worker's goroutine has ended.
func (w *Worker) Done() <-chan struct{} { return w.done }

func (w *Worker) leave(err error) {
	w.mu.Lock()
	was := w.gone
	w.gone = true
	w.arrived.Broadcast()
	w.mu.Unlock()
	if !was {
		w.pool.Leave(w, err)
	}
}

func (w *Worker) work() {
	defer close(w.done)
	for b := w.next(); b != nil; b = w.next() {
		r := w.score(w, b)
		if r == nil || w.isGone() {
			continue
		}
		w.pool.Result(w, r)
	}
}

// next waits for a batch; nil at the end.
func (w *Worker) next() *wire.Batch {
	w.mu.Lock()
	for len(w.queue) == 0 && !w.gone && !w.drained {
		w.arrived.Wait()
	}
	if w.gone || len(w.queue) == 0 {
		w.mu.Unlock()
		w.leave(nil)
		return nil
	}
	defer w.mu.Unlock()
	b := w.queue[0]
	w.queue = w.queue[1:]
	return b
}

func (w *Worker) isGone() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.gone
}

// Echo scores every event with the id in it and 40 bytes in all: f(id), which an audit knows.
func Echo(_ *Worker, b *wire.Batch) *wire.Result {
	r := &wire.Result{Lease: b.Lease, Count: uint64(len(b.Payloads)), Lines: make([]byte, 0, 40*len(b.Payloads))}
	for _, p := range b.Payloads {
		r.Lines = append(AppendAnswer(r.Lines, p), '\n')
	}
	return r
}

// AppendAnswer appends f of an event.
func AppendAnswer(to, payload []byte) []byte {
	id := IDOf(payload)
	to = append(append(to, "f "...), id...)
	for range max(0, 37-len(id)) {
		to = append(to, '.')
	}
	return to
}

// IDOf is the id that an event of a Log carries.
func IDOf(payload []byte) []byte {
	id, _, _ := bytes.Cut(payload, []byte{' '})
	return id
}

// Failing answers like Echo, but has the events for which kind is not 0 fail in that way.
func Failing(kind func(id string) wire.ErrKind) Score {
	return func(w *Worker, b *wire.Batch) *wire.Result {
		r := &wire.Result{Lease: b.Lease, Count: uint64(len(b.Payloads)), Lines: []byte{}}
		for i, p := range b.Payloads {
			if k := kind(string(IDOf(p))); k != 0 {
				r.Errors = append(r.Errors, wire.RowError{Index: uint64(i), Kind: k, Code: "raised", Reason: "planned"})
				continue
			}
			r.Lines = append(AppendAnswer(r.Lines, p), '\n')
		}
		return r
	}
}
