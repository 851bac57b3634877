package front

import (
	"encoding/json"

	"ds-runner.dev/ds-runner/bridge_go/plainjson"
)

// These go through JSON that scanRows has read: each value ends, and each object and list is well formed. They make nothing of what
// nobody asks for.

// eachMember goes through the members of an object; a name that comes twice comes twice here too. What is no object has no members, and
// is none.
func eachMember(object []byte, do func(name, value []byte) *problem) (is bool, p *problem) {
	if len(object) == 0 || object[0] != '{' {
		return false, nil
	}
	for i := skipSpace(object, 1); object[i] != '}'; i = skipSpace(object, i) {
		if object[i] == ',' {
			i = skipSpace(object, i+1)
		}
		from := i
		behind, _ := skipString(object, i)
		name := unquoted(object[from:behind])
		i, _ = skipName(object, from)
		from = skipSpace(object, i)
		i, _ = skipValue(object, from)
		if p := do(name, object[from:i]); p != nil {
			return true, p
		}
	}
	return true, nil
}

// eachItem goes through a list that may be null.
func eachItem(list []byte, do func(item []byte) *problem) (is bool, p *problem) {
	if string(list) == "null" {
		return true, nil
	}
	if len(list) == 0 || list[0] != '[' {
		return false, nil
	}
	for i := skipSpace(list, 1); list[i] != ']'; i = skipSpace(list, i) {
		if list[i] == ',' {
			i = skipSpace(list, i+1)
		}
		from := i
		i, _ = skipValue(list, i)
		if p := do(list[from:i]); p != nil {
			return true, p
		}
	}
	return true, nil
}

// textIn reads a string, or null as an empty one.
func textIn(value []byte) (text string, is bool) {
	if string(value) == "null" {
		return "", true
	}
	if value[0] != '"' {
		return "", false
	}
	return string(unquoted(value)), true
}

// quoted is a text as a JSON string.
func quoted(text []byte) json.RawMessage {
	return plainjson.AppendString(nil, string(text))
}
