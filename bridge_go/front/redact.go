package front

import "encoding/json"

// hidden are the names of fields that a class keeps out of logs, x-log in its schema. A name counts wherever it stands: rather hide a
// field of the same name in another class than show one.
type hidden map[string]bool

const hiddenValue = `"(hidden)"`

// hiddenOf collects them from a JSON Schema; nil for none.
func hiddenOf(raw json.RawMessage) hidden {
	var document any
	if json.Unmarshal(raw, &document) != nil {
		return nil
	}
	h := hidden{}
	h.collect(document)
	if len(h) == 0 {
		return nil
	}
	return h
}

func (h hidden) collect(node any) {
	switch node := node.(type) {
	case map[string]any:
		if properties, ok := node["properties"].(map[string]any); ok {
			for name, field := range properties {
				if field, ok := field.(map[string]any); ok && field["x-log"] == false {
					h[name] = true
				}
			}
		}
		for _, below := range node {
			h.collect(below)
		}
	case []any:
		for _, below := range node {
			h.collect(below)
		}
	}
}

// redact appends a JSON value without the values of hidden fields. What is no JSON is hidden whole, where anything is.
func (h hidden) redact(to, value []byte) []byte {
	if len(h) == 0 {
		return append(to, value...)
	}
	end, err := skipValue(value, skipSpace(value, 0))
	if err != nil || skipSpace(value, end) != len(value) {
		return append(to, hiddenValue...)
	}
	at := 0
	for i := skipSpace(value, 0); i < len(value); i++ {
		if value[i] != '"' {
			continue
		}
		end, _ := skipString(value, i)
		colon := skipSpace(value, end)
		if colon < len(value) && value[colon] == ':' && h[string(unquoted(value[i:end]))] {
			from := skipSpace(value, colon+1)
			to = append(append(to, value[at:from]...), hiddenValue...)
			at, _ = skipValue(value, from)
			end = at
		}
		i = end - 1
	}
	return append(to, value[at:]...)
}
