package http

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	nethttp "net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// ServeHTTP takes one request, and answers it when its fate is known. Nothing of the body is looked at before its sender has
// proved who it is.
func (h *hooks) ServeHTTP(w nethttp.ResponseWriter, q *nethttp.Request) {
	h.requests.Inc()
	t, s, p := h.admit(q)
	if p != nil {
		h.tell(w, p)
		return
	}
	room := &share{of: h.held}
	p = h.take(w, q, t, s, room)
	if p != nil {
		h.tell(w, p)
	}
}

// admit judges a request by its head.
func (h *hooks) admit(q *nethttp.Request) (*topic, *source, *problem) {
	if p := h.settings.checkToken(q.Header); p != nil {
		return nil, nil, p
	}
	name, err := url.PathUnescape(strings.TrimPrefix(q.URL.EscapedPath(), "/"))
	t, s := h.reader(name)
	switch {
	case err != nil || t == nil:
		return nil, nil, problemPath
	case q.Method != nethttp.MethodPost:
		return nil, nil, problemMethod
	case s == nil:
		return nil, nil, problemUnread
	case q.ContentLength > int64(h.settings.maxBody):
		return nil, nil, problemTooLong.about(fmt.Sprintf("more than %d bytes", h.settings.maxBody))
	}
	return t, s, nil
}

// take reads a request, hands its events over and waits. Room is given back when nobody holds the events any more, which may be later
// than the answer.
func (h *hooks) take(w nethttp.ResponseWriter, q *nethttp.Request, t *topic, s *source, room *share) *problem {
	r, p := h.receive(w, q, room)
	if p != nil {
		room.release()
		return p
	}
	if len(r.events) == 0 {
		room.release()
		h.accept(w, r, false)
		return nil
	}
	first, p := t.answers.enter(r)
	if p != nil {
		room.release()
		return p
	}
	if first != r { // the same request is at work, or was
		room.release()
		h.repeats.Inc()
		return h.await(w, q, s, first, true)
	}
	if p := s.offer(r); p != nil {
		t.answers.drop(r)
		r.end(p)
		room.release()
		return p
	}
	h.events.Add(float64(len(r.events)))
	return h.await(w, q, s, r, false)
}

// await answers when the fate of all events is stored, when nobody will see to them, or when it has taken too long.
func (h *hooks) await(w nethttp.ResponseWriter, q *nethttp.Request, s *source, r *request, again bool) *problem {
	late := time.NewTimer(h.settings.timeout)
	defer late.Stop()
	select {
	case <-r.done:
	case <-q.Context().Done(): // the sender has gone, and will send it again
		if !again {
			s.withdraw(r)
		}
		return nil
	case <-late.C:
		if !again {
			s.withdraw(r)
		}
		return problemUnsettled.about(fmt.Sprintf("not within %s", h.settings.timeout))
	}
	if r.fate != nil {
		return r.fate
	}
	h.accept(w, r, again)
	return nil
}

func (h *hooks) accept(w nethttp.ResponseWriter, r *request, again bool) {
	type accepted struct {
		Events   int  `json:"events"`
		Repeated bool `json:"repeated,omitempty"`
	}
	answer(w, nethttp.StatusOK, "application/json", accepted{len(r.events), again})
}

// receive reads the body and makes a request of it.
func (h *hooks) receive(w nethttp.ResponseWriter, q *nethttp.Request, room *share) (*request, *problem) {
	kind, known := kindOf(q.Header.Get("Content-Type"))
	if !known {
		return nil, problemType
	}
	r := &request{room: room, done: make(chan struct{})}
	if p := h.identify(r, q.Header); p != nil {
		return nil, p
	}
	body, p := h.body(w, q, room)
	if p != nil {
		return nil, p
	}
	r.sum = sha256.Sum256(body)
	if r.events, p = parse(body, kind, bounds{h.settings.maxEvents, h.settings.maxEvent}); p != nil {
		return nil, p
	}
	room.keep(cap(body))
	if !room.grow(len(r.events), 0) {
		return nil, problemFull
	}
	return r, nil
}

// identify reads what the head says of the events: an id, a key, and headers that they keep.
func (h *hooks) identify(r *request, head nethttp.Header) *problem {
	ids := head.Values(h.settings.idHeader)
	if len(ids) > 1 || len(ids) == 1 && !visible(ids[0]) {
		return problemID
	}
	if len(ids) == 1 {
		r.id = ids[0]
	}
	if keys := head.Values(h.settings.keyHeader); len(keys) > 0 {
		key, err := url.PathUnescape(keys[0])
		if err != nil || len(keys) > 1 {
			return problemKey
		}
		r.key = []byte(key)
	}
	for _, name := range h.settings.keep {
		for _, value := range head.Values(name) {
			r.headers = append(r.headers, messaging.Header{Name: strings.ToLower(name), Value: []byte(value)})
		}
	}
	return nil
}

func visible(id string) bool {
	for i := range len(id) {
		if id[i] < ' ' || id[i] > '~' {
			return false
		}
	}
	return len(id) > 0 && len(id) <= 255
}

// body reads what was sent, checks its signature, and unpacks it.
func (h *hooks) body(w nethttp.ResponseWriter, q *nethttp.Request, room *share) ([]byte, *problem) {
	zipped := false
	switch encoding := q.Header.Get("Content-Encoding"); {
	case strings.EqualFold(encoding, "gzip"):
		zipped = true
	case encoding != "" && !strings.EqualFold(encoding, "identity"):
		return nil, problemEncoding
	}
	control := nethttp.NewResponseController(w)
	control.SetReadDeadline(time.Now().Add(h.settings.bodyTimeout))
	body, err := fetch(q.Body, q.ContentLength, h.settings.maxBody, room)
	if err != nil {
		return nil, h.unread(err)
	}
	control.SetReadDeadline(time.Time{}) // or else the wait for the fate would end by it
	if p := h.settings.checkSignature(q.Header, body); p != nil {
		return nil, p
	}
	if !zipped {
		return body, nil
	}
	whole, err := unzip(body, h.settings.maxBody, room)
	switch {
	case errors.Is(err, errFull) || errors.Is(err, errTooLong):
		return nil, h.unread(err)
	case err != nil:
		return nil, problemZip
	}
	return whole, nil
}

func (h *hooks) unread(err error) *problem {
	switch {
	case errors.Is(err, errFull):
		return problemFull
	case errors.Is(err, errTooLong):
		return problemTooLong.about(fmt.Sprintf("more than %d bytes", h.settings.maxBody))
	case errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded):
		return problemSlow
	case errors.Is(err, io.ErrUnexpectedEOF):
		return problemCut
	}
	return problemCut
}
