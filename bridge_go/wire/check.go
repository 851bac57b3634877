package wire

import "unicode/utf8"

// A walk goes over a frame once, value by value, without recursion and without allocating. What it lets pass is one
// msgpack array of legal bytes within the limits, so that whoever reads fields afterwards needs no bounds of its own.
type walk struct {
	b      []byte
	at     int
	budget uint64           // values that the frame may still announce
	left   [MaxDepth]uint64 // items still to come, by depth
	depth  int              // arrays that are open
}

// check judges a frame's structure.
func check(frame []byte) *Error {
	w := walk{b: frame, budget: MaxValues - 1}
	if h, ok := readHead(frame); ok && h.kind != kindArray {
		return malformed("", "a frame is an array, not %v", h.kind)
	}
	for {
		if err := w.value(); err != nil {
			err.At = w.place()
			return err
		}
		for w.depth > 0 && w.left[w.depth-1] == 0 {
			w.depth--
		}
		if w.depth == 0 {
			break
		}
		w.left[w.depth-1]--
	}
	if rest := len(frame) - w.at; rest > 0 {
		return malformed(place(frame, -1), "%d bytes after the frame", rest)
	}
	return nil
}

// value takes one scalar, or opens an array.
func (w *walk) value() *Error {
	h, ok := readHead(w.b[w.at:])
	if !ok {
		return malformed("", "the frame ends in the middle of a value")
	}
	switch h.kind {
	case kindMap, kindExt, kindIllegal:
		return malformed("", "%v is not allowed", h.kind)
	case kindInt:
		if !h.neg && h.n > maxInt {
			return malformed("", "%d is above 2^63-1", h.n)
		}
	case kindArray:
		return w.open(h)
	}
	if h.body() > uint64(len(w.b)-w.at-h.size) {
		return malformed("", "the frame ends in the middle of a value")
	}
	start := w.at + h.size
	w.at = start + int(h.body())
	if h.kind == kindStr && !utf8.Valid(w.b[start:w.at]) {
		return malformed("", "a str is not UTF-8")
	}
	return nil
}

func (w *walk) open(h head) *Error {
	if w.depth == MaxDepth {
		return overLimit("", "nested deeper than %d", MaxDepth)
	}
	if h.n > w.budget {
		return overLimit("", "more than %d values in a frame", MaxValues)
	}
	if h.n > uint64(len(w.b)-w.at-h.size) { // each item is at least a byte: no need to walk to the end to know
		w.at += h.size
		return malformed("", "the frame ends in the middle of an array")
	}
	w.budget -= h.n
	w.left[w.depth] = h.n
	w.depth++
	w.at += h.size
	return nil
}

// place names the field in which the walk stands.
func (w *walk) place() string {
	if w.depth == 0 {
		return place(w.b, -1)
	}
	top, _ := readHead(w.b)
	return place(w.b, int(top.n-w.left[0])-1)
}

// place names the type of a frame and the field at an index of its array, as far as they can be read.
func place(frame []byte, index int) string {
	t, ok := typeOf(frame)
	if !ok || !t.known() {
		return ""
	}
	if index >= 1 && index <= len(kinds[t].fields) {
		return kinds[t].name + "." + kinds[t].fields[index-1]
	}
	return kinds[t].name
}

// typeOf reads the type of a frame; it is false when there is none.
func typeOf(frame []byte) (Type, bool) {
	top, ok := readHead(frame)
	if !ok || top.kind != kindArray || top.n == 0 {
		return 0, false
	}
	t, ok := readHead(frame[top.size:])
	if !ok || t.kind != kindInt || t.neg || t.n > maxInt {
		return 0, false
	}
	return Type(t.n), true
}
