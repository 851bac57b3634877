package dispatch_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/dispatch/dispatchtest"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// A slowLeaver is a source that takes its time to close, and says when it is asked to.
type slowLeaver struct {
	messaging.Source
	asked   chan struct{}
	release chan struct{}
}

func (s *slowLeaver) Read(context.Context, messaging.Limit) ([]messaging.Record, error) {
	return nil, errors.New("the broker is gone")
}

func (s *slowLeaver) Close(ctx context.Context) error {
	close(s.asked)
	<-s.release
	return s.Source.Close(ctx)
}

func TestADrainWhileTheSourceIsBeingLeftWaitsForItAndClosesItOnce(t *testing.T) {
	log := dispatchtest.NewLog(0, 1, 0, false)
	slow := &slowLeaver{asked: make(chan struct{}), release: make(chan struct{})}
	r := start(t, log, func(c *dispatch.Config) {
		c.Open = func(ctx context.Context, describe []byte) (messaging.Source, error) {
			var err error
			slow.Source, err = log.Open(ctx, describe)
			return slow, err
		}
	})
	dispatchtest.Hire(r, "w", 1, dispatchtest.Echo)
	<-slow.asked
	drained := make(chan error, 1)
	go func() { drained <- r.Drain(context.Background()) }()
	r.until("it drains", func() bool { s := r.Status().State; return s == "draining" || s == "ended" || s == "starting" })
	time.AfterFunc(50*time.Millisecond, func() { close(slow.release) })
	if err := <-drained; err != nil {
		t.Fatal(err)
	}
	if _, closed := log.Opened(); closed != 1 {
		t.Fatalf("the source was closed %d times", closed)
	}
}

// A dud opens and cannot be read.
type dud struct{ messaging.Source }

func (dud) Read(context.Context, messaging.Limit) ([]messaging.Record, error) {
	return nil, errors.New("records are gone")
}

func TestASourceThatOpensButCannotBeReadIsTriedAgainMoreAndMoreSeldom(t *testing.T) {
	log := dispatchtest.NewLog(0, 1, 0, false)
	opened := make(chan time.Time, 100)
	r := start(t, log, func(c *dispatch.Config) {
		c.Open = func(ctx context.Context, describe []byte) (messaging.Source, error) {
			opened <- time.Now()
			src, err := log.Open(ctx, describe)
			return dud{src}, err
		}
	})
	dispatchtest.Hire(r, "w", 1, dispatchtest.Echo)
	<-opened
	second, _, fourth := <-opened, <-opened, <-opened
	if took := fourth.Sub(second); took < time.Second { // 0.4 s and 0.8 s
		t.Fatalf("tried four times within %s", took)
	}
	r.until("it says so", func() bool { s := r.Status(); return !s.Ready && s.Why == "the source cannot be read" })
}
