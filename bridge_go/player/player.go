// Package player runs a tape again: the recorded batches go to one worker over the real wire, one after the other, with the events that each
// had; what the model asks is answered from the tape; what it answers goes to a ledger.
//
//	player.go   the loop, batch by batch
//	plan.go     which batches of a tape are worth it
//	pool.go     what the server tells of workers
//	turn.go     one batch with one worker
//	calls.go    recorded answers
//
// A player stands in the place of a dispatch.Route. It has no queue, no lanes and no second try: what was decided when the tape was recorded
// is not decided again. A batch is the worker's until it is answered, or given back, or its worker dies, and each is an answer.
package player

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/tape"
)

// Config says what is played.
type Config struct {
	Program, Command, Stream string
	Nonce                    uint64
	Deadline, HeartbeatEach  time.Duration
	// Open opens the tape, which is read twice.
	Open   func() (io.ReadCloser, error)
	Outlet dispatch.Outlet // of the answers: a ledger
	Only   []string        // events whose answers are wanted; their batches are played whole
	Speed  float64         // 1: as it was recorded, 10: ten times as fast; 0: as fast as it goes
	Log    *slog.Logger
}

// A Report is what a replay found out besides the answers.
type Report struct {
	Batches    int      `json:"batches"`
	Unanswered int      `json:"unanswered"` // recorded batches that were not played: their answers came later, or never
	Gap        tape.Gap `json:"gap"`        // what the recording had dropped
	Torn       string   `json:"torn,omitempty"`
	Ended      bool     `json:"ended"`      // the recording was ended in order
	Unrecorded int      `json:"unrecorded"` // calls that the tape has no answer to
	Unkept     int      `json:"unkept"`     // of these, calls whose answers the recording did not keep
	Unasked    int      `json:"unasked"`    // recorded calls that were not made again
	Calls      []Asked  `json:"calls"`      // the first of the unrecorded

	Environment json.RawMessage `json:"environment,omitempty"` // under which the worker scored, as it said in its HELLO
}

// Asked is a call that the tape has no answer to.
type Asked struct {
	Event    string `json:"event"` // the first of its batch
	Method   string `json:"method"`
	Asked    string `json:"asked"`    // its arguments, as JSON
	Recorded string `json:"recorded"` // those of the nearest recorded call of the method, or ""
}

// A Player implements dispatch.Pool for one command. Its methods are safe from any goroutine.
type Player struct {
	c     Config
	log   *slog.Logger
	plan  *plan
	began time.Time // when the first batch was sent
	first int64     // when it was in the recording
	ended chan struct{}
	over  chan struct{} // closed when it is asked to end
	end   sync.Once

	mu          sync.Mutex
	members     map[dispatch.Worker]*member
	supervisors map[dispatch.Supervisor]struct{}
	changed     chan struct{} // a worker has become ready; holds one
	turn        *turn         // the batch at work
	count       counts
	report      Report
}

type counts struct{ in, scored, rejected, dead uint64 }

// New reads the tape once. An error says what is wrong with it.
func New(c Config) (*Player, error) {
	p := &Player{
		c: c, log: c.Log, ended: make(chan struct{}), over: make(chan struct{}), changed: make(chan struct{}, 1),
		members: map[dispatch.Worker]*member{}, supervisors: map[dispatch.Supervisor]struct{}{},
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	file, err := c.Open()
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if p.plan, err = scan(file, c.Only); err != nil {
		return nil, err
	}
	p.report = p.plan.report
	return p, nil
}

// Run plays all batches and says goodbye to the workers. It is called once.
func (p *Player) Run(ctx context.Context) error {
	defer close(p.ended)
	err := p.play(ctx)
	p.dismiss()
	return errors.Join(err, p.c.Outlet.Close(context.WithoutCancel(ctx)))
}

func (p *Player) play(ctx context.Context) error {
	file, err := p.c.Open()
	if err != nil {
		return err
	}
	defer file.Close()
	frames, err := tape.NewReader(file)
	if err != nil {
		return err
	}
	for index := 0; index < p.plan.seen; {
		f, err := frames.Next()
		if err != nil {
			return fmt.Errorf("the tape has changed while it was read: %w", err)
		}
		b, ok := f.(*tape.Batch)
		if !ok {
			continue
		}
		if p.plan.plays(index, b) {
			if err := p.batch(ctx, index, b); err != nil {
				return err
			}
		}
		index++
	}
	return nil
}

// errOver ends a replay that was asked to end.
var errOver = errors.New("the replay was ended before the end of the tape")

// batch plays one batch and writes what became of it.
func (p *Player) batch(ctx context.Context, index int, b *tape.Batch) error {
	if err := p.waitFor(ctx, p.due(b)); err != nil {
		return err
	}
	w, err := p.readyWorker(ctx, b)
	if err != nil {
		return err
	}
	t := p.begin(index, b, w)
	if err := p.finish(ctx, t); err != nil {
		return err
	}
	fates := p.fates(t)
	p.tally(t, fates)
	_, err = p.c.Outlet.Settle(ctx, fates)
	return err
}

// due is when a batch is sent: as far behind the first as when it was recorded, by the speed.
func (p *Player) due(b *tape.Batch) time.Time {
	if p.c.Speed <= 0 {
		return time.Time{}
	}
	if p.began.IsZero() {
		return p.began
	}
	return p.began.Add(time.Duration(float64(b.Sent-p.first) / p.c.Speed))
}

func (p *Player) waitFor(ctx context.Context, due time.Time) error {
	wait := time.Until(due)
	if due.IsZero() || wait <= 0 {
		return p.alive(ctx)
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-p.over:
		return errOver
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *Player) alive(ctx context.Context) error {
	select {
	case <-p.over:
		return errOver
	default:
		return ctx.Err()
	}
}

// Drain ends the replay before its time; it returns when Run has ended.
func (p *Player) Drain(ctx context.Context) error {
	p.end.Do(func() { close(p.over) })
	select {
	case <-p.ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Report is what was found out so far.
func (p *Player) Report() Report {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.report
}

// Status is that of a route.
func (p *Player) Status() dispatch.Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := dispatch.Status{
		Program: p.c.Program, Command: p.c.Command, Stream: p.c.Stream, State: "running", Ready: true, Lag: -1,
		In: p.count.in, Scored: p.count.scored, Rejected: p.count.rejected, Dead: p.count.dead,
		Workers: []dispatch.WorkerStatus{}, Models: []string{},
	}
	for w := range p.members {
		s.Models = append(s.Models, w.Hello().Model)
	}
	return s
}
