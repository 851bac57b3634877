package http

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	nethttp "net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A refusal is an endpoint's word that a request will never be taken.
type refusal struct {
	status int
	text   string
}

func (r *refusal) Error() string {
	return fmt.Sprintf("the endpoint answered %d: %s", r.status, r.text)
}

// A delay is any other failure: what is tried again may pass. After is what the endpoint asks for, 0 for nothing.
type delay struct {
	after time.Duration
	err   error
}

func (d *delay) Error() string { return d.err.Error() }
func (d *delay) Unwrap() error { return d.err }

// try sends one request and judges the answer: nil for stored, a refusal, a delay, or the context's end.
func (e *endpoint) try(ctx context.Context, q *nethttp.Request) error {
	e.sent.Inc()
	answer, err := e.client.Do(q)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return &delay{err: withoutAddress(err)}
	}
	defer drain(answer.Body)
	return e.judge(answer)
}

// withoutAddress takes the URL out of a client's error, which may hold secrets in its query.
func withoutAddress(err error) error {
	var of *url.Error
	if errors.As(err, &of) {
		return of.Err
	}
	return err
}

func (e *endpoint) judge(answer *nethttp.Response) error {
	status := answer.StatusCode
	switch {
	case status >= 200 && status < 300:
		return nil
	case status >= 300 && status < 400:
		return &refusal{status, "it redirects to " + elsewhere(answer) + ", which is not followed. Set that address in the connection's url"}
	case status >= 500 || slices.Contains(e.settings.retried, status):
		return &delay{after: retryAfter(answer.Header.Get("Retry-After"), time.Now()), err: &refusal{status, excerpt(answer.Body)}}
	}
	return &refusal{status, excerpt(answer.Body)}
}

func elsewhere(answer *nethttp.Response) string {
	to, err := answer.Location()
	if err != nil {
		return "nowhere"
	}
	return fmt.Sprintf("%s://%s%s", to.Scheme, to.Host, to.Path)
}

// excerpt is the beginning of an answer's body, on one line.
func excerpt(body io.Reader) string {
	text, _ := io.ReadAll(io.LimitReader(body, 300))
	return strings.Join(strings.Fields(strings.ToValidUTF8(string(text), "?")), " ")
}

// retryAfter reads seconds or a date; 0 for neither.
func retryAfter(text string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseInt(text, 10, 32); err == nil && seconds > 0 {
		return time.Duration(seconds) * time.Second
	}
	if at, err := nethttp.ParseTime(text); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

// quiet notes that the endpoint asked for silence; all of the connection's requests keep to it.
func (e *endpoint) quiet(after time.Duration) {
	after = min(after, e.settings.longest)
	e.mu.Lock()
	defer e.mu.Unlock()
	if until := time.Now().Add(after); until.After(e.until) {
		e.until = until
	}
}

// wait is the pause before a try: a back-off with jitter, and never shorter than what the endpoint asked for.
func (e *endpoint) wait(ctx context.Context, failures int) error {
	var pause time.Duration
	if failures > 0 {
		most := min(e.settings.last, e.settings.first<<min(failures-1, 20))
		pause = most/2 + rand.N(most/2+1)
	}
	e.mu.Lock()
	asked := time.Until(e.until)
	e.mu.Unlock()
	if asked > pause {
		pause = asked + rand.N(asked/10+1)
	}
	if pause <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
