package program

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// What a plain scalar of YAML means here: the core schema of YAML 1.2, without what readers disagree about. YAML 1.1
// readers take "no" for false and 0644 for 420, those of 1.2 do not: such words are refused with what to write instead.
// pyrunner/program/scalars.py is the same table.
var (
	intPattern       = regexp.MustCompile(`^[-+]?(0|[1-9][0-9]*)$`)
	floatPattern     = regexp.MustCompile(`^[-+]?(0|[1-9][0-9]*)?(\.[0-9]*)?([eE][-+]?[0-9]+)?$`)
	notFinitePattern = regexp.MustCompile(`^([-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$`)
	oldNumberPattern = regexp.MustCompile(`^[-+]?(0[0-9][0-9_]*|0[xXoObB][0-9a-fA-F_]+|[0-9]+(_[0-9]*)+(\.[0-9_]*)?|[0-9]+(:[0-5]?[0-9])+(\.[0-9]*)?)$`)
	oldBools         = map[string]string{"yes": "true", "on": "true", "no": "false", "off": "false"}
)

// A trouble is why a value is refused.
type trouble struct{ code, text string }

// plainScalar is the value of a scalar written without quotes: nil, bool, int64, float64 or string.
func plainScalar(raw string) (any, *trouble) {
	switch raw {
	case "", "~", "null", "Null", "NULL":
		return nil, nil
	case "true", "True", "TRUE":
		return true, nil
	case "false", "False", "FALSE":
		return false, nil
	}
	if means, old := oldBools[strings.ToLower(raw)]; old && oneCase(raw) {
		return nil, &trouble{"ambiguous", fmt.Sprintf(
			"%s is a boolean to some readers of YAML and text to others. Write %s, or %s for text", raw, means, quote(raw))}
	}
	return plainNumber(raw)
}

func oneCase(raw string) bool {
	low := strings.ToLower(raw)
	return raw == low || raw == strings.ToUpper(raw) || raw == strings.ToUpper(raw[:1])+low[1:]
}

func plainNumber(raw string) (any, *trouble) {
	switch {
	case intPattern.MatchString(raw):
		if n, err := strconv.ParseInt(raw, 10, 64); err == nil {
			return n, nil
		}
		return nil, &trouble{"number", cut(raw) + " does not fit in 64 bits"}
	case oldNumberPattern.MatchString(raw):
		return nil, &trouble{"ambiguous", fmt.Sprintf(
			"%s is not the same number to all readers of YAML. Write a plain decimal number, or %s for text", raw, quote(raw))}
	case notFinitePattern.MatchString(raw):
		return nil, &trouble{"number", raw + " is not a finite number"}
	case strings.ContainsAny(raw, "0123456789") && floatPattern.MatchString(raw):
		return plainFloat(raw)
	}
	return raw, nil
}

func plainFloat(raw string) (any, *trouble) {
	f, err := strconv.ParseFloat(raw, 64)
	switch {
	case math.IsInf(f, 0):
		return nil, &trouble{"number", cut(raw) + " is not a finite number"}
	case err != nil:
		return raw, nil // such as .e5, which no reader takes for a number
	}
	return f, nil
}

func cut(raw string) string { return raw[:min(len(raw), shown)] }
