package front

import (
	"encoding/json"
	"net/http"
	"strconv"
	"sync"
)

// maxKept bounds what a pooled buffer may hold on to.
const maxKept = 64 << 10

var (
	jsonType   = []string{"application/json"}
	closeValue = []string{"close"}
	buffers    = sync.Pool{New: func() any { return &buffer{} }}
)

// A buffer builds the JSON of an answer.
type buffer struct{ data []byte }

func takeBuffer() *buffer { return buffers.Get().(*buffer) }

func (b *buffer) put() {
	if cap(b.data) <= maxKept {
		b.data = b.data[:0]
		buffers.Put(b)
	}
}

func (b *buffer) raw(text string) { b.data = append(b.data, text...) }

func (b *buffer) text(s string) {
	quoted, _ := json.Marshal(s) // a string always can be
	b.data = append(b.data, quoted...)
}

// failure is {"error": ..., "code": ...}.
func (b *buffer) failure(reason, code string) {
	b.raw(`{"error":`)
	b.text(reason)
	b.raw(`,"code":`)
	b.text(code)
	b.raw(`}`)
}

// send writes the answer and returns its status.
func (b *buffer) send(w http.ResponseWriter, status int) int {
	b.raw("\n")
	h := w.Header()
	h["Content-Type"] = jsonType
	h["Content-Length"] = []string{strconv.Itoa(len(b.data))}
	w.WriteHeader(status)
	_, _ = w.Write(b.data) // a client that has gone is not our concern
	return status
}

// row writes the answer to a single row and returns its status.
func (b *buffer) row(a *answer) int {
	switch a.fate {
	case scored:
		b.outputs(a.outputs)
		return http.StatusOK
	case rejected:
		b.rejection(a)
		return http.StatusOK
	}
	b.rowFailure(a)
	return statusOf(a.code)
}

// rows writes the answers to a list by position: a prediction or null, and null or what went wrong.
func (b *buffer) rows(answers []answer) {
	b.raw(`{"predictions":[`)
	for i := range answers {
		b.comma(i)
		if answers[i].fate == scored {
			b.outputs(answers[i].outputs)
		} else {
			b.raw("null")
		}
	}
	b.raw(`],"errors":[`)
	for i := range answers {
		b.comma(i)
		switch answers[i].fate {
		case scored:
			b.raw("null")
		case rejected:
			b.rejection(&answers[i])
		default:
			b.rowFailure(&answers[i])
		}
	}
	b.raw(`]}`)
}

func (b *buffer) comma(i int) {
	if i > 0 {
		b.data = append(b.data, ',')
	}
}

// outputs writes the one output of a row, or the list of them where there is not one.
func (b *buffer) outputs(outputs [][]byte) {
	if len(outputs) == 1 {
		b.data = append(b.data, outputs[0]...)
		return
	}
	b.raw("[")
	for i, output := range outputs {
		b.comma(i)
		b.data = append(b.data, output...)
	}
	b.raw("]")
}

func (b *buffer) rejection(a *answer) {
	b.raw(`{"rejected":`)
	b.text(a.reason)
	if a.code != "" && a.code != "rejected" {
		b.raw(`,"code":`)
		b.text(a.code)
	}
	b.raw(`}`)
}

// rowFailure writes what is wrong with an event's fields as {"errors": [...]}, any other failure as {"error", "code"}.
func (b *buffer) rowFailure(a *answer) {
	if a.code == "invalid_event" && json.Valid(a.detail) && a.detail[0] == '[' {
		b.raw(`{"errors":`)
		b.data = append(b.data, a.detail...)
		b.raw(`}`)
		return
	}
	b.failure(reasonOf(a), a.code)
}
