package wire

// fields reads the fields of one frame that check has passed. The first error sticks and every later read is zero, so
// that a decode function is a plain list of fields.
type fields struct {
	b    []byte
	size int // of the whole frame
	typ  Type
	name string // of the field being read
	err  *Error
}

// malformed and limit note the first error, at the field being read.
func (f *fields) malformed(format string, args ...any) { f.fail(malformed(f.at(), format, args...)) }
func (f *fields) limit(format string, args ...any)     { f.fail(overLimit(f.at(), format, args...)) }

func (f *fields) fail(err *Error) {
	if f.err == nil {
		f.err = err
	}
}

func (f *fields) at() string { return f.typ.String() + "." + f.name }

// next takes the head of the value to come; of anything but an array, its body is still to be taken.
func (f *fields) next() head {
	if f.err != nil {
		return head{}
	}
	h, ok := readHead(f.b)
	if !ok {
		f.malformed("the frame ends before it")
		return head{}
	}
	f.b = f.b[h.size:]
	return h
}

func (f *fields) take(n uint64) []byte {
	body := f.b[:n:n]
	f.b = f.b[n:]
	return body
}

func (f *fields) expect(h head, k kind) bool {
	if f.err == nil && h.kind != k {
		f.malformed("%v, wants %v", h.kind, k)
	}
	return f.err == nil
}

func (f *fields) uint(name string) uint64 {
	f.name = name
	return f.uintHere()
}

func (f *fields) uintHere() uint64 {
	h := f.next()
	if !f.expect(h, kindInt) {
		return 0
	}
	if h.neg {
		f.malformed("%d, wants 0 or more", int64(h.n))
		return 0
	}
	return h.n
}

func (f *fields) intHere() int64 {
	h := f.next()
	if !f.expect(h, kindInt) {
		return 0
	}
	return int64(h.n)
}

func (f *fields) bool(name string) bool {
	f.name = name
	h := f.next()
	return f.expect(h, kindBool) && h.n == 1
}

// text takes a str of at most limit bytes.
func (f *fields) text(name string, limit int) string {
	f.name = name
	return f.textHere(limit)
}

func (f *fields) textHere(limit int) string {
	h := f.next()
	if !f.expect(h, kindStr) {
		return ""
	}
	if h.n > uint64(limit) {
		f.limit("%d bytes, at most %d", h.n, limit)
		return ""
	}
	return string(f.take(h.n))
}

// label takes a str that names something: it holds no control character.
func (f *fields) label(name string, limit int) string {
	f.name = name
	return f.labelHere(limit)
}

func (f *fields) labelHere(limit int) string {
	s := f.textHere(limit)
	if !isLabel(s) {
		f.malformed("a name holds a control character")
	}
	return s
}

// required is a label that is not empty.
func (f *fields) required(name string) string {
	s := f.label(name, MaxName)
	if s == "" {
		f.malformed("empty")
	}
	return s
}

func isLabel(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] == 0x7f {
			return false
		}
	}
	return true
}

// bin takes a bin, which points into the frame.
func (f *fields) bin(name string, limit int) []byte {
	f.name = name
	h := f.next()
	if !f.expect(h, kindBin) {
		return nil
	}
	if h.n > uint64(limit) {
		f.limit("%d bytes, at most %d", h.n, limit)
		return nil
	}
	return f.take(h.n)
}

// binOrNil takes a bin, or nil for nil; an empty bin is not nil.
func (f *fields) binOrNil() []byte {
	h := f.next()
	if f.err == nil && h.kind == kindNil {
		return nil
	}
	if !f.expect(h, kindBin) {
		return nil
	}
	return f.take(h.n)
}

// array takes the head of an array and gives its length.
func (f *fields) array(name string) int {
	f.name = name
	return f.arrayHere()
}

func (f *fields) arrayHere() int {
	h := f.next()
	if !f.expect(h, kindArray) {
		return 0
	}
	return int(h.n)
}

// arrayOrNil is false for nil.
func (f *fields) arrayOrNil(name string) (int, bool) {
	f.name = name
	if f.isNil() {
		return 0, false
	}
	n := f.arrayHere()
	return n, f.err == nil
}

// isNil takes a nil if one comes.
func (f *fields) isNil() bool {
	if f.err != nil || len(f.b) == 0 || f.b[0] != 0xc0 {
		return false
	}
	f.b = f.b[1:]
	return true
}

// raw takes one whole value as its bytes.
func (f *fields) raw(name string) []byte {
	f.name = name
	if f.err != nil {
		return nil
	}
	n := valueLen(f.b)
	return f.take(uint64(n))
}

// valueLen is the length in bytes of the first value in b, which check has passed.
func valueLen(b []byte) int {
	at := 0
	for open := uint64(1); open > 0; open-- {
		h, _ := readHead(b[at:])
		at += h.size + int(h.body())
		if h.kind == kindArray {
			open += h.n
		}
	}
	return at
}

// sized makes a slice for n items of a frame. check has seen n items of at least a byte each, so that what is reserved
// is at most the size of the item times the bytes received, and bounded by MaxValues.
func sized[T any](f *fields, n int) []T {
	if f.err != nil {
		return nil
	}
	return make([]T, n)
}
