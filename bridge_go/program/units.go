package program

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"
)

// Duration is a length of time, written as 200ms, 5s or 1m.
type Duration time.Duration

// Size is a number of bytes, written as 512B, 256KiB or 4MiB.
type Size int64

// Workers is a number of processes; 0 is auto.
type Workers int

// Events is a number of events; 0 is auto.
type Events int

// AutoSize is a number of bytes; 0 is auto.
type AutoSize int64

// Setting is a scalar as text, however it was written.
type Setting string

var (
	durationUnits = map[string]int64{"us": 1e3, "ms": 1e6, "s": 1e9, "m": 60e9, "h": 3600e9}
	sizeUnits     = map[string]int64{"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
)

// UnmarshalJSON reads the spelling that the schema allows.
func (d *Duration) UnmarshalJSON(data []byte) error {
	n, err := scaled(data, durationUnits)
	*d = Duration(n)
	return err
}

// UnmarshalJSON reads the spelling that the schema allows.
func (s *Size) UnmarshalJSON(data []byte) error {
	n, err := scaled(data, sizeUnits)
	*s = Size(n)
	return err
}

// UnmarshalJSON reads a number or auto.
func (w *Workers) UnmarshalJSON(data []byte) error { return orAuto(data, (*int)(w)) }

// UnmarshalJSON reads a number or auto.
func (e *Events) UnmarshalJSON(data []byte) error { return orAuto(data, (*int)(e)) }

// UnmarshalJSON reads a size or auto.
func (s *AutoSize) UnmarshalJSON(data []byte) error { return orAuto(data, (*Size)(s)) }

// orAuto leaves 0 for auto.
func orAuto[T int | Size](data []byte, into *T) error {
	if string(data) == `"auto"` {
		*into = 0
		return nil
	}
	return json.Unmarshal(data, into)
}

// UnmarshalJSON keeps text as it is and all else as JSON spells it.
func (s *Setting) UnmarshalJSON(data []byte) error {
	if data[0] == '"' {
		return json.Unmarshal(data, (*string)(s))
	}
	*s = Setting(data)
	return nil
}

// scaled multiplies exactly: 0.1s is 100 ms, not one nanosecond less.
func scaled(data []byte, units map[string]int64) (int64, error) {
	text, err := strconv.Unquote(string(data))
	if err != nil {
		text = string(data)
	}
	digits := strings.TrimRight(text, "BKiMGhmnsu")
	unit, known := units[text[len(digits):]]
	number, ok := new(big.Rat).SetString(digits)
	if !known || !ok {
		return 0, fmt.Errorf("program: %q has no unit of %v", text, units)
	}
	number.Mul(number, new(big.Rat).SetInt64(unit))
	return new(big.Int).Quo(number.Num(), number.Denom()).Int64(), nil
}
