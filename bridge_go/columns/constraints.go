package columns

import (
	"math"
	"unicode/utf8"
)

func (f *field) allowsFloat(v float64) bool {
	return f.low <= v && v <= f.high && (f.step == 0 || v == 0 || math.Mod(v, f.step) == 0)
}

func (f *field) allowsInt(v int64) bool {
	return f.least <= v && v <= f.most && (f.stepInt == 0 || v%f.stepInt == 0)
}

// fits holds a text to the field's lengths and pattern.
func (f *field) fits(text []byte) bool {
	n := utf8.RuneCount(text)
	return f.shortest <= n && n <= f.longest && (f.pattern == nil || printable(text) && f.pattern.Match(text))
}

// printable holds a text to printable ASCII. Beyond that patterns mean one thing in Python and another here: what is a digit, a letter,
// a blank, and where a line ends. So the worker decides.
func printable(text []byte) bool {
	for _, c := range text {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}
