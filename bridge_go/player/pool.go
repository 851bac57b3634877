package player

import (
	"context"
	"fmt"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/tape"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

var _ dispatch.Pool = (*Player)(nil)

// A member is a worker with its window; it is ready when that has room for events.
type member struct{ events, bytes int }

// Join implements dispatch.Pool, as the methods below do.
func (p *Player) Join(w dispatch.Worker) (wire.Welcome, error) {
	if err := p.alive(context.Background()); err != nil {
		return wire.Welcome{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.members[w] = &member{}
	return wire.Welcome{
		Nonce: p.c.Nonce, DeadlineMS: uint64(p.c.Deadline.Milliseconds()), HeartbeatMS: uint64(p.c.HeartbeatEach.Milliseconds()),
	}, nil
}

func (p *Player) Ready(w dispatch.Worker, events, bytes int) {
	p.mu.Lock()
	if m := p.members[w]; m != nil {
		m.events, m.bytes = events, bytes
	}
	p.mu.Unlock()
	p.wake()
}

func (p *Player) Result(w dispatch.Worker, r *wire.Result) { p.hear(w, r.Lease, r) }

func (p *Player) Return(w dispatch.Worker, r *wire.Return) { p.hear(w, r.Lease, r) }

// Leave makes an end of the batch that the worker had.
func (p *Player) Leave(w dispatch.Worker, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.members, w)
	if t := p.turn; t != nil && t.worker == w && !t.isOver() {
		t.lost = "its connection ended"
		if err != nil {
			t.lost = err.Error()
		}
		close(t.done)
	}
}

func (p *Player) Supervise(s dispatch.Supervisor) (leave func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.supervisors[s] = struct{}{}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.supervisors, s)
	}
}

func (p *Player) Died(worker, cause, detail string) {
	p.log.Warn("worker died", "worker", worker, "cause", cause, "detail", detail)
}

// readyWorker waits for a worker whose window a batch fits into.
func (p *Player) readyWorker(ctx context.Context, b *tape.Batch) (dispatch.Worker, error) {
	for {
		p.mu.Lock()
		for w, m := range p.members {
			if m.events > 0 {
				p.mu.Unlock()
				return w, fits(m, b.Batch)
			}
		}
		p.mu.Unlock()
		select {
		case <-p.changed:
		case <-p.over:
			return nil, errOver
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func fits(m *member, b *wire.Batch) error {
	if n := len(b.Payloads); n > 1 && (n > m.events || b.Bytes() > m.bytes) {
		return fmt.Errorf("a recorded batch has %d events and %d bytes, the worker takes %d and %d at once. Set batch.events and batch.bytes of the "+
			"command in program.yaml as they were when the tape was recorded", n, b.Bytes(), m.events, m.bytes)
	}
	return nil
}

func (p *Player) wake() {
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// dismiss tells the workers that nothing more comes.
func (p *Player) dismiss() {
	p.end.Do(func() { close(p.over) })
	p.mu.Lock()
	defer p.mu.Unlock()
	for w := range p.members {
		w.Drain("the tape has ended")
	}
}
