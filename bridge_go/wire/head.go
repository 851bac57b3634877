package wire

import "encoding/binary"

// A kind is a family of msgpack encodings. Those that the protocol does not use are named too, for the error text.
type kind uint8

const (
	kindNil kind = iota
	kindBool
	kindInt
	kindFloat
	kindStr
	kindBin
	kindArray
	kindMap
	kindExt
	kindIllegal // 0xc1
)

var kindNames = [...]string{"nil", "a bool", "an int", "a float", "a str", "a bin", "an array", "a map", "an ext", "byte 0xc1"}

func (k kind) String() string { return kindNames[k] }

// A head is the start of one msgpack value: all of a scalar, the length of everything else.
type head struct {
	kind kind
	neg  bool   // of an int: n is its two's complement
	size int    // bytes of the head itself
	n    uint64 // an int's or bool's value; the length of str, bin and ext; the items of an array; the pairs of a map
}

// body is the number of bytes that follow the head and belong to it.
func (h head) body() uint64 {
	if h.kind == kindStr || h.kind == kindBin {
		return h.n
	}
	return 0
}

// readHead reads the head at the start of b. It is false when b ends inside the head.
func readHead(b []byte) (head, bool) {
	if len(b) == 0 {
		return head{}, false
	}
	switch c := b[0]; {
	case c <= 0x7f:
		return head{kind: kindInt, size: 1, n: uint64(c)}, true
	case c <= 0x8f:
		return head{kind: kindMap, size: 1, n: uint64(c & 0x0f)}, true
	case c <= 0x9f:
		return head{kind: kindArray, size: 1, n: uint64(c & 0x0f)}, true
	case c <= 0xbf:
		return head{kind: kindStr, size: 1, n: uint64(c & 0x1f)}, true
	case c >= 0xe0:
		return head{kind: kindInt, neg: true, size: 1, n: uint64(int64(int8(c)))}, true
	default:
		return readWide(b, wide[c-0xc0])
	}
}

// wide describes the bytes 0xc0 to 0xdf: the kind, and how many bytes of value or length follow.
var wide = [32]struct {
	kind   kind
	bytes  uint8
	signed bool
}{
	0x00: {kindNil, 0, false}, 0x01: {kindIllegal, 0, false}, 0x02: {kindBool, 0, false}, 0x03: {kindBool, 0, false},
	0x04: {kindBin, 1, false}, 0x05: {kindBin, 2, false}, 0x06: {kindBin, 4, false},
	0x07: {kindExt, 1, false}, 0x08: {kindExt, 2, false}, 0x09: {kindExt, 4, false},
	0x0a: {kindFloat, 4, false}, 0x0b: {kindFloat, 8, false},
	0x0c: {kindInt, 1, false}, 0x0d: {kindInt, 2, false}, 0x0e: {kindInt, 4, false}, 0x0f: {kindInt, 8, false},
	0x10: {kindInt, 1, true}, 0x11: {kindInt, 2, true}, 0x12: {kindInt, 4, true}, 0x13: {kindInt, 8, true},
	0x14: {kindExt, 0, false}, 0x15: {kindExt, 0, false}, 0x16: {kindExt, 0, false}, 0x17: {kindExt, 0, false}, 0x18: {kindExt, 0, false},
	0x19: {kindStr, 1, false}, 0x1a: {kindStr, 2, false}, 0x1b: {kindStr, 4, false},
	0x1c: {kindArray, 2, false}, 0x1d: {kindArray, 4, false},
	0x1e: {kindMap, 2, false}, 0x1f: {kindMap, 4, false},
}

func readWide(b []byte, w struct {
	kind   kind
	bytes  uint8
	signed bool
}) (head, bool) {
	h := head{kind: w.kind, size: 1 + int(w.bytes)}
	if len(b) < h.size {
		return head{}, false
	}
	switch w.bytes {
	case 0:
		h.n = uint64(b[0] & 1) // of 0xc2 and 0xc3; nothing else looks at it
	case 1:
		h.n = signed(uint64(b[1]), 56, w.signed)
	case 2:
		h.n = signed(uint64(binary.BigEndian.Uint16(b[1:])), 48, w.signed)
	case 4:
		h.n = signed(uint64(binary.BigEndian.Uint32(b[1:])), 32, w.signed)
	case 8:
		h.n = binary.BigEndian.Uint64(b[1:])
	}
	h.neg = w.signed && int64(h.n) < 0
	return h, true
}

// signed widens a signed integer of 64-shift bits.
func signed(n uint64, shift uint, is bool) uint64 {
	if !is {
		return n
	}
	return uint64(int64(n<<shift) >> shift)
}
