package sql

import "strings"

// TableName takes a table's name apart: flights, public.flights, or parts in double quotes: "my schema"."Flights". The parts
// are to be quoted again, as they stand: names without quotes are in lower case in most databases.
func TableName(name string) ([]string, error) {
	var parts []string
	rest := name
	for {
		part, after, ok := namePart(rest)
		if !ok {
			return nil, Errorf(BadParameters, `%q names no table: expected table, schema.table or "Quoted Name"`, name)
		}
		parts = append(parts, part)
		if after == "" {
			return parts, nil
		}
		rest = after[1:]
	}
}

// namePart is the first part of a name, and the rest with its dot.
func namePart(text string) (part, rest string, ok bool) {
	if !strings.HasPrefix(text, `"`) {
		end := strings.IndexAny(text, `."`)
		if end < 0 {
			end = len(text)
		}
		part, rest = text[:end], text[end:]
		return part, rest, part != "" && (rest == "" || rest[0] == '.') && !strings.ContainsRune(part, 0)
	}
	for end := 1; end < len(text); end++ {
		switch {
		case text[end] != '"':
		case strings.HasPrefix(text[end+1:], `"`):
			end++
		default:
			part, rest = strings.ReplaceAll(text[1:end], `""`, `"`), text[end+1:]
			return part, rest, part != "" && (rest == "" || rest[0] == '.') && !strings.ContainsRune(part, 0)
		}
	}
	return "", "", false
}
