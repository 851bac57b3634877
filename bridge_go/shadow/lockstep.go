package shadow

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"unicode/utf8"
)

// Answers of two versions of one class are mostly alike but for some values: the same keys in the same order. So two texts are
// walked in step, and only where they part in another way are they read as a whole. That takes a third of the time, which is taken
// from the primary's bridge.

// inStep compares two valid JSON texts, and says whether it could.
func (d *differ) inStep(a, b []byte) bool {
	before := slices.Clone(d.found)
	w := walk{differ: d, a: text{rest: a}, b: text{rest: b}}
	if w.value(0) {
		return true
	}
	d.found = before
	return false
}

// A walk is at the same place of two texts. Its steps say false where these part.
type walk struct {
	*differ
	a, b text
	path []byte
}

// A text is valid JSON from some place on.
type text struct{ rest []byte }

// peek is the next byte that is no space; 0 at the end.
func (t *text) peek() byte {
	for i, c := range t.rest {
		if c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			t.rest = t.rest[i:]
			return c
		}
	}
	t.rest = nil
	return 0
}

// scalar takes a string, number, or word.
func (t *text) scalar() []byte {
	n := 1
	if t.rest[0] == '"' {
		for t.rest[n] != '"' {
			if t.rest[n] == '\\' {
				n++
			}
			n++
		}
		n++
	} else {
		for n < len(t.rest) && !bytes.ContainsRune([]byte(",]} \n\t\r"), rune(t.rest[n])) {
			n++
		}
	}
	taken := t.rest[:n]
	t.rest = t.rest[n:]
	return taken
}

// both takes one byte from each, if it is the next of each.
func (w *walk) both(c byte) bool {
	if w.a.peek() != c || w.b.peek() != c {
		return false
	}
	w.a.rest, w.b.rest = w.a.rest[1:], w.b.rest[1:]
	return true
}

func (w *walk) value(depth int) bool {
	a, b := w.a.peek(), w.b.peek()
	switch {
	case composite(a) != composite(b), composite(a) && depth == maxDepth:
		return false
	case !composite(a):
		return w.scalars()
	case a != b:
		return false
	case a == '{':
		return w.members(depth)
	}
	return w.items(depth)
}

func composite(c byte) bool { return c == '{' || c == '[' }

func (w *walk) members(depth int) bool {
	w.both('{')
	before := len(w.path)
	for !w.both('}') {
		if w.a.peek() != '"' || w.b.peek() != '"' {
			return false
		}
		key, same := w.a.scalar(), w.b.scalar()
		if !bytes.Equal(key, same) || bytes.IndexByte(key, '\\') >= 0 {
			return false
		}
		if w.path = w.path[:before]; before > 0 {
			w.path = append(w.path, '.')
		}
		w.path = append(w.path, key[1:len(key)-1]...)
		if !w.both(':') || !w.value(depth+1) || w.a.peek() != w.b.peek() {
			return false
		}
		w.both(',')
	}
	w.path = w.path[:before]
	return true
}

func (w *walk) items(depth int) bool {
	w.both('[')
	before := len(w.path)
	w.path = append(w.path, "[]"...)
	for !w.both(']') {
		if w.a.peek() == ']' || w.b.peek() == ']' || !w.value(depth+1) || w.a.peek() != w.b.peek() {
			return false
		}
		w.both(',')
	}
	w.path = w.path[:before]
	return true
}

// scalars compares two that are no maps or lists.
func (w *walk) scalars() bool {
	a, b := w.a.scalar(), w.b.scalar()
	switch {
	case bytes.Equal(a, b):
	case number(a) && number(b):
		w.numbers(string(w.path), json.Number(a), json.Number(b))
	case unclear(a), unclear(b):
		return false
	default:
		x, _ := parsed(a)
		y, _ := parsed(b)
		w.note(named(string(w.path)), math.NaN(), x, y)
	}
	return true
}

func number(scalar []byte) bool { return scalar[0] == '-' || '0' <= scalar[0] && scalar[0] <= '9' }

// unclear says whether a string may be the same as another one that is written otherwise.
func unclear(scalar []byte) bool {
	return bytes.IndexByte(scalar, '\\') >= 0 || !utf8.Valid(scalar)
}
