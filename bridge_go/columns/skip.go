package columns

// deepest bounds how deep an event may be nested, itself included; a bit in a word stands for each level.
const deepest = 64

// skip steps over the value of a field that the class does not have. It must be as valid as all others: the worker decodes it.
func (b *Builder) skip(p []byte, i int) int {
	var objects uint64 // a bit a level: an object, not a list
	depth := 1
	for {
		if i = skipSpace(p, i); i == len(p) {
			return none
		}
		if c := p[i]; c == '{' || c == '[' {
			if depth == deepest {
				return none
			}
			depth++
			if objects <<= 1; c == '{' {
				objects |= 1
			}
			if i = skipSpace(p, i+1); i < len(p) && p[i] != closing(objects) {
				if i = b.skipName(p, i, objects); i == none {
					return none
				}
				continue
			}
		} else if i = b.skipScalar(p, i); i == none {
			return none
		}
		if i, depth = b.skipEnds(p, i, depth, &objects); i == none || depth == 1 {
			return i
		}
	}
}

// skipEnds steps over what ends behind a value, up to the next value within what is still open.
func (b *Builder) skipEnds(p []byte, i, depth int, objects *uint64) (next, open int) {
	for ; depth > 1; depth-- {
		if i = skipSpace(p, i); i == len(p) {
			return none, depth
		}
		if p[i] == ',' {
			return b.skipName(p, skipSpace(p, i+1), *objects), depth
		}
		if p[i] != closing(*objects) {
			return none, depth
		}
		*objects >>= 1
		i++
	}
	return i, depth
}

func closing(objects uint64) byte {
	if objects&1 == 1 {
		return '}'
	}
	return ']'
}

// skipName steps over a name and its colon within an object, and over nothing within a list.
func (b *Builder) skipName(p []byte, i int, objects uint64) int {
	if objects&1 == 0 {
		return i
	}
	if _, i = b.string(p, i); i == none {
		return none
	}
	if i = skipSpace(p, i); i == len(p) || p[i] != ':' {
		return none
	}
	return i + 1
}

func (b *Builder) skipScalar(p []byte, i int) int {
	switch p[i] {
	case '"':
		_, i = b.string(p, i)
		return i
	case 't':
		return skipWord(p, i, "true")
	case 'f':
		return skipWord(p, i, "false")
	case 'n':
		return skipWord(p, i, "null")
	}
	return skipNumber(p, i)
}

// skipNumber holds a number to float64, by its digits alone where they are few enough. Of integers Python has larger ones.
func skipNumber(p []byte, i int) int {
	x := scanNumber(p, i)
	if x.end != none && x.end-i <= longestNumber && (x.whole || x.n+x.exponent <= 308) {
		return x.end
	}
	_, i = readFloat(p, i)
	return i
}
