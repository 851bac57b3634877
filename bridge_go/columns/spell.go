package columns

import "encoding/binary"

const hexDigits = "0123456789abcdef"

// appendString spells a text in JSON as msgspec does: what need not be escaped is not.
func appendString(b, s []byte) []byte {
	b = append(b, '"')
	for {
		n := untilEscape(s)
		b = append(b, s[:n]...)
		if n == len(s) {
			return append(b, '"')
		}
		b = appendEscape(b, s[n])
		s = s[n+1:]
	}
}

// untilEscape is the number of bytes in front of the first that has to be escaped, looked at eight at a time.
func untilEscape(s []byte) int {
	i := 0
	for ; i+8 <= len(s); i += 8 {
		if x := binary.LittleEndian.Uint64(s[i:]); specialBytes(x)&^x != 0 { // but for those that are not ASCII
			break
		}
	}
	for i < len(s) && s[i] >= ' ' && s[i] != '"' && s[i] != '\\' {
		i++
	}
	return i
}

func appendEscape(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\b':
		return append(b, `\b`...)
	case '\f':
		return append(b, `\f`...)
	case '\n':
		return append(b, `\n`...)
	case '\r':
		return append(b, `\r`...)
	case '\t':
		return append(b, `\t`...)
	}
	return append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}
