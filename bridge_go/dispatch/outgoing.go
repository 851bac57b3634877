package dispatch

import (
	"slices"
	"strconv"
	"unsafe"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// Names of the headers that say where an output comes from; without them it cannot be joined with its event.
const (
	HeaderSource = "ds-source" // stream/partition/offset
	HeaderModel  = "ds-model"  // version
)

// outgoing turns outputs into records. What is the same for all of them is made once, and what is not goes into
// buffers that are used again with the next slice of fates, since sinks keep nothing: an output costs no allocation.
type outgoing struct {
	c      StreamConfig
	queues []*queue // one a sink, in the order in which they were first used
	text   []byte   // sources of events; records point into it
	last   int      // fate whose source was written last
	source []byte
}

// A queue is the records for one sink.
type queue struct {
	to      Target
	records []messaging.Outgoing
	owners  []int // index of the fate
	headers []messaging.Header
	ids     []byte
	ends    []int // of the ids, when the sink takes them
	prefix  string
}

func (m *outgoing) reset(c StreamConfig) {
	m.c, m.last, m.source = c, -1, nil
	m.text = m.text[:0]
	for _, q := range m.queues {
		clear(q.records)
		q.records, q.owners, q.headers = q.records[:0], q.owners[:0], q.headers[:0]
		q.ids, q.ends = q.ids[:0], q.ends[:0]
	}
}

func (m *outgoing) queue(to Target) *queue {
	for _, q := range m.queues {
		if q.to.Sink == to.Sink && q.to.Stream == to.Stream {
			return q
		}
	}
	q := &queue{to: to}
	if i := to.Sink.Info(); i.Deduplicates || i.PassesID {
		q.prefix = idPrefix(m.c, to.Stream)
	}
	m.queues = append(m.queues, q)
	return q
}

// add queues output number index of a fate.
func (m *outgoing) add(to Target, owner, index int, f *Fate, value []byte) {
	q := m.queue(to)
	if owner != m.last {
		m.last, m.source = owner, m.sourceOf(f)
	}
	from := len(q.headers)
	q.headers = append(q.headers, messaging.Header{Name: HeaderSource, Value: m.source},
		messaging.Header{Name: HeaderModel, Value: bytesOf(f.Model)})
	q.records = append(q.records, messaging.Outgoing{Record: messaging.Record{
		Key: f.Record.Key, Value: value, Headers: q.headers[from:len(q.headers):len(q.headers)],
	}})
	q.owners = append(q.owners, owner)
	if q.prefix != "" {
		q.ids = appendID(q.ids, q.prefix, f.Record, index)
		q.ends = append(q.ends, len(q.ids))
	}
}

// finished gives the records their ids, which are parts of one string.
func (q *queue) finished() []messaging.Outgoing {
	all, from := string(q.ids), 0
	for i, end := range q.ends {
		q.records[i].ID = all[from:end]
		from = end
	}
	return q.records
}

func (m *outgoing) sourceOf(f *Fate) []byte {
	from := len(m.text)
	m.text = appendSource(m.text, f)
	return m.text[from:len(m.text):len(m.text)]
}

func appendSource(b []byte, f *Fate) []byte {
	b = append(append(b, f.Stream...), '/')
	b = append(strconv.AppendInt(b, int64(f.Record.Partition), 10), '/')
	return strconv.AppendInt(b, f.Record.Offset, 10)
}

// idPrefix is the part of message ids that all outputs of a command on one stream share. The incarnation of the input is in it, since
// offsets begin again when the input is made again, and the generation, since a rescored event's outputs are new ones.
func idPrefix(c StreamConfig, stream string) string {
	return c.Program + "/" + c.Command + "/" + stream + ":" + c.Incarnation + ":" + strconv.Itoa(c.Generation) + ":"
}

// appendID writes program/command/output:incarnation:generation:sequence:index. Sequence is the offset; where there is more than
// one partition, partition-offset.
func appendID(b []byte, prefix string, r *messaging.Record, index int) []byte {
	b = append(appendSequence(append(b, prefix...), r), ':')
	return strconv.AppendInt(b, int64(index), 10)
}

func appendSequence(b []byte, r *messaging.Record) []byte {
	if r.Partition != 0 {
		b = append(strconv.AppendInt(b, int64(r.Partition), 10), '-')
	}
	return strconv.AppendInt(b, r.Offset, 10)
}

// bytesOf looks at a string as bytes that nobody writes to.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// refusals are the fates that will not be stored, with the first reason of each.
type refusals map[int]Refusal

func (r refusals) add(i int, code, reason string) {
	if _, known := r[i]; !known {
		r[i] = Refusal{i, code, reason}
	}
}

func (r refusals) has(i int) bool {
	if len(r) == 0 {
		return false
	}
	_, known := r[i]
	return known
}

func (r refusals) sorted() (list []Refusal) {
	for _, x := range r {
		list = append(list, x)
	}
	slices.SortFunc(list, func(a, b Refusal) int { return a.Index - b.Index })
	return list
}
