package wire

import (
	"strings"
	"unicode/utf8"

	"github.com/tinylib/msgp/msgp"
)

// A Run is N consecutive positions of a partition.
type Run struct {
	Partition int32
	First, N  int64
}

// A HeaderPair is one header of an event.
type HeaderPair struct {
	Name  string
	Value []byte
}

// Batch leases events to a worker. Keys, Headers and Timestamps are nil when the worker did not ask for them; otherwise
// they have one entry an event. A nil payload or key is null; a nil list of headers too.
type Batch struct {
	Lease
	Attempt, DeadlineMS uint64
	Stream              string
	Positions           []Run
	Payloads            [][]byte
	Keys                [][]byte
	Headers             [][]HeaderPair
	Timestamps          []int64 // nanoseconds since 1970 UTC
}

func (*Batch) Type() Type { return TypeBatch }

// Bytes is what the batch takes of a window.
func (m *Batch) Bytes() int {
	n := 0
	for _, p := range m.Payloads {
		n += len(p)
	}
	return n
}

func (m *Batch) append(b []byte) []byte {
	b = m.Lease.append(appendHead(b, TypeBatch))
	b = appendUints(b, m.Attempt, m.DeadlineMS)
	b = msgp.AppendString(b, m.Stream)
	b = appendRuns(b, m.Positions)
	b = msgp.AppendArrayHeader(b, uint32(len(m.Payloads)))
	for _, p := range m.Payloads {
		b = appendBin(b, p)
	}
	b = appendBins(b, m.Keys)
	b = appendHeaders(b, m.Headers)
	return appendTimes(b, m.Timestamps)
}

func appendRuns(b []byte, runs []Run) []byte {
	b = msgp.AppendArrayHeader(b, uint32(3*len(runs)))
	for _, r := range runs {
		b = appendInt(b, int64(r.Partition))
		b = appendInt(b, r.First)
		b = appendInt(b, r.N)
	}
	return b
}

func appendHeaders(b []byte, lists [][]HeaderPair) []byte {
	if lists == nil {
		return msgp.AppendNil(b)
	}
	b = msgp.AppendArrayHeader(b, uint32(len(lists)))
	for _, pairs := range lists {
		if pairs == nil {
			b = msgp.AppendNil(b)
			continue
		}
		b = msgp.AppendArrayHeader(b, uint32(2*len(pairs)))
		for _, p := range pairs {
			b = appendBytes(msgp.AppendString(b, validName(p.Name)), p.Value)
		}
	}
	return b
}

// validName mends a header's name that a broker took as bytes: one bad name must not end the connection of its reader.
func validName(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

func appendTimes(b []byte, times []int64) []byte {
	if times == nil {
		return msgp.AppendNil(b)
	}
	b = msgp.AppendArrayHeader(b, uint32(len(times)))
	for _, t := range times {
		b = appendInt(b, t)
	}
	return b
}

func (m *Batch) decode(f *fields) {
	m.Lease.decode(f)
	if m.Attempt = f.uint("attempt"); m.Attempt == 0 {
		f.malformed("0, attempts start at 1")
	}
	m.DeadlineMS = f.uint("deadline_ms")
	m.Stream = f.required("stream")
	var events int64
	m.Positions, events = f.runs()
	m.decodePayloads(f, events)
	m.Keys = f.keys(len(m.Payloads))
	m.Headers = f.headers(len(m.Payloads))
	m.Timestamps = f.timestamps(len(m.Payloads))
}

// runs takes positions and gives the number of events that they name, too.
func (f *fields) runs() (positions []Run, events int64) {
	n := f.array("positions")
	if n%3 != 0 {
		f.malformed("%d numbers, wants runs of three", n)
	}
	positions = sized[Run](f, n/3)
	for i := range positions {
		positions[i] = f.run()
		if run := positions[i].N; run > maxInt-events {
			f.malformed("more events than a batch can have")
		} else {
			events += run
		}
	}
	return positions, events
}

func (f *fields) run() Run {
	partition, first, n := f.intHere(), f.intHere(), f.intHere()
	switch {
	case f.err != nil:
	case partition < 0 || partition > maxPartition:
		f.malformed("partition %d, wants 0 to 2^31-1", partition)
	case first < 0:
		f.malformed("offset %d, wants 0 or more", first)
	case n < 1:
		f.malformed("a run of %d events", n)
	case first > maxInt-(n-1):
		f.malformed("a run past offset 2^63-1")
	}
	return Run{int32(partition), first, n}
}

func (m *Batch) decodePayloads(f *fields, events int64) {
	n := f.array("payloads")
	switch {
	case f.err != nil:
	case n > MaxEvents:
		f.limit("%d events, at most %d", n, MaxEvents)
	case n == 0:
		f.malformed("no events")
	case int64(n) != events:
		f.name = "positions"
		f.malformed("%d events, payloads has %d", events, n)
	}
	m.Payloads = f.bins(n)
}

func (f *fields) bins(n int) [][]byte {
	list := sized[[]byte](f, n)
	for i := range list {
		list[i] = f.binOrNil()
	}
	return list
}

// perEvent takes the head of an optional array that has one item an event.
func (f *fields) perEvent(name string, events int) bool {
	n, ok := f.arrayOrNil(name)
	if ok && n != events {
		f.malformed("%d items for %d events", n, events)
	}
	return ok && f.err == nil
}

func (f *fields) keys(events int) [][]byte {
	if !f.perEvent("keys", events) {
		return nil
	}
	return f.bins(events)
}

func (f *fields) headers(events int) [][]HeaderPair {
	if !f.perEvent("headers", events) {
		return nil
	}
	lists := sized[[]HeaderPair](f, events)
	for i := range lists {
		if f.isNil() {
			continue
		}
		lists[i] = f.pairs()
	}
	return lists
}

func (f *fields) pairs() []HeaderPair {
	n := f.arrayHere()
	if n%2 != 0 {
		f.malformed("a name without a value")
	}
	pairs := sized[HeaderPair](f, n/2)
	for i := range pairs {
		pairs[i].Name = f.textHere(maxInt)
		pairs[i].Value = f.bin("headers", maxInt)
	}
	return pairs
}

func (f *fields) timestamps(events int) []int64 {
	if !f.perEvent("timestamps", events) {
		return nil
	}
	times := sized[int64](f, events)
	for i := range times {
		times[i] = f.intHere()
	}
	return times
}
