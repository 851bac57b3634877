package front

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"unicode/utf8"
)

// maxNesting bounds how deep a row may be nested; a bit in a word stands for each level.
const maxNesting = 64

// A span is where a row lies in a body.
type span struct{ from, to int }

// A syntaxError says where a body stops being JSON.
type syntaxError struct {
	offset int
	what   string
}

func (e *syntaxError) Error() string {
	return fmt.Sprintf("malformed JSON at byte %d: %s", e.offset, e.what)
}

// scanRows finds the rows of a body: one JSON object, or a list of values. It is strict (RFC 8259, UTF-8, no more than one
// value), so that what it gives to a worker as one row is one value to every parser; but it reads no field.
func scanRows(body []byte, rows []span) (found []span, list bool, err *syntaxError) {
	i := skipSpace(body, 0)
	if i == len(body) {
		return nil, false, &syntaxError{i, "the body is empty. Send a JSON object, or a list of them"}
	}
	switch body[i] {
	case '{':
		end, err := skipValue(body, i)
		if err != nil {
			return nil, false, err
		}
		return append(rows, span{i, end}), false, nothingMore(body, end)
	case '[':
		rows, end, err := scanList(body, i+1, rows)
		if err != nil {
			return nil, true, err
		}
		return rows, true, nothingMore(body, end)
	}
	return nil, false, &syntaxError{i, "a JSON object, or a list of them, is expected"}
}

func nothingMore(body []byte, end int) *syntaxError {
	if i := skipSpace(body, end); i < len(body) {
		return &syntaxError{i, "more than one value"}
	}
	return nil
}

// scanList finds the items from behind the opening bracket.
func scanList(b []byte, i int, rows []span) ([]span, int, *syntaxError) {
	if i = skipSpace(b, i); i < len(b) && b[i] == ']' {
		return rows, i + 1, nil
	}
	for {
		i = skipSpace(b, i)
		end, err := skipValue(b, i)
		if err != nil {
			return nil, 0, err
		}
		rows = append(rows, span{i, end})
		if i = skipSpace(b, end); i == len(b) {
			return nil, 0, &syntaxError{i, "the list does not end"}
		}
		switch b[i] {
		case ']':
			return rows, i + 1, nil
		case ',':
			i++
		default:
			return nil, 0, &syntaxError{i, "a comma or ] is expected"}
		}
	}
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// skipValue returns the end of the value that starts at i. It does not recurse: objects holds a bit a level.
func skipValue(b []byte, i int) (int, *syntaxError) {
	var objects uint64
	depth := 0
	for {
		var err *syntaxError
		opened := false
		i, opened, err = openOrSkip(b, skipSpace(b, i))
		if err != nil {
			return 0, err
		}
		if opened {
			if depth == maxNesting {
				return 0, &syntaxError{i - 1, "nested too deep"}
			}
			objects <<= 1
			if b[i-1] == '{' {
				objects |= 1
			}
			depth++
			closing := byte(']')
			if objects&1 == 1 {
				closing = '}'
			}
			if i = skipSpace(b, i); i < len(b) && b[i] == closing {
				depth, objects, i = depth-1, objects>>1, i+1
			} else if objects&1 == 1 {
				if i, err = skipName(b, i); err != nil {
					return 0, err
				}
				continue
			} else {
				continue
			}
		}
		for {
			if depth == 0 {
				return i, nil
			}
			if i = skipSpace(b, i); i == len(b) {
				return 0, &syntaxError{i, "the value does not end"}
			}
			if b[i] == ',' {
				if i++; objects&1 == 1 {
					if i, err = skipName(b, skipSpace(b, i)); err != nil {
						return 0, err
					}
				}
				break
			}
			if objects&1 == 1 && b[i] != '}' || objects&1 == 0 && b[i] != ']' {
				return 0, &syntaxError{i, "a comma or the end of the object or list is expected"}
			}
			depth, objects, i = depth-1, objects>>1, i+1
		}
	}
}

// openOrSkip steps over a scalar, or into an object or list.
func openOrSkip(b []byte, i int) (next int, opened bool, err *syntaxError) {
	if i == len(b) {
		return 0, false, &syntaxError{i, "a value is expected"}
	}
	switch c := b[i]; {
	case c == '"':
		next, err = skipString(b, i)
	case c == '{' || c == '[':
		return i + 1, true, nil
	case c == '-' || '0' <= c && c <= '9':
		next, err = skipNumber(b, i)
	case c == 't':
		next, err = skipWord(b, i, "true")
	case c == 'f':
		next, err = skipWord(b, i, "false")
	case c == 'n':
		next, err = skipWord(b, i, "null")
	default:
		err = &syntaxError{i, "a value is expected"}
	}
	return next, false, err
}

// skipName steps over a name and its colon.
func skipName(b []byte, i int) (int, *syntaxError) {
	if i == len(b) || b[i] != '"' {
		return 0, &syntaxError{i, "a name in double quotes is expected"}
	}
	i, err := skipString(b, i)
	if err != nil {
		return 0, err
	}
	if i = skipSpace(b, i); i == len(b) || b[i] != ':' {
		return 0, &syntaxError{i, "a colon is expected"}
	}
	return i + 1, nil
}

func skipWord(b []byte, i int, word string) (int, *syntaxError) {
	if len(b)-i < len(word) || string(b[i:i+len(word)]) != word {
		return 0, &syntaxError{i, "a value is expected"}
	}
	return i + len(word), nil
}

func skipNumber(b []byte, i int) (int, *syntaxError) {
	if b[i] == '-' {
		i++
	}
	if i < len(b) && b[i] == '0' {
		i++
	} else if i = skipDigits(b, i); i < 0 {
		return 0, &syntaxError{^i, "a digit is expected"}
	}
	if i < len(b) && b[i] == '.' {
		if i = skipDigits(b, i+1); i < 0 {
			return 0, &syntaxError{^i, "a digit is expected"}
		}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if i = skipDigits(b, i); i < 0 {
			return 0, &syntaxError{^i, "a digit is expected"}
		}
	}
	return i, nil
}

// skipDigits steps over at least one digit; where there is none it returns the complement of the place.
func skipDigits(b []byte, i int) int {
	from := i
	for i < len(b) && '0' <= b[i] && b[i] <= '9' {
		i++
	}
	if i == from {
		return ^i
	}
	return i
}

// skipString steps over a string, eight bytes at a time while they are plain.
func skipString(b []byte, i int) (int, *syntaxError) {
	start := i
	i++
	for {
		for i+8 <= len(b) {
			special := specialBytes(binary.LittleEndian.Uint64(b[i:]))
			if special != 0 {
				i += bits.TrailingZeros64(special) / 8
				break
			}
			i += 8
		}
		if i == len(b) {
			return 0, &syntaxError{start, "the string does not end"}
		}
		switch c := b[i]; {
		case c == '"':
			return i + 1, nil
		case c == '\\':
			next, err := skipEscape(b, i+1)
			if err != nil {
				return 0, err
			}
			i = next
		case c < ' ':
			return 0, &syntaxError{i, "a control character in a string"}
		case c < utf8.RuneSelf:
			i++
		default:
			r, size := utf8.DecodeRune(b[i:])
			if r == utf8.RuneError && size == 1 {
				return 0, &syntaxError{i, "not UTF-8"}
			}
			i += size
		}
	}
}

// specialBytes has the highest bit of each byte set that is a quote, a backslash, a control character or not ASCII. A byte
// behind a special one may be marked wrongly; only the first is used.
func specialBytes(x uint64) uint64 {
	const (
		ones  = 0x0101010101010101
		highs = 0x8080808080808080
	)
	quote, slash := x^(ones*'"'), x^(ones*'\\')
	return ((quote - ones) &^ quote & highs) | ((slash - ones) &^ slash & highs) | ((x - ones*' ') &^ x & highs) | x&highs
}

func skipEscape(b []byte, i int) (int, *syntaxError) {
	if i == len(b) {
		return 0, &syntaxError{i, "the string does not end"}
	}
	switch b[i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 1, nil
	case 'u':
		for k := 1; k <= 4; k++ {
			if i+k >= len(b) || !isHex(b[i+k]) {
				return 0, &syntaxError{i + k, "four hexadecimal digits are expected"}
			}
		}
		return i + 5, nil
	}
	return 0, &syntaxError{i, "no such escape"}
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}
