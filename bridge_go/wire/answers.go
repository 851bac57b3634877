package wire

import "github.com/tinylib/msgp/msgp"

// Answers is a result whose outputs are columns, by the plan of the worker that sends it. Counts is nil when each event without an error has
// one row.
type Answers struct {
	Lease
	First, Count uint64
	Counts       []uint64
	Errors       []RowError
	Columnar
}

func (*Answers) Type() Type { return TypeAnswers }

// Result is the same answer with one output a row.
func (m *Answers) Result(outputs [][]byte) *Result {
	return &Result{Lease: m.Lease, First: m.First, Count: m.Count, Outputs: outputs, Counts: m.Counts, Errors: m.Errors}
}

func (m *Answers) append(b []byte) []byte {
	start := len(b)
	b = m.Lease.append(appendHead(b, TypeAnswers))
	b = appendUints(b, m.First, m.Count, m.Rows)
	if m.Counts == nil {
		b = msgp.AppendNil(b)
	} else {
		b = appendUints(msgp.AppendArrayHeader(b, uint32(len(m.Counts))), m.Counts...)
	}
	b = msgp.AppendArrayHeader(b, uint32(len(m.Errors)))
	for i := range m.Errors {
		b = m.Errors[i].append(b)
	}
	return m.Columnar.append(b, start)
}

func (m *Answers) decode(f *fields) {
	var r Result
	r.Lease.decode(f)
	r.First = f.uint("first")
	r.decodeCount(f)
	m.decodeRows(f)
	r.decodeCounts(f)
	r.decodeErrors(f)
	if f.err == nil {
		want := r.promised(f)
		f.name = "rows"
		if m.Rows != want {
			f.malformed("%d rows, wants %d", m.Rows, want)
		}
	}
	m.Lease, m.First, m.Count, m.Counts, m.Errors = r.Lease, r.First, r.Count, r.Counts, r.Errors
	m.Columnar.decode(f)
}

func (m *Answers) decodeRows(f *fields) {
	m.Rows = f.uint("rows")
	switch {
	case m.Rows == 0:
		f.malformed("0, a result without a row is a RESULT")
	case m.Rows > MaxRows:
		f.limit("%d rows, at most %d", m.Rows, MaxRows)
	}
}
