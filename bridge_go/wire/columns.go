package wire

import "github.com/tinylib/msgp/msgp"

// Columns leases events to a worker whose plan says how their fields become columns. Positions, Keys, Headers and Timestamps are those of all
// events, as in Batch; the rows are the events without misfits, in order.
type Columns struct {
	Lease
	Attempt, DeadlineMS uint64
	Stream              string
	Positions           []Run
	Keys                [][]byte
	Headers             [][]HeaderPair
	Timestamps          []int64
	Bytes               uint64 // of the payloads of all events: what the batch takes of a window
	Misfits             []Misfit
	Unknown             []Unknown
	Columnar
}

// A Misfit is an event that could not be put into columns: a null, or something that only the worker may judge.
type Misfit struct {
	Index   uint64 // into the batch
	Payload []byte // nil is null
}

// An Unknown is a field that the plan does not have and that N of the events do.
type Unknown struct {
	Name string
	N    uint64
}

func (*Columns) Type() Type { return TypeColumns }

// Events is the number of events in the batch.
func (m *Columns) Events() int { return int(m.Rows) + len(m.Misfits) }

func (m *Columns) append(b []byte) []byte {
	start := len(b)
	b = m.Lease.append(appendHead(b, TypeColumns))
	b = appendUints(b, m.Attempt, m.DeadlineMS)
	b = msgp.AppendString(b, m.Stream)
	b = appendRuns(b, m.Positions)
	b = appendBins(b, m.Keys)
	b = appendHeaders(b, m.Headers)
	b = appendTimes(b, m.Timestamps)
	b = msgp.AppendUint64(b, m.Bytes)
	b = msgp.AppendArrayHeader(b, uint32(2*len(m.Misfits)))
	for _, x := range m.Misfits {
		b = appendBin(msgp.AppendUint64(b, x.Index), x.Payload)
	}
	b = msgp.AppendArrayHeader(b, uint32(2*len(m.Unknown)))
	for _, u := range m.Unknown {
		b = msgp.AppendUint64(msgp.AppendString(b, u.Name), u.N)
	}
	b = msgp.AppendUint64(b, m.Rows)
	return m.Columnar.append(b, start)
}

func (m *Columns) decode(f *fields) {
	m.Lease.decode(f)
	if m.Attempt = f.uint("attempt"); m.Attempt == 0 {
		f.malformed("0, attempts start at 1")
	}
	m.DeadlineMS = f.uint("deadline_ms")
	m.Stream = f.required("stream")
	events := m.decodeRuns(f)
	m.Keys = f.keys(events)
	m.Headers = f.headers(events)
	m.Timestamps = f.timestamps(events)
	m.Bytes = f.uint("bytes")
	m.decodeMisfits(f, events)
	m.decodeUnknown(f, events)
	m.decodeRows(f, events)
	m.Columnar.decode(f)
}

// decodeRuns gives the number of events that the positions name, which is that of the batch.
func (m *Columns) decodeRuns(f *fields) int {
	var events int64
	m.Positions, events = f.runs()
	switch {
	case events > MaxEvents:
		f.limit("%d events, at most %d", events, MaxEvents)
		return 0
	case events == 0:
		f.malformed("no events")
	}
	return int(events)
}

func (m *Columns) decodeMisfits(f *fields, events int) {
	n := f.array("misfits")
	if n%2 != 0 {
		f.malformed("an index without a payload")
	}
	m.Misfits = sized[Misfit](f, n/2)
	for i := range m.Misfits {
		x := Misfit{f.uintHere(), f.binOrNil()}
		switch {
		case x.Index >= uint64(events):
			f.malformed("event %d of %d", x.Index, events)
		case i > 0 && x.Index <= m.Misfits[i-1].Index:
			f.malformed("event %d after %d, wants ascending ones", x.Index, m.Misfits[i-1].Index)
		}
		m.Misfits[i] = x
	}
}

func (m *Columns) decodeUnknown(f *fields, events int) {
	n := f.array("unknown")
	switch {
	case n%2 != 0:
		f.malformed("a name without a number")
	case n/2 > MaxUnknown:
		f.limit("%d names, at most %d", n/2, MaxUnknown)
	}
	m.Unknown = sized[Unknown](f, n/2)
	for i := range m.Unknown {
		u := Unknown{f.textHere(MaxName), f.uintHere()}
		if u.N == 0 || u.N > uint64(events) {
			f.malformed("a field in %d of %d events", u.N, events)
		}
		m.Unknown[i] = u
	}
}

func (m *Columns) decodeRows(f *fields, events int) {
	m.Rows = f.uint("rows")
	switch want := events - len(m.Misfits); {
	case m.Rows == 0:
		f.malformed("0, a batch without a row is a BATCH")
	case m.Rows != uint64(want):
		f.malformed("%d rows, wants %d", m.Rows, want)
	}
}
