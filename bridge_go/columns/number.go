package columns

import (
	"math"
	"strconv"
)

// longestNumber bounds the bytes of a number: Python's limit for integers is 4,300 digits, and what is longer than this is hostile.
const longestNumber = 400

// A number is what a token says: digits times ten to the exponent.
type number struct {
	digits   uint64 // of no use when there are more than 19
	exponent int
	n        int // digits, without leading zeros
	negative bool
	whole    bool // neither a point nor an exponent
	end      int
}

// scanNumber reads a token by the grammar of JSON.
func scanNumber(p []byte, i int) (x number, ok bool) {
	start := i
	if i < len(p) && p[i] == '-' {
		x.negative = true
		i++
	}
	from := i
	i = x.scanDigits(p, i)
	if i == from || p[from] == '0' && i > from+1 {
		return x, false
	}
	x.whole = true
	if i < len(p) && p[i] == '.' {
		x.whole = false
		from = i + 1
		if i = x.scanDigits(p, from); i == from {
			return x, false
		}
		x.exponent = from - i
	}
	if i < len(p) && p[i]|0x20 == 'e' {
		x.whole = false
		if i, ok = x.scanExponent(p, i+1); !ok {
			return x, false
		}
	}
	x.end = i
	return x, i-start <= longestNumber
}

func (x *number) scanDigits(p []byte, i int) int {
	for i < len(p) && p[i]-'0' <= 9 {
		if x.n > 0 || p[i] != '0' {
			x.n++
		}
		x.digits = x.digits*10 + uint64(p[i]-'0')
		i++
	}
	return i
}

func (x *number) scanExponent(p []byte, i int) (int, bool) {
	negative := false
	if i < len(p) && (p[i] == '+' || p[i] == '-') {
		negative = p[i] == '-'
		i++
	}
	from, e := i, 0
	for i < len(p) && p[i]-'0' <= 9 && i-from < 5 {
		e = e*10 + int(p[i]-'0')
		i++
	}
	if negative {
		e = -e
	}
	x.exponent += e
	return i, i > from && i-from < 5
}

// readInt reads an integer within int64: no point and no exponent, even where the value is whole.
func readInt(p []byte, i int) (int64, int) {
	x, ok := scanNumber(p, i)
	switch {
	case !ok || !x.whole || x.n > 19:
		return 0, none
	case !x.negative && x.digits <= math.MaxInt64:
		return int64(x.digits), x.end
	case x.negative && x.digits <= 1<<63:
		return -int64(x.digits), x.end
	}
	return 0, none
}

var powersOfTen = [...]float64{
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
}

// readFloat reads a number as the nearest float64; one that has none is refused.
func readFloat(p []byte, i int) (float64, int) {
	x, ok := scanNumber(p, i)
	if !ok {
		return 0, none
	}
	if x.n <= 19 && x.digits < 1<<53 && -22 <= x.exponent && x.exponent <= 22 {
		return x.exact(), x.end
	}
	v, err := strconv.ParseFloat(string(p[i:x.end]), 64)
	if err != nil {
		return 0, none
	}
	return v, x.end
}

// exact is the value where digits and power are floats without an error: the quotient or product is then the nearest float.
func (x *number) exact() float64 {
	v := float64(x.digits)
	if x.exponent < 0 {
		v /= powersOfTen[-x.exponent]
	} else {
		v *= powersOfTen[x.exponent]
	}
	if x.negative && (v != 0 || !x.whole) { // the integer -0 is 0, as in Python
		return -v
	}
	return v
}
