package columns

// A Builder collects rows. One user at a time; it keeps its memory from batch to batch.
type Builder struct {
	plan    *Plan
	columns []column
	rows    int
	room    int // rows that the columns have room for
	keys    keys
	events  uint64   // of all batches, the one at hand included: its mark in `seen`
	seen    []uint64 // by field: the last event that has it
	found   int      // fields that the event at hand has
	text    []byte   // of the string read last, where it does not stand as it is in the payload
	body    int      // bytes, where it is laid out
	laid    bool
}

// NewBuilder makes an empty builder.
func NewBuilder(p *Plan) *Builder {
	b := &Builder{plan: p, columns: make([]column, len(p.fields)), keys: newKeys(p), seen: make([]uint64, len(p.fields))}
	for i := range p.fields {
		b.columns[i].kind = p.fields[i].kind
	}
	b.grow()
	return b
}

// Reset empties the builder for another batch.
func (b *Builder) Reset() {
	b.rows, b.laid = 0, false
	for i := range b.columns {
		b.columns[i].reset()
	}
	b.keys.reset()
}

// Add makes a row of an event. False: it is a misfit, and nothing of it stays.
//
// The payload is not kept. Misfits are null values, what is not JSON by RFC 8259 in UTF-8, what the plan does not allow, and
// what is beyond this parser's own bounds.
func (b *Builder) Add(payload []byte) bool {
	b.events++
	b.found = 0
	if b.rows == b.room {
		b.grow()
	}
	if !b.event(payload) {
		b.takeBack()
		return false
	}
	b.rows++
	b.laid = false
	b.keys.keep()
	return true
}

// Rows is the number of events that were taken.
func (b *Builder) Rows() int { return b.rows }

// Unknown tells of the fields that were skipped in the rows, at most 16 of them. It holds until the next Reset.
func (b *Builder) Unknown() []Unknown { return b.keys.told() }

func (b *Builder) grow() {
	b.room = max(2*b.room, 64)
	for i := range b.columns {
		b.columns[i].grow(b.room)
	}
}

// takeBack undoes what the event at hand has left beyond the last row.
func (b *Builder) takeBack() {
	b.keys.drop()
	for i := range b.columns {
		b.columns[i].takeBack(b.rows)
	}
}

// fill puts the defaults where the event has said nothing. False: a field is required.
func (b *Builder) fill() bool {
	if b.found == len(b.seen) {
		return true
	}
	for i, last := range b.seen {
		if last == b.events {
			continue
		}
		f := &b.plan.fields[i]
		if f.required || !b.columns[i].put(b.rows, f.otherwise) {
			return false
		}
	}
	return true
}
