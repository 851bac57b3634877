package load

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// waiting bounds the requests of an open loop that are due and that nobody has sent.
const waiting = 1 << 16

// stage asks for that long, and returns when what was sent is answered. A rate of 0 is a closed loop.
func (t *Target) stage(ctx context.Context, s Stage, rate float64, length time.Duration) *Report {
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	l := loop{target: t, over: ctx.Done()}
	cpu := processorTime()
	began := time.Now()
	var clients sync.WaitGroup
	if rate > 0 {
		l.counter = &counter{}
		clients.Go(func() { schedule(l.counter, rate, t.Seed, l.over) })
	}
	tallies := make([]tally, max(1, s.Connections))
	for i := range tallies {
		clients.Go(func() { l.ask(&tallies[i]) })
	}
	clients.Wait()
	length = time.Since(began)
	var unsent int64
	if l.counter != nil {
		own := tally{}
		own.late, unsent = l.counter.left()
		tallies = append(tallies, own)
	}
	r := report(tallies, length)
	r.Asked, r.Unsent, r.CPU = rate, unsent, processorTime()-cpu
	return r
}

// A loop is what the clients of one stage share.
type loop struct {
	target  *Target
	over    <-chan struct{}
	counter *counter // nil in a closed loop
	row     atomic.Uint64
}

func (l *loop) ask(t *tally) {
	c := l.target.client()
	defer c.close()
	own := make(chan ticket, 1)
	for {
		due, more := l.next(own)
		if !more {
			return
		}
		row := l.target.Rows[l.row.Add(1)%uint64(len(l.target.Rows))]
		sent := time.Now()
		if due.calm {
			t.late = append(t.late, sent.Sub(due.due))
		}
		if due.due.IsZero() {
			due.due = sent
		}
		status, err := c.ask(row)
		if err != nil {
			t.failed(err)
			l.pause()
			continue
		}
		t.answered(status, time.Since(due.due))
	}
}

// next waits for the next request that is due; in a closed loop one always is.
func (l *loop) next(own chan ticket) (ticket, bool) {
	select {
	case <-l.over:
		return ticket{}, false
	default:
	}
	if l.counter == nil {
		return ticket{}, true
	}
	if t, waited := l.counter.take(own); waited {
		return t, true
	}
	select {
	case <-l.over:
		return ticket{}, false
	case t := <-own:
		return t, true
	}
}

// pause keeps a client from trying again and again at once where nobody answers.
func (l *loop) pause() {
	timer := time.NewTimer(20 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-l.over:
	case <-timer.C:
	}
}
