package wire

import (
	"bytes"

	"github.com/tinylib/msgp/msgp"
)

// An ErrKind says whose fault an event's error is.
type ErrKind uint8

const (
	KindReject ErrKind = 1 // the model's verdict: counted, no retry
	KindFail   ErrKind = 2 // the event's fault: dead letter
	KindRetry  ErrKind = 3 // the surroundings' fault: comes again
)

// A Route sends one output of the frame to another stream than the command's own.
type Route struct {
	Index  uint64 // index into the frame's outputs
	Stream string
}

// A RowError is the error of one event.
type RowError struct {
	Index        uint64 // into the batch
	Kind         ErrKind
	Code, Reason string
	Detail       []byte // JSON or nil
	RetryMS      uint64
}

// Result answers events First to First+Count-1 of a batch. The outputs are in Lines, each ended by a line break, or in
// Outputs when Lines is nil. Counts is nil when each event without an error has one output.
type Result struct {
	Lease
	First, Count uint64
	Lines        []byte
	Outputs      [][]byte
	Counts       []uint64
	Routes       []Route
	Errors       []RowError
}

func (*Result) Type() Type { return TypeResult }

func (m *Result) append(b []byte) []byte {
	b = m.Lease.append(appendHead(b, TypeResult))
	b = appendUints(b, m.First, m.Count)
	b = m.appendOutputs(b)
	b = m.appendCounts(b)
	b = m.appendRoutes(b)
	b = msgp.AppendArrayHeader(b, uint32(len(m.Errors)))
	for i := range m.Errors {
		b = m.Errors[i].append(b)
	}
	return b
}

func (m *Result) appendOutputs(b []byte) []byte {
	if m.Lines != nil {
		return msgp.AppendBytes(b, m.Lines)
	}
	b = msgp.AppendArrayHeader(b, uint32(len(m.Outputs)))
	for _, o := range m.Outputs {
		b = appendBytes(b, o)
	}
	return b
}

func (m *Result) appendCounts(b []byte) []byte {
	if m.Counts == nil {
		return msgp.AppendNil(b)
	}
	return appendUints(msgp.AppendArrayHeader(b, uint32(len(m.Counts))), m.Counts...)
}

func (m *Result) appendRoutes(b []byte) []byte {
	if m.Routes == nil {
		return msgp.AppendNil(b)
	}
	b = msgp.AppendArrayHeader(b, uint32(2*len(m.Routes)))
	for _, r := range m.Routes {
		b = msgp.AppendString(msgp.AppendUint64(b, r.Index), r.Stream)
	}
	return b
}

const errorFields = 6

func (e *RowError) append(b []byte) []byte {
	b = msgp.AppendArrayHeader(b, errorFields)
	b = appendUints(b, e.Index, uint64(e.Kind))
	b = appendStrings(b, e.Code, e.Reason)
	b = appendBin(b, e.Detail)
	return msgp.AppendUint64(b, e.RetryMS)
}

func (m *Result) decode(f *fields) {
	m.Lease.decode(f)
	m.First = f.uint("first")
	m.decodeCount(f)
	m.decodeOutputs(f)
	m.decodeCounts(f)
	m.decodeRoutes(f)
	m.decodeErrors(f)
	m.agree(f)
}

func (m *Result) decodeCount(f *fields) {
	m.Count = f.uint("count")
	switch {
	case m.Count == 0:
		f.malformed("0, a result covers at least one event")
	case m.Count > MaxEvents || m.First > MaxEvents-m.Count:
		f.limit("events %d + %d, a batch has at most %d", m.First, m.Count, MaxEvents)
	}
}

func (m *Result) decodeOutputs(f *fields) {
	f.name = "outputs"
	h := f.next()
	switch {
	case f.err != nil:
	case h.kind == kindBin:
		m.Lines = f.take(h.n)
		if h.n > 0 && m.Lines[h.n-1] != '\n' {
			f.malformed("lines without a line break at the end")
		}
	case f.expect(h, kindArray):
		m.Outputs = sized[[]byte](f, int(h.n))
		for i := range m.Outputs {
			m.Outputs[i] = f.bin("outputs", maxInt)
		}
	}
}

func (m *Result) decodeCounts(f *fields) {
	n, ok := f.arrayOrNil("counts")
	if !ok {
		return
	}
	if uint64(n) != m.Count {
		f.malformed("%d counts for %d events", n, m.Count)
	}
	m.Counts = sized[uint64](f, n)
	for i := range m.Counts {
		m.Counts[i] = f.uintHere()
	}
}

func (m *Result) decodeRoutes(f *fields) {
	n, ok := f.arrayOrNil("routes")
	if !ok {
		return
	}
	if n%2 != 0 {
		f.malformed("an index without a stream")
	}
	m.Routes = sized[Route](f, n/2)
	outputs := m.outputs()
	for i := range m.Routes {
		r := Route{f.uintHere(), f.labelHere(MaxName)}
		switch {
		case r.Index >= outputs:
			f.malformed("output %d of %d", r.Index, outputs)
		case i > 0 && r.Index <= m.Routes[i-1].Index:
			f.malformed("output %d after %d, wants ascending ones", r.Index, m.Routes[i-1].Index)
		case r.Stream == "":
			f.malformed("a stream without a name")
		}
		m.Routes[i] = r
	}
}

func (m *Result) decodeErrors(f *fields) {
	m.Errors = sized[RowError](f, f.array("errors"))
	for i := range m.Errors {
		e := f.rowError()
		switch {
		case f.err != nil:
			return
		case e.Index < m.First || e.Index >= m.First+m.Count:
			f.malformed("event %d is not among %d to %d", e.Index, m.First, m.First+m.Count-1)
		case i > 0 && e.Index <= m.Errors[i-1].Index:
			f.malformed("event %d after %d, wants ascending ones", e.Index, m.Errors[i-1].Index)
		}
		m.Errors[i] = e
	}
}

func (f *fields) rowError() RowError {
	if n := f.arrayHere(); n != errorFields {
		f.malformed("an error of %d fields, wants %d", n, errorFields)
	}
	e := RowError{Index: f.uintHere()}
	kind := f.uintHere()
	if kind < uint64(KindReject) || kind > uint64(KindRetry) {
		f.malformed("kind %d, wants 1, 2 or 3", kind)
	}
	e.Kind = ErrKind(kind)
	e.Code = f.labelHere(MaxCode)
	e.Reason = f.textHere(MaxReason)
	if e.Detail = f.binOrNil(); len(e.Detail) > MaxReason {
		f.limit("a detail of %d bytes, at most %d", len(e.Detail), MaxReason)
	}
	e.RetryMS = f.uintHere()
	return e
}

// outputs is the number of outputs in the frame.
func (m *Result) outputs() uint64 {
	if m.Lines != nil {
		return uint64(bytes.Count(m.Lines, []byte{'\n'}))
	}
	return uint64(len(m.Outputs))
}

// agree holds outputs, counts and errors against each other: what passes can be given out by position.
func (m *Result) agree(f *fields) {
	if f.err != nil {
		return
	}
	want := m.promised(f)
	f.name = "outputs"
	if have := m.outputs(); have != want {
		f.malformed("%d outputs, wants %d", have, want)
	}
}

// promised is the number of outputs by counts and errors.
func (m *Result) promised(f *fields) uint64 {
	if m.Counts != nil {
		return m.sum(f)
	}
	return m.Count - uint64(len(m.Errors))
}

// sum adds the counts up; it stops above MaxValues, which no frame has outputs for, so that it cannot overflow.
func (m *Result) sum(f *fields) uint64 {
	f.name = "counts"
	for _, e := range m.Errors {
		if m.Counts[e.Index-m.First] != 0 {
			f.malformed("event %d has an error and outputs", e.Index)
		}
	}
	var sum uint64
	for _, n := range m.Counts {
		if sum += min(n, maxLines+1); sum > maxLines {
			break
		}
	}
	return sum
}

// maxLines is more lines than a frame of any length can hold.
const maxLines = 1 << 32
