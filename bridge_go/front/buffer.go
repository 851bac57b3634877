package front

import (
	"encoding/json"
	"net/http"
	"strconv"
	"sync"

	"ds-runner.dev/ds-runner/bridge_go/plainjson"
)

// maxKept bounds what a pooled buffer may hold on to.
const maxKept = 64 << 10

var (
	jsonType    = []string{"application/json"}
	problemType = []string{"application/problem+json"}
	closeValue  = []string{"close"}
	bearerValue = []string{"Bearer"}
	buffers     = sync.Pool{New: func() any { return &buffer{} }}
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

func (b *buffer) text(s string) { b.data = plainjson.AppendString(b.data, s) }

// problem is a problem as the whole of an answer.
func (b *buffer) problem(p *problem) {
	b.raw(`{"error":`)
	b.text(p.text)
	b.standard(p.status, p.code, p.text)
}

// standard ends a whole answer with the members that every problem has.
func (b *buffer) standard(status int, code, reason string) {
	b.raw(`,"code":`)
	b.text(code)
	b.raw(`,"status":`)
	b.data = strconv.AppendInt(b.data, int64(status), 10)
	b.raw(`,"title":`)
	b.text(http.StatusText(status))
	b.raw(`,"detail":`)
	b.text(reason)
	b.raw(`}`)
}

// send writes the answer, compressed where that was asked for and pays, and returns its status.
func (b *buffer) send(w http.ResponseWriter, status int) int {
	b.raw("\n")
	h := w.Header()
	h["Content-Type"] = jsonType
	if status >= http.StatusBadRequest {
		h["Content-Type"] = problemType
	}
	return write(w, status, b.data)
}

// write is the end of every answer. A client that has gone is not our concern.
func write(w http.ResponseWriter, status int, data []byte) int {
	if z, can := w.(compressing); can && len(data) >= compressedFrom {
		return z.write(status, data)
	}
	w.Header()["Content-Length"] = []string{strconv.Itoa(len(data))}
	w.WriteHeader(status)
	_, _ = w.Write(data)
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
	return b.rowProblem(a)
}

// rowProblem is the failure of a single row as a problem.
func (b *buffer) rowProblem(a *answer) int {
	status := statusOf(a.code)
	if fields := a.fields(); fields != nil {
		b.raw(`{"errors":`)
		b.data = append(b.data, fields...)
		b.standard(status, a.code, reasonOf(a))
		return status
	}
	b.problem(&problem{status, a.code, reasonOf(a)})
	return status
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

// rowFailure writes what failed in a list: wrong fields as {"errors": [...]}, anything else as {"error", "code"}.
func (b *buffer) rowFailure(a *answer) {
	if fields := a.fields(); fields != nil {
		b.raw(`{"errors":`)
		b.data = append(b.data, fields...)
		b.raw(`}`)
		return
	}
	b.raw(`{"error":`)
	b.text(reasonOf(a))
	b.raw(`,"code":`)
	b.text(a.code)
	b.raw(`}`)
}

// fields is the list of what is wrong with an event's fields, nil for any other failure.
func (a *answer) fields() []byte {
	if a.code == "invalid_event" && json.Valid(a.detail) && a.detail[0] == '[' {
		return a.detail
	}
	return nil
}
