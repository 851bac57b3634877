package front

import (
	"net/http"
	"strings"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
)

// A state is what the front last saw of its route. Requests look at it instead of asking the route each time.
type state struct {
	cause  string    // why requests cannot be answered, or nothing
	refuse string    // why they are refused at once, or nothing: a worker that has just died is waited for
	model  string    // the versions that answer
	until  time.Time // when an open breaker closes
	served bool      // requests could be answered once: until then it is not ready since it has only begun
}

// look asks the routes of all lanes, and tells of a change once.
func (f *Front) look() {
	f.lanes((*Lane).look)
	f.publish()
}

func (l *Lane) look() {
	status := l.watched.Load()
	if status == nil {
		return
	}
	now := (*status)()
	is := &state{cause: now.Why, model: strings.Join(now.Models, ",")}
	if !now.Ready && is.cause == "" {
		is.cause = "the route is " + now.State
	}
	l.judge(is, &now, time.Now())
	l.queue.lend(max(1, l.abreast) * now.Places())
	l.seen.Store(is)
	if is.until != (time.Time{}) {
		l.queue.refuse(notReady(is.refuse)) // those that were let in before
	}
}

// restart is how long requests are taken in while no worker is left of those that there were: a new one is on its way, and they have
// their deadlines. A load balancer is told at once.
const restart = 5 * time.Second

// judge says what of a state is reason enough to refuse requests.
func (l *Lane) judge(is *state, now *dispatch.Status, at time.Time) {
	l.breaker.note(at, now.Charged, now.Barren)
	if until := l.breaker.until(); at.Before(until) {
		is.until = until
		is.cause = "the breaker is open: more than three workers died within a minute"
	}
	if is.cause == "" {
		l.ready = at
	}
	if now.State != "waiting" || is.until != (time.Time{}) || at.Sub(l.ready) > restart {
		is.refuse = is.cause
	}
}

func (f *Front) tellState(was, is *state) {
	switch {
	case was.cause == is.cause:
	case is.cause != "" && !was.served:
		f.cfg.Log.Info("not ready yet", "cause", is.cause)
	case is.cause != "":
		f.cfg.Log.Warn("not ready", "cause", is.cause)
	default:
		f.cfg.Log.Info("ready", "model", is.model)
	}
}

// cause is why no request should be sent here, or nothing. A full queue, a long batch and a silent worker are none.
func (f *Front) cause() string {
	if f.ending() {
		return "draining"
	}
	return f.seen.Load().cause
}

// readyz says whether to send requests here. /livez never asks Python for anything; this asks whether it is there.
func (f *Front) readyz(w http.ResponseWriter) int {
	if cause := f.serverCause(); cause != "" {
		return f.fail(w, notReady(cause))
	}
	return f.show(w, http.StatusOK, "application/json", []byte("{\"ready\":true}\n"))
}
