package columns

// An Unknown is a field that events have and their class does not.
type Unknown struct {
	Name string // its first 100 characters
	N    int    // the events that have it
}

// A Builder collects rows. One user at a time; it keeps its memory from batch to batch.
type Builder struct {
	plan    *Plan
	columns []column
	rows    int
	unknown unknowns
	seen    []int // by field: the row that has it, plus one
	text    []byte
	body    int // bytes, once laid out
}

// NewBuilder makes an empty builder.
func NewBuilder(p *Plan) *Builder {
	b := &Builder{plan: p, columns: make([]column, len(p.fields)), seen: make([]int, len(p.fields))}
	for i := range p.fields {
		b.columns[i].kind = p.fields[i].kind
	}
	b.Reset()
	return b
}

// Reset empties the builder for another batch.
func (b *Builder) Reset() {
	b.rows, b.body = 0, 0
	for i := range b.columns {
		b.columns[i].reset()
	}
	clear(b.seen)
	b.unknown.reset()
}

// Add makes a row of an event. False: it is a misfit, and nothing of it stays.
//
// The payload is not kept. Misfits are null values, what is not JSON by RFC 8259 in UTF-8, what the plan does not allow, and
// what is beyond this parser's own bounds.
func (b *Builder) Add(payload []byte) bool {
	if !b.event(payload) {
		b.takeBack()
		return false
	}
	b.rows++
	b.unknown.keep()
	return true
}

func (b *Builder) takeBack() {
	b.unknown.drop()
	for i := range b.columns {
		b.columns[i].truncate(b.rows)
	}
	for i, row := range b.seen {
		if row > b.rows {
			b.seen[i] = 0
		}
	}
}

// Rows is the number of events that were taken.
func (b *Builder) Rows() int { return b.rows }

// Unknown tells of the fields that were skipped in the rows, at most 16 of them. It holds until the next Reset.
func (b *Builder) Unknown() []Unknown { return b.unknown.kept }

// fill puts the defaults where the event has said nothing. False: a field is required.
func (b *Builder) fill() bool {
	for i := range b.plan.fields {
		if b.seen[i] == b.rows+1 {
			continue
		}
		f := &b.plan.fields[i]
		if f.required || !b.columns[i].put(b.rows, f.otherwise) {
			return false
		}
	}
	return true
}
