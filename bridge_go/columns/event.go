package columns

// none is what a reader returns instead of the place behind a value that is not there, or not allowed.
const none = -1

// event reads a whole payload into row b.rows.
func (b *Builder) event(p []byte) bool {
	i := skipSpace(p, 0)
	if i == len(p) || p[i] != '{' {
		return false
	}
	if i = b.members(p, i+1); i == none || skipSpace(p, i) != len(p) {
		return false
	}
	return b.fill()
}

// members reads names and values from behind the opening brace, and returns the place behind the closing one.
func (b *Builder) members(p []byte, i int) int {
	if i = skipSpace(p, i); i < len(p) && p[i] == '}' {
		return i + 1
	}
	for {
		if i = b.member(p, skipSpace(p, i)); i == none {
			return none
		}
		if i = skipSpace(p, i); i == len(p) {
			return none
		}
		switch p[i] {
		case ',':
			i++
		case '}':
			return i + 1
		default:
			return none
		}
	}
}

func (b *Builder) member(p []byte, i int) int {
	name, i := b.string(p, i)
	if i == none {
		return none
	}
	if i = skipSpace(p, i); i == len(p) || p[i] != ':' {
		return none
	}
	i = skipSpace(p, i+1)
	at, known := b.plan.byWire[string(name)]
	switch {
	case known:
		b.seen[at] = b.rows + 1
		return b.value(p, i, at)
	case b.plan.refuses:
		return none
	}
	b.unknown.note(name)
	return b.skip(p, i)
}

// value reads the value of a field.
func (b *Builder) value(p []byte, i, at int) int {
	f := &b.plan.fields[at]
	var v value
	if f.nullable && i < len(p) && p[i] == 'n' {
		v.null = true
		i = skipWord(p, i, "null")
	} else {
		v, i = b.scalar(p, i, f)
	}
	if i == none || !b.columns[at].put(b.rows, v) {
		return none
	}
	return i
}

func (b *Builder) scalar(p []byte, i int, f *field) (v value, next int) {
	if i == len(p) {
		return v, none
	}
	ok := true
	switch f.kind {
	case asFloats:
		v.float, next = readFloat(p, i)
		ok = f.low <= v.float && v.float <= f.high
	case asInts:
		v.whole, next = readInt(p, i)
		ok = f.least <= v.whole && v.whole <= f.most
	case asBools:
		if next = skipWord(p, i, "true"); next != none {
			v.whole = 1
		} else {
			next = skipWord(p, i, "false")
		}
	case asCodes:
		v.whole, next = b.code(p, i, f)
	default:
		return b.quoted(p, i, f)
	}
	if !ok {
		return v, none
	}
	return v, next
}

// quoted reads the kinds that are strings in JSON.
func (b *Builder) quoted(p []byte, i int, f *field) (v value, next int) {
	text, next := b.string(p, i)
	if next == none {
		return v, none
	}
	ok := true
	switch f.kind {
	case asTimes:
		v.whole, ok = readTime(text)
	case asDates:
		v.whole, ok = readDate(text)
	default:
		v.text = string(text)
		ok = !f.hasLengths || f.fits(text)
	}
	if !ok {
		return v, none
	}
	return v, next
}

func (b *Builder) code(p []byte, i int, f *field) (int64, int) {
	if p[i] != '"' {
		n, next := readInt(p, i)
		code, known := f.numbers[n]
		if next == none || !known {
			return 0, none
		}
		return int64(code), next
	}
	text, next := b.string(p, i)
	if next == none {
		return 0, none
	}
	code, known := f.words[string(text)]
	if !known {
		return 0, none
	}
	return int64(code), next
}
