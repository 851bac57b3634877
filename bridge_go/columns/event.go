package columns

import "encoding/binary"

// none is what a reader returns instead of the place behind a value that is not there, or not allowed.
const none = -1

// event reads a whole payload into row b.rows.
func (b *Builder) event(p []byte) bool {
	i := skipSpace(p, 0)
	if i == len(p) || p[i] != '{' {
		return false
	}
	if i = skipSpace(p, i+1); i < len(p) && p[i] == '}' {
		i++
	} else {
		i = b.members(p, i)
	}
	return i != none && skipSpace(p, i) == len(p) && b.fill()
}

// members reads names and values from the first name, and returns the place behind the closing brace.
func (b *Builder) members(p []byte, i int) int {
	at := b.keys.start
	for {
		at, i = b.name(p, i, at)
		if i == none {
			return none
		}
		if i = b.value(p, i, at); uint(i) >= uint(len(p)) {
			return none
		}
		if p[i] <= ' ' {
			if i = skipSpace(p, i); i == len(p) {
				return none
			}
		}
		switch p[i] {
		case ',':
			if i++; i < len(p) && p[i] <= ' ' {
				i = skipSpace(p, i)
			}
		case '}':
			return i + 1
		default:
			return none
		}
	}
}

// name reads a name and its colon, and returns its key and the place of the value.
func (b *Builder) name(p []byte, i, before int) (at, next int) {
	at = b.keys.all[before].next
	lead := b.keys.all[at].lead
	if n := i + len(lead); n < len(p) && lead != "" && string(p[i:n]) == lead {
		if p[n] <= ' ' {
			n = skipSpace(p, n)
		}
		return at, n
	}
	return b.otherName(p, i, before)
}

func (b *Builder) otherName(p []byte, i, before int) (at, next int) {
	name, next := b.string(p, i)
	if next == none {
		return 0, none
	}
	if next = skipSpace(p, next); next == len(p) || p[next] != ':' {
		return 0, none
	}
	next++
	return b.keys.find(before, name, p[i:next]), skipSpace(p, next)
}

// value reads the value of a key.
func (b *Builder) value(p []byte, i, at int) int {
	if i == len(p) {
		return none
	}
	if at >= len(b.plan.fields) {
		return b.unknown(p, i, at)
	}
	f, c := &b.plan.fields[at], &b.columns[at]
	if b.seen[at] == b.events {
		c.forgetNull(b.rows)
	} else {
		b.seen[at] = b.events
		b.found++
	}
	if p[i] == 'n' {
		if i = skipWord(p, i, "null"); i == none || !f.nullable {
			return none
		}
		c.putNull(b.rows)
		return i
	}
	switch f.kind {
	case asFloats:
		v, next := readFloat(p, i)
		if f.bounded && !f.allowsFloat(v) {
			return none
		}
		c.floats[b.rows] = v
		return next
	case asInts:
		v, next := readInt(p, i)
		if f.bounded && !f.allowsInt(v) {
			return none
		}
		c.ints[b.rows] = v
		return next
	case asBools:
		return readBool(p, i, &c.bools[b.rows])
	case asCodes:
		code, next := b.code(p, i, f)
		c.codes[b.rows] = int32(code)
		return next
	}
	return b.quoted(p, i, f, c)
}

// quoted reads the kinds that are strings in JSON.
func (b *Builder) quoted(p []byte, i int, f *field, c *column) int {
	text, next := b.string(p, i)
	if next == none {
		return none
	}
	ok := true
	switch f.kind {
	case asTimes:
		c.ints[b.rows], ok = readTime(text)
	case asDates:
		c.ints[b.rows], ok = readDate(text)
	default:
		ok = (!f.held || f.fits(text)) && c.texts.put(b.rows, text)
	}
	if !ok {
		return none
	}
	return next
}

// code reads one of the choices of a category.
func (b *Builder) code(p []byte, i int, f *field) (int, int) {
	if p[i] != '"' {
		n, next := readInt(p, i)
		code, known := f.numbers[n]
		if next == none || !known {
			return 0, none
		}
		return int(code), next
	}
	text, next := b.string(p, i)
	if next == none {
		return 0, none
	}
	code, known := f.words.find(text)
	if !known {
		return 0, none
	}
	return int(f.codes[code]), next
}

// unknown steps over a value whose field the class does not have.
func (b *Builder) unknown(p []byte, i, at int) int {
	if b.plan.refuses {
		return none
	}
	b.keys.note(at, b.events)
	return b.skip(p, i)
}

func readBool(p []byte, i int, v *byte) int {
	const isTrue, isFalse = 't' | 'r'<<8 | 'u'<<16 | 'e'<<24, 'f' | 'a'<<8 | 'l'<<16 | 's'<<24
	if i+4 > len(p) {
		return none
	}
	switch binary.LittleEndian.Uint32(p[i:]) {
	case isTrue:
		*v = 1
		return i + 4
	case isFalse:
		if i+4 < len(p) && p[i+4] == 'e' {
			*v = 0
			return i + 5
		}
	}
	return none
}
