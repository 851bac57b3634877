package postgres

import (
	"encoding/binary"
	"errors"
	"math/bits"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
)

// numericAs says what a numeric becomes whose digits the column does not bound.
type numericAs string

const (
	numericText  numericAs = "text"    // loses nothing
	numericFloat numericAs = "float64" // the nearest one
)

var (
	errNumeric  = errors.New("not a numeric")
	errNotANum  = errors.New("NaN and infinity are no decimals: cast the column to float8 or text")
	errTooLarge = errors.New("more digits than its declaration says")
)

// powers of ten, as far as one base-10000 digit needs them.
var powers = [...]uint64{1, 10, 100, 1000, 10000}

// decimalOf reads a numeric as the protocol sends it (digits of base 10000, the first worth 10000^weight) as a whole
// number of units of 10^-scale.
func decimalOf(raw []byte, scale int) (decimal128.Num, error) {
	if len(raw) < 8 {
		return decimal128.Num{}, errNumeric
	}
	n := int(binary.BigEndian.Uint16(raw))
	weight, sign := int(int16(binary.BigEndian.Uint16(raw[2:]))), binary.BigEndian.Uint16(raw[4:])
	if sign != 0 && sign != 0x4000 {
		return decimal128.Num{}, errNotANum
	}
	if len(raw) != 8+2*n {
		return decimal128.Num{}, errNumeric
	}
	var u units
	unit := 4*weight + scale // ten to this is what the digit at hand is worth
	for i := range n {
		digit := uint64(binary.BigEndian.Uint16(raw[8+2*i:]))
		if err := u.take(digit, unit); err != nil {
			return decimal128.Num{}, err
		}
		unit -= 4
	}
	for ; n > 0 && unit+4 > 0; unit-- { // the zeros behind the last digit sent
		if !u.scale(10, 0) {
			return decimal128.Num{}, errTooLarge
		}
	}
	num := decimal128.New(int64(u.hi), u.lo)
	if sign != 0 {
		num = num.Negate()
	}
	return num, nil
}

// units is a number below 2^127.
type units struct{ hi, lo uint64 }

func (u *units) take(digit uint64, unit int) error {
	fits := true
	switch {
	case unit >= 0:
		fits = u.scale(10000, digit)
	case unit > -4: // only a part of this digit lies before the last place
		drop := powers[-unit]
		fits = digit%drop == 0 && u.scale(powers[4+unit], digit/drop)
	default:
		fits = digit == 0
	}
	if !fits {
		return errTooLarge
	}
	return nil
}

// scale multiplies and adds; false when the number would not fit.
func (u *units) scale(by, add uint64) bool {
	over, hi := bits.Mul64(u.hi, by)
	carry, lo := bits.Mul64(u.lo, by)
	lo, c := bits.Add64(lo, add, 0)
	hi, c2 := bits.Add64(hi, carry, c)
	u.hi, u.lo = hi, lo
	return over == 0 && c2 == 0 && hi < 1<<63
}
