package front

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
)

// An unread body fails whoever reads it.
type unread struct{}

var errRead = errors.New("the body was read")

func (u unread) Read([]byte) (int, error) { return 0, errRead }

// bodiless is the status of a request whose body fails when it is read.
func bodiless(f *Front) int {
	w := httptest.NewRecorder()
	f.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/predict", io.NopCloser(unread{})))
	return w.Code
}

func TestWhileTooMuchWaitsARequestIsRefusedBeforeItsBodyIsRead(t *testing.T) {
	f, err := New(Config{Program: "flights", Command: "serve-api"})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	pace := dispatch.Pace{Batch: time.Second, Batches: 1000}
	f.queue.follow(func() dispatch.Pace { return pace }, nil)
	f.queue.batch = 1
	for range 100 {
		f.queue.admit(requestOf(1, time.Hour))
	}
	if got := f.queue.admit(requestOf(1, time.Second)); got != late {
		t.Fatal(got)
	}
	if status := bodiless(f); status != http.StatusTooManyRequests {
		t.Errorf("%d", status)
	}
	if shed := f.numbers.shed[1].Load(); shed != 1 {
		t.Errorf("%d are counted", shed)
	}
	pace.Batch = time.Millisecond
	if status := bodiless(f); status != http.StatusBadRequest {
		t.Errorf("when there is room again the body counts: %d", status)
	}
}

func TestAFullQueueIsKnownBeforeTheBody(t *testing.T) {
	q := newQueue(2, 1<<20, 1)
	for range 2 {
		if got := q.admit(requestOf(1, time.Hour)); got != admitted {
			t.Fatal(got)
		}
	}
	if q.refusing.Load() {
		t.Error("nothing was refused yet")
	}
	if got := q.admit(requestOf(1, time.Hour)); got != full || !q.refusing.Load() || q.wouldRefuse(time.Hour) != full {
		t.Errorf("%v", got)
	}
	q.cutOff(q.all.after, problemTimeout)
	if got := q.admit(requestOf(1, time.Hour)); got != admitted || q.refusing.Load() {
		t.Errorf("%v: whoever is taken in ends it", got)
	}
}
