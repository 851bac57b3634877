package postgres

import (
	"encoding/binary"
	"fmt"
)

// What a logical replication stream says, in protocol version 1 of the plugin pgoutput, as chapter "Logical Replication Message
// Formats" of the manual has it. Decoding is pure: it may be given any bytes, and returns a value or an error.

// An event is one message. What is set depends on its kind.
type event struct {
	kind     byte      // 'B' begin, 'C' commit, 'R' relation, 'I' insert, 'U' update, 'D' delete, 'T' truncate; others say nothing to us
	lsn      uint64    // B: of the commit to come; C: behind the transaction
	time     int64     // B: of the commit, microseconds since 2000
	relation *relation // R
	oid      uint32    // I, U, D: of the relation
	old, new []cell    // of the row; old may have the key's columns alone, with the others null
	oldIsKey bool
	oids     []uint32 // T
}

// A relation is a table as the stream describes it before the first change of it.
type relation struct {
	oid          uint32
	schema, name string
	columns      []relationColumn
}

type relationColumn struct {
	name string
	oid  uint32 // of its type
	key  bool   // of the replica identity
}

// A cell is a value as text.
type cell struct {
	kind byte // 't' text, 'n' null, 'u' unchanged and not sent
	text []byte
}

func decode(data []byte) (e event, err error) {
	b := &buffer{data: data}
	switch e.kind = b.byte(); e.kind {
	case 'B':
		e.lsn, e.time = b.uint64(), int64(b.uint64())
		b.uint32() // the transaction's number
	case 'C':
		b.byte()   // flags
		b.uint64() // of the commit itself
		e.lsn = b.uint64()
		e.time = int64(b.uint64())
	case 'R':
		e.relation = b.relation()
	case 'I':
		e.oid = b.uint32()
		b.want('N')
		e.new = b.row()
	case 'U':
		e.oid = b.uint32()
		mark := b.byte()
		if mark == 'K' || mark == 'O' {
			e.old, e.oldIsKey = b.row(), mark == 'K'
			mark = b.byte()
		}
		b.is(mark, 'N')
		e.new = b.row()
	case 'D':
		e.oid = b.uint32()
		mark := b.byte()
		if mark != 'K' {
			b.is(mark, 'O')
		}
		e.old, e.oldIsKey = b.row(), mark == 'K'
	case 'T':
		n := b.uint32()
		b.byte() // options
		for range min(int(n), len(b.data)/4) {
			e.oids = append(e.oids, b.uint32())
		}
	default: // type, origin, message
		return e, b.err
	}
	if b.err == nil && len(b.data) > 0 {
		b.err = fmt.Errorf("%d bytes behind its end", len(b.data))
	}
	if b.err != nil {
		return event{}, fmt.Errorf("replication message %q: %w", e.kind, b.err)
	}
	return e, nil
}

// A buffer is read from its beginning. The first error stays, and what is read behind it is empty.
type buffer struct {
	data []byte
	err  error
}

func (b *buffer) take(n int) []byte {
	if b.err != nil || n < 0 || n > len(b.data) {
		if b.err == nil {
			b.err = fmt.Errorf("%d bytes are left of %d", len(b.data), n)
		}
		b.data = nil
		return nil
	}
	taken := b.data[:n]
	b.data = b.data[n:]
	return taken
}

func (b *buffer) byte() byte {
	if one := b.take(1); one != nil {
		return one[0]
	}
	return 0
}

func (b *buffer) uint16() int {
	if two := b.take(2); two != nil {
		return int(binary.BigEndian.Uint16(two))
	}
	return 0
}

func (b *buffer) uint32() uint32 {
	if four := b.take(4); four != nil {
		return binary.BigEndian.Uint32(four)
	}
	return 0
}

func (b *buffer) uint64() uint64 {
	if eight := b.take(8); eight != nil {
		return binary.BigEndian.Uint64(eight)
	}
	return 0
}

func (b *buffer) string() string {
	for i, c := range b.data {
		if c == 0 {
			return string(b.take(i + 1)[:i])
		}
	}
	b.take(len(b.data) + 1)
	return ""
}

func (b *buffer) want(mark byte) { b.is(b.byte(), mark) }

func (b *buffer) is(got, want byte) {
	if b.err == nil && got != want {
		b.err = fmt.Errorf("found %q where %q is expected", got, want)
	}
}

func (b *buffer) relation() *relation {
	r := &relation{oid: b.uint32(), schema: b.string(), name: b.string()}
	b.byte() // replica identity
	for range b.uint16() {
		if b.err != nil {
			break
		}
		key := b.byte()&1 == 1
		r.columns = append(r.columns, relationColumn{key: key, name: b.string(), oid: b.uint32()})
		b.uint32() // type modifier
	}
	return r
}

// row copies nothing: its cells point into the message.
func (b *buffer) row() []cell {
	var cells []cell
	for range b.uint16() {
		if b.err != nil {
			return nil
		}
		switch kind := b.byte(); kind {
		case 'n', 'u':
			cells = append(cells, cell{kind: kind})
		case 't':
			cells = append(cells, cell{kind: kind, text: b.take(int(int32(b.uint32())))})
		default:
			b.is(kind, 't')
		}
	}
	return cells
}
