package columns

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

func skipSpace(p []byte, i int) int {
	for i < len(p) && (p[i] == ' ' || p[i] == '\n' || p[i] == '\t' || p[i] == '\r') {
		i++
	}
	return i
}

func skipWord(p []byte, i int, word string) int {
	if len(p)-i < len(word) || string(p[i:i+len(word)]) != word {
		return none
	}
	return i + len(word)
}

// string reads a JSON string. The text lies in the payload, or in the builder's own memory until the next call.
func (b *Builder) string(p []byte, i int) ([]byte, int) {
	if i >= len(p) || p[i] != '"' {
		return nil, none
	}
	i++
	end := skipPlain(p, i)
	if end < len(p) && p[end] == '"' {
		return p[i:end], end + 1
	}
	return b.hardString(p, i, end)
}

// skipPlain steps over characters that stand for themselves and are ASCII, eight at a time.
func skipPlain(p []byte, i int) int {
	for ; i+8 <= len(p); i += 8 {
		if special := specialBytes(binary.LittleEndian.Uint64(p[i:])); special != 0 {
			return i + bits.TrailingZeros64(special)/8
		}
	}
	for i < len(p) && p[i] >= ' ' && p[i] != '"' && p[i] != '\\' && p[i] < utf8.RuneSelf {
		i++
	}
	return i
}

// specialBytes has the highest bit of each byte set that is a quote, a backslash, a control character or not ASCII. A byte
// behind a special one may be marked wrongly; only the first is used.
func specialBytes(x uint64) uint64 {
	const (
		ones  = 0x0101010101010101
		highs = 0x8080808080808080
	)
	return (x | (x - ones*' ') | ((x ^ ones*'"') - ones) | ((x ^ ones*'\\') - ones)) & highs
}

// hardString reads a string that begins at i and is plain up to `at`.
func (b *Builder) hardString(p []byte, i, at int) ([]byte, int) {
	copied := false
	for {
		for at < len(p) && p[at] >= ' ' && p[at] != '"' && p[at] != '\\' {
			at++
		}
		if at == len(p) || p[at] < ' ' {
			return nil, none
		}
		if !copied {
			b.text, copied = b.text[:0], true
		}
		b.text = append(b.text, p[i:at]...)
		if p[at] == '"' {
			if !utf8.Valid(b.text) {
				return nil, none
			}
			return b.text, at + 1
		}
		if at = b.escape(p, at+1); at == none {
			return nil, none
		}
		i = at
	}
}

// escape appends the character that is escaped at i, behind the backslash.
func (b *Builder) escape(p []byte, i int) int {
	if i == len(p) {
		return none
	}
	switch c := p[i]; c {
	case '"', '\\', '/':
		b.text = append(b.text, c)
	case 'b':
		b.text = append(b.text, '\b')
	case 'f':
		b.text = append(b.text, '\f')
	case 'n':
		b.text = append(b.text, '\n')
	case 'r':
		b.text = append(b.text, '\r')
	case 't':
		b.text = append(b.text, '\t')
	case 'u':
		return b.escapedRune(p, i+1)
	default:
		return none
	}
	return i + 1
}

// escapedRune appends a character that is written as four hexadecimal digits, or as a pair of surrogates.
func (b *Builder) escapedRune(p []byte, i int) int {
	r := readHex(p, i)
	i += 4
	if utf16.IsSurrogate(r) {
		if i+2 > len(p) || p[i] != '\\' || p[i+1] != 'u' {
			return none
		}
		r = utf16.DecodeRune(r, readHex(p, i+2))
		if r == utf8.RuneError {
			return none
		}
		i += 6
	}
	if r < 0 {
		return none
	}
	b.text = utf8.AppendRune(b.text, r)
	return i
}

// readHex is none where there are no four digits.
func readHex(p []byte, i int) (r rune) {
	if i+4 > len(p) {
		return none
	}
	for _, c := range p[i : i+4] {
		switch {
		case '0' <= c && c <= '9':
			r = r<<4 | rune(c-'0')
		case 'a' <= c && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case 'A' <= c && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return none
		}
	}
	return r
}
