package servertest

import (
	"errors"
	"sync"
	"testing"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// A Pool is a dispatcher that remembers what it was told. Its methods may be called from any goroutine.
type Pool struct {
	mu      sync.Mutex
	changed chan struct{}
	refuse  string
	heard   []Heard
}

// Heard is one call of a Pool method.
type Heard struct {
	Method        string // Join, Ready, Result, Return, Leave, Supervise, Unsupervise, Died
	Worker        string
	Events, Bytes int
	Result        *wire.Result
	Return        *wire.Return
	Detail        string
	Err           error
	Handle        dispatch.Worker
	Supervisor    dispatch.Supervisor
}

// NewPool is a Pool that takes every worker.
func NewPool() *Pool { return &Pool{changed: make(chan struct{})} }

// Refuse makes Join refuse with a reason.
func (p *Pool) Refuse(reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = reason
}

func (p *Pool) hear(h Heard) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.heard = append(p.heard, h)
	close(p.changed)
	p.changed = make(chan struct{})
}

// Heard are all calls so far.
func (p *Pool) Heard() []Heard {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Heard(nil), p.heard...)
}

// Count is the number of calls of a method.
func (p *Pool) Count(method string) int {
	n := 0
	for _, h := range p.Heard() {
		if h.Method == method {
			n++
		}
	}
	return n
}

// Wait waits until a method was called n times for a worker, and gives the nth.
func (p *Pool) Wait(t testing.TB, method, worker string, n int) Heard {
	t.Helper()
	end := time.After(Patience)
	for {
		p.mu.Lock()
		found, changed := nth(p.heard, method, worker, n), p.changed
		p.mu.Unlock()
		if found != nil {
			return *found
		}
		select {
		case <-changed:
		case <-end:
			t.Fatalf("%s of %s was not heard %d times, but %+v", method, worker, n, p.Heard())
		}
	}
}

func nth(heard []Heard, method, worker string, n int) *Heard {
	for i := range heard {
		if heard[i].Method != method || heard[i].Worker != worker {
			continue
		}
		if n--; n == 0 {
			return &heard[i]
		}
	}
	return nil
}

func (p *Pool) Join(w dispatch.Worker) (wire.Welcome, error) {
	p.mu.Lock()
	refuse := p.refuse
	p.mu.Unlock()
	if refuse != "" {
		return wire.Welcome{}, errors.New(refuse)
	}
	p.hear(Heard{Method: "Join", Worker: w.ID(), Handle: w})
	return wire.Welcome{}, nil
}

func (p *Pool) Ready(w dispatch.Worker, events, bytes int) {
	p.hear(Heard{Method: "Ready", Worker: w.ID(), Events: events, Bytes: bytes, Handle: w})
}

func (p *Pool) Result(w dispatch.Worker, r *wire.Result) {
	p.hear(Heard{Method: "Result", Worker: w.ID(), Result: r, Handle: w})
}

func (p *Pool) Return(w dispatch.Worker, r *wire.Return) {
	p.hear(Heard{Method: "Return", Worker: w.ID(), Return: r, Handle: w})
}

func (p *Pool) Leave(w dispatch.Worker, err error) {
	p.hear(Heard{Method: "Leave", Worker: w.ID(), Err: err, Handle: w})
}

func (p *Pool) Supervise(s dispatch.Supervisor) (leave func()) {
	p.hear(Heard{Method: "Supervise", Supervisor: s})
	return func() { p.hear(Heard{Method: "Unsupervise", Supervisor: s}) }
}

func (p *Pool) Died(worker, cause, detail string) {
	p.hear(Heard{Method: "Died", Worker: worker, Detail: cause + ": " + detail})
}

var _ dispatch.Pool = (*Pool)(nil)
