package columns

import (
	"encoding/binary"
	"math"
	"math/bits"
	"strconv"
)

// longestNumber bounds the bytes of a number: Python's limit for integers is 4,300 digits, and what is longer than this is hostile.
const longestNumber = 400

// A number is what a token says: digits times ten to the exponent.
type number struct {
	digits   uint64 // of no use when there are more than 19
	exponent int
	n        int // digits, leading zeros included
	negative bool
	whole    bool // neither a point nor an exponent
	end      int  // behind it; none when it is no number
}

// scanNumber reads a token by the grammar of JSON.
func scanNumber(p []byte, i int) (x number) {
	if i < len(p) && p[i] == '-' {
		x.negative = true
		i++
	}
	from := i
	x.digits, i = scanDigits(p, i, 0)
	x.n, x.whole = i-from, true
	if x.end = i; x.n == 0 || x.n > 1 && p[from] == '0' {
		x.end = none
		return x
	}
	if i < len(p) && (p[i] == '.' || p[i]|0x20 == 'e') {
		x.scanRest(p, i)
	}
	return x
}

// scanRest reads what makes a number a float.
func (x *number) scanRest(p []byte, i int) {
	x.whole = false
	if p[i] == '.' {
		from := i + 1
		if x.digits, i = scanDigits(p, from, x.digits); i == from {
			x.end = none
			return
		}
		x.n += i - from
		x.exponent = from - i
	}
	if x.end = i; i < len(p) && p[i]|0x20 == 'e' {
		x.scanExponent(p, i+1)
	}
}

func (x *number) scanExponent(p []byte, i int) {
	negative := false
	if i < len(p) && (p[i] == '+' || p[i] == '-') {
		negative = p[i] == '-'
		i++
	}
	e, end := scanDigits(p, i, 0)
	if n := end - i; n == 0 || n > 4 {
		x.end = none
		return
	}
	if x.end = end; negative {
		e = -e
	}
	x.exponent += int(e)
}

// scanDigits reads digits behind those that are in v already, eight at a time where there are as many bytes.
func scanDigits(p []byte, i int, v uint64) (uint64, int) {
	for i+8 <= len(p) {
		const (
			zeros = 0x3030303030303030
			highs = 0x8080808080808080
			tens  = 0x7676767676767676 // what lifts 10 to the highest bit
		)
		digits := binary.LittleEndian.Uint64(p[i:]) ^ zeros
		others := (digits | (digits + tens)) & highs
		if others == 0 {
			v = v*1e8 + eightDigits(digits)
			i += 8
			continue
		}
		n := bits.TrailingZeros64(others) / 8
		if n == 0 {
			return v, i
		}
		return v*wholePowers[n] + eightDigits(digits<<(64-8*n)), i + n
	}
	for i < len(p) && p[i]-'0' <= 9 {
		v = v*10 + uint64(p[i]-'0')
		i++
	}
	return v, i
}

var wholePowers = [8]uint64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7}

// eightDigits is the number whose digits are the bytes of x, the lowest first: pairs, then fours, then all.
func eightDigits(x uint64) uint64 {
	const mask = 0x000000ff000000ff
	x = x*10 + x>>8
	return uint64(uint32(((x&mask)*(100+1000000<<32) + (x>>16&mask)*(1+10000<<32)) >> 32))
}

// readInt reads an integer within int64: no point and no exponent, even where the value is whole.
func readInt(p []byte, i int) (int64, int) {
	x := scanNumber(p, i)
	switch {
	case x.end == none || !x.whole || x.n > 19:
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
	x := scanNumber(p, i)
	if x.end == none || x.end-i > longestNumber {
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
