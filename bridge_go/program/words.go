package program

import (
	"fmt"
	"strings"
)

const shown = 40

// quote is the text in double quotes, control characters escaped, cut after 40 characters.
func quote(text string) string {
	runes := []rune(text)
	tail := `"`
	if len(runes) > shown {
		runes, tail = runes[:shown], `..."`
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range runes {
		b.WriteString(escape(r))
	}
	return b.String() + tail
}

func escape(r rune) string {
	switch {
	case r == '"' || r == '\\':
		return `\` + string(r)
	case r == '\n':
		return `\n`
	case r == '\r':
		return `\r`
	case r == '\t':
		return `\t`
	case r < ' ' || r == 0x7f:
		return fmt.Sprintf(`\u%04x`, r)
	}
	return string(r)
}

// unknown says: no stream "departure". Declared: departures, estimates. Did you mean departures?
func unknown(what, name string, known []string, label string) string {
	text := fmt.Sprintf("%s %s. %s: %s.", what, quote(name), label, listed(known))
	if near := nearest(name, known); near != "" {
		text += fmt.Sprintf(" Did you mean %s?", near)
	}
	return text
}

func listed(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// nearest is the name that is closest in spelling, if one is close enough; of equals the first.
func nearest(word string, names []string) string {
	best, least := "", max(1, (len([]rune(word))+1)/3)+1
	for _, name := range names {
		if steps := distance(strings.ToLower(word), strings.ToLower(name)); steps < least {
			best, least = name, steps
		}
	}
	return best
}

// distance is optimal string alignment: insertions, deletions, replacements and swaps of neighbours.
func distance(word, name string) int {
	a, b := []rune(word), []rune(name)
	var before []int
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range a {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range b {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}

// Unknown is the sentence about a name that is none of the known ones, with the nearest of them; label heads their list.
func Unknown(what, name string, known []string, label string) string {
	return unknown(what, name, known, label)
}
