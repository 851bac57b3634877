package front

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"
)

// patience is how slowly a body may come: its first bytes soon after the header, and then at a rate, which is asked for after a while.
type patience struct {
	grace, most time.Duration
	rate        int // bytes a second
}

var patient = patience{grace: 5 * time.Second, most: bodyTimeout, rate: 1 << 10}

const (
	trustedBody = 64 << 10
	freeBody    = 4 << 10 // of each body, not counted: connections are
	lazily      = 250 * time.Millisecond
)

// body reads a request's body within the limits of size, rate, time and memory. Memory follows the bytes that arrive, not the length
// that is announced.
func (f *Front) body(w http.ResponseWriter, r *http.Request) ([]byte, *problem) {
	limit := f.cfg.MaxBody
	if r.ContentLength > int64(limit) {
		return nil, bodyTooLarge(limit)
	}
	// One byte more than announced, so that the read that sees the end needs no growth.
	b := arrival{front: f, data: make([]byte, 0, min(max(r.ContentLength, 511), trustedBody)+1)}
	defer b.end()
	if p := b.pays(); p != nil {
		return nil, p
	}
	for {
		done, err := b.read(r.Body, limit)
		switch {
		case len(b.data) > limit:
			return nil, bodyTooLarge(limit)
		case done:
			b.complete(w)
			return b.data, nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, problemBody
		case err != nil:
			return nil, cutOff(err)
		}
		if p := b.more(w, r); p != nil {
			return nil, p
		}
	}
}

// An arrival is a body on its way.
type arrival struct {
	front *Front
	data  []byte
	paid  int // bytes taken from the budget

	begun, last, until time.Time // of the second read on; last is the end of all patience, until what the connection was told
}

func (b *arrival) read(body io.Reader, limit int) (done bool, err error) {
	n, err := body.Read(b.data[len(b.data):min(cap(b.data), limit+1)])
	b.data = b.data[:len(b.data)+n]
	return errors.Is(err, io.EOF), err
}

// more makes room for further bytes and says until when they are waited for.
func (b *arrival) more(w http.ResponseWriter, r *http.Request) *problem {
	if len(b.data) == cap(b.data) {
		b.data = append(b.data, 0)[:len(b.data)]
		if p := b.pays(); p != nil {
			return p
		}
	}
	if b.begun.IsZero() {
		b.begun = time.Now()
		at, p := b.front.deadline(r.Header, b.begun)
		if p != nil {
			return p
		}
		b.last = b.begun.Add(b.front.slow.most)
		if at.Before(b.last) {
			b.last = at
		}
	}
	until := b.begun.Add(b.front.slow.grace + time.Duration(len(b.data))*time.Second/time.Duration(b.front.slow.rate))
	if until.After(b.last) {
		until = b.last
	}
	if until.Sub(b.until) > lazily || until.Equal(b.last) && !b.until.Equal(b.last) {
		b.until = until
		_ = http.NewResponseController(w).SetReadDeadline(until) // one that knows none has the server's own
	}
	return nil
}

// pays takes what the body's memory has grown by from the budget.
func (b *arrival) pays() *problem {
	grown := cap(b.data) - freeBody - b.paid
	if grown <= 0 {
		return nil
	}
	if !b.front.budget.arrive(grown) {
		return problemFull
	}
	b.paid += grown
	return nil
}

// end gives back what the body took: from now on its queue counts it.
func (b *arrival) end() {
	if b.paid > 0 {
		b.front.budget.arrived(b.paid)
	}
}

// complete tells the connection that nobody waits for bytes of it any more. When the deadline for them passed while the row is being
// scored, net/http would take the client for gone. Of a body that was refused the deadline stays: what is left of it is read and dropped.
func (b *arrival) complete(w http.ResponseWriter) {
	if !b.begun.IsZero() || b.front.cfg.RequestTimeout >= readTimeout-headerTimeout {
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	}
}
