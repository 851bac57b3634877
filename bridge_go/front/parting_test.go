package front

import (
	"context"
	"testing"
	"time"
)

func TestWorkersThatAreToLeaveServeOnUntilLoadBalancersHaveNoticed(t *testing.T) {
	r := newRig(t, Config{DrainDelay: time.Hour}).ready()
	ctx, endDelay := context.WithCancel(t.Context())
	defer endDelay()
	parted := make(chan struct{})
	go func() {
		r.front.PartWithWorkers(ctx)
		close(parted)
	}()
	r.until("it says so", r.front.ending)
	h := r.expect("POST", "/predict", `{"dep_delay":1}`, 200, `{"arr_delay":1,"late":false,"gate":null}`)
	if h.Get("Connection") != "close" {
		t.Errorf("connection %q", h.Get("Connection"))
	}
	if status, _, _ := r.ask("GET", "/readyz", ""); status != 503 {
		t.Errorf("/readyz %d", status)
	}
	endDelay()
	<-parted
	if status, _, text := r.ask("POST", "/predict", `{"dep_delay":1}`); status != 503 {
		t.Errorf("taken in when workers may go: %d %s", status, text)
	}
}

func TestWorkersThatAreToLeaveAnswerWhatWasTakenIn(t *testing.T) {
	r := newRig(t, Config{DrainDelay: -1}).ready()
	answered := make(chan int, 1)
	go func() {
		status, _, _ := r.ask("POST", "/predict", `{"ask":"hold","dep_delay":1}`)
		answered <- status
	}()
	r.until("a row waits", func() bool { rows, _ := r.front.first.queue.load(); return rows == 1 })
	parted := make(chan struct{})
	go func() {
		r.front.PartWithWorkers(t.Context())
		close(parted)
	}()
	r.until("it is shut", r.front.parting.shut)
	select {
	case <-parted:
		t.Error("workers may go, and a row is not answered")
	default:
	}
	close(r.worker.hold)
	<-parted
	if status := <-answered; status != 200 {
		t.Errorf("status %d", status)
	}
}

func TestAFrontServesAgainWhenWorkersComeAfterTheOthersHaveGone(t *testing.T) {
	r := newRig(t, Config{DrainDelay: -1}).ready()
	r.front.PartWithWorkers(t.Context())
	r.route.Leave(r.worker, nil)
	r.until("they have gone", func() bool { return r.front.parting.stage.Load() == workersGone })
	r.join(2)
	r.until("it is ready", func() bool { return r.front.cause() == "" })
	r.expect("POST", "/predict", `{"dep_delay":1}`, 200, `{"arr_delay":1,"late":false,"gate":null}`)
}

func TestWorkersThatAreToLeaveWhileTheFrontDrainsStayToItsEnd(t *testing.T) {
	r := newRig(t, Config{DrainDelay: time.Hour}).ready()
	ctx, endDelay := context.WithCancel(t.Context())
	defer endDelay()
	drained := make(chan error, 1)
	go func() { drained <- r.front.Drain(ctx) }()
	r.until("it drains", r.front.draining.Load)
	parted := make(chan struct{})
	go func() {
		r.front.PartWithWorkers(t.Context())
		close(parted)
	}()
	r.expect("POST", "/predict", `{"dep_delay":1}`, 200, `{"arr_delay":1,"late":false,"gate":null}`)
	select {
	case <-parted:
		t.Error("workers may go, and the front takes requests still")
	default:
	}
	endDelay()
	if err := <-drained; err != nil {
		t.Error(err)
	}
	<-parted
}
