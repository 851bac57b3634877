package front

import "encoding/json"

// keyOf is the name of the field that an event's class marks as its Key, or nothing.
func keyOf(input json.RawMessage) string {
	type properties map[string]struct {
		Key bool `json:"x-key"`
	}
	var s struct {
		Ref        string `json:"$ref"`
		Properties properties
		Defs       map[string]struct{ Properties properties } `json:"$defs"`
	}
	if json.Unmarshal(input, &s) != nil {
		return ""
	}
	const local = "#/$defs/"
	fields := s.Properties
	if len(s.Ref) > len(local) {
		fields = s.Defs[s.Ref[len(local):]].Properties
	}
	for name, field := range fields {
		if field.Key {
			return name
		}
	}
	return ""
}

// valueOf is the value of a field of a row, as written: of a string what stands between the quotes, escapes read; nil where there is
// none. A name that comes twice means its last value, as everywhere. The row is JSON by scanRows, an object or not.
func valueOf(row []byte, name string) (value []byte) {
	found := func(raw []byte) []byte {
		if string(raw) == "null" {
			return nil
		}
		return unquoted(raw)
	}
	i := skipSpace(row, 0)
	if i == len(row) || row[i] != '{' {
		return nil
	}
	for i = skipSpace(row, i+1); i < len(row) && row[i] == '"'; {
		end, err := skipString(row, i)
		if err != nil {
			return nil
		}
		mine := string(unquoted(row[i:end])) == name
		if i, err = skipName(row, i); err != nil {
			return nil
		}
		i = skipSpace(row, i)
		if end, err = skipValue(row, i); err != nil {
			return nil
		}
		if mine {
			value = found(row[i:end])
		}
		if i = skipSpace(row, end); i < len(row) && row[i] == ',' {
			i = skipSpace(row, i+1)
		}
	}
	return value
}

// unquoted is the text of a JSON string; what is none is left as it is.
func unquoted(b []byte) []byte {
	if b[0] != '"' {
		return b
	}
	for _, c := range b {
		if c == '\\' {
			var text string
			_ = json.Unmarshal(b, &text) // scanned before
			return []byte(text)
		}
	}
	return b[1 : len(b)-1]
}
