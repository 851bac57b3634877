package dispatchtest

import (
	"context"
	"sync"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
)

// Premature is the bug of committing before the result is stored: fates are durable, it says, and are written a moment
// later, or never when the process is killed before.
func Premature(to dispatch.Outlet, moment time.Duration) (o dispatch.Outlet, kill func()) {
	p := &premature{Outlet: to, moment: moment, killed: make(chan struct{})}
	return p, sync.OnceFunc(func() { close(p.killed) })
}

type premature struct {
	dispatch.Outlet
	moment  time.Duration
	killed  chan struct{}
	writing sync.WaitGroup
}

func (p *premature) Settle(ctx context.Context, fates []dispatch.Fate) ([]dispatch.Refusal, error) {
	late := append([]dispatch.Fate(nil), fates...)
	p.writing.Add(1)
	go func() {
		defer p.writing.Done()
		select {
		case <-time.After(p.moment):
			p.Outlet.Settle(context.WithoutCancel(ctx), late)
		case <-p.killed:
		}
	}()
	return nil, nil
}

func (p *premature) Close(ctx context.Context) error {
	p.writing.Wait()
	return p.Outlet.Close(ctx)
}

// Tampering is an outlet before which somebody changes the fates, as a bug would.
func Tampering(to dispatch.Outlet, with func([]dispatch.Fate) []dispatch.Fate) dispatch.Outlet {
	return &tampering{to, with}
}

type tampering struct {
	dispatch.Outlet
	with func([]dispatch.Fate) []dispatch.Fate
}

func (t *tampering) Settle(ctx context.Context, fates []dispatch.Fate) ([]dispatch.Refusal, error) {
	t.Outlet.Settle(ctx, t.with(append([]dispatch.Fate(nil), fates...)))
	return nil, nil
}

// Twice applies every result twice.
func Twice(fates []dispatch.Fate) []dispatch.Fate { return append(fates, fates...) }

// Half stores half of what it acknowledges.
func Half(fates []dispatch.Fate) []dispatch.Fate { return fates[:len(fates)/2] }

// Shifted gives each event the outputs of the next one.
func Shifted(fates []dispatch.Fate) []dispatch.Fate {
	first := fates[0].Outputs
	for i := range fates[:len(fates)-1] {
		fates[i].Outputs = fates[i+1].Outputs
	}
	fates[len(fates)-1].Outputs = first
	return fates
}
