package front

import (
	"net/http"
	"strings"
	"time"
)

// predict answers POST /predict: one row, or a list of rows. It reads no field of them.
func (f *Front) predict(w http.ResponseWriter, r *http.Request, start time.Time) int {
	if r.Method != http.MethodPost {
		return f.notAllowed(w, http.MethodPost)
	}
	if p := f.hopeless(r, start); p != nil {
		return f.fail(w, p)
	}
	body, p := f.body(w, r)
	if p != nil {
		return f.fail(w, p)
	}
	q := f.queue.request()
	rows, list, err := scanRows(body, q.rows)
	if err != nil {
		f.queue.release(q)
		return f.fail(w, malformed(err))
	}
	q.body, q.rows = body, rows
	if list && len(rows) == 0 {
		f.queue.release(q)
		return f.answer(w, nil, true)
	}
	if p := f.score(r, q, start); p != nil {
		return f.fail(w, p)
	}
	defer f.queue.release(q)
	q.lane.tellVersion(w.Header(), q.answers[0].model)
	return f.answer(w, q.answers, list)
}

func (f *Front) answer(w http.ResponseWriter, answers []answer, list bool) int {
	b := takeBuffer()
	defer b.put()
	if !list {
		return b.send(w, b.row(&answers[0]))
	}
	b.rows(answers)
	return b.send(w, http.StatusOK)
}

// problemGone has no reader: the client hung up.
var problemGone = &problem{499, "client_gone", "the client has gone"}

// score has the rows of a request scored and returns when they have their fates. After a problem the request is not the
// caller's any more; otherwise the caller releases it.
func (f *Front) score(r *http.Request, q *request, start time.Time) *problem {
	var p *problem
	if q.deadline, p = f.deadline(r.Header, start); p != nil {
		f.queue.release(q)
		return p
	}
	q.headers = rowHeaders(r)
	lane, p := f.admit(r, q)
	if p != nil {
		f.numbers.refused(p)
		f.queue.release(q)
		return p
	}
	select {
	case <-q.done:
	case <-r.Context().Done():
		if lane.queue.abandon(q) {
			return problemGone
		}
		<-q.done // it ended in the same moment
	}
	if q.cut != nil {
		return q.cut
	}
	for i := range q.answers {
		f.numbers.row(&q.answers[i])
	}
	if f.log.takes() {
		f.log.note(strings.Join(r.Header["X-Request-Id"], ""), q, start)
	}
	return nil
}

func (f *Front) refused(why refusal) *problem {
	switch why {
	case full:
		return problemFull
	case late:
		return problemLate
	case tooMany:
		return tooManyRows(f.cfg.Rows, f.cfg.Bytes)
	}
	return problemEnding
}

func (f *Front) notAllowed(w http.ResponseWriter, allowed string) int {
	w.Header()["Allow"] = []string{allowed}
	return f.fail(w, &problem{http.StatusMethodNotAllowed, "method", "only " + allowed + " here"})
}
