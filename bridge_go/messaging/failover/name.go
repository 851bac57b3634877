package failover

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// A namer finds what names an event: its key, a header, its whole value, or a field of it.
type namer struct {
	text   string
	header string
	path   []string // of the value; empty for the whole
	key    bool
}

const expressions = "key, header:NAME, value, or value.FIELD.FIELD"

func parseName(text string) (namer, error) {
	n := namer{text: text}
	kind, rest, _ := strings.Cut(text, ":")
	switch {
	case text == "key":
		n.key = true
	case kind == "header" && rest != "":
		n.header = rest
	case text == "value":
	case strings.HasPrefix(text, "value."):
		n.path = strings.Split(strings.TrimPrefix(text, "value."), ".")
		for _, field := range n.path {
			if field == "" {
				return n, fmt.Errorf("id is %q, and a name of a field is empty", text)
			}
		}
	case text == "":
		return n, fmt.Errorf("id is missing: what names an event on both sides, %s", expressions)
	default:
		return n, fmt.Errorf("id is %q, expected %s", text, expressions)
	}
	return n, nil
}

// of is the id of a record. One that has none gets a fault: it cannot be told from the other side's.
func (n *namer) of(r *messaging.Record) id {
	name, found := n.find(r)
	if !found {
		if r.Fault == nil {
			r.Fault = &messaging.Fault{Code: "no_id", Reason: fmt.Sprintf("the event has no %s, by which the connection knows it from the other side's", n.text)}
		}
		return id{}
	}
	sum := sha256.Sum256(name)
	return id(sum[:16])
}

func (n *namer) find(r *messaging.Record) ([]byte, bool) {
	switch {
	case n.key:
		return r.Key, r.Key != nil
	case n.header != "":
		for _, h := range r.Headers {
			if h.Name == n.header {
				return h.Value, h.Value != nil
			}
		}
		return nil, false
	case n.path == nil:
		return r.Value, true
	}
	return field(r.Value, n.path)
}

// field is the scalar at a path of a JSON object, the same however it is written.
func field(value []byte, path []string) ([]byte, bool) {
	for _, name := range path {
		var object map[string]json.RawMessage
		if json.Unmarshal(value, &object) != nil {
			return nil, false
		}
		value = object[name]
	}
	if len(value) == 0 {
		return nil, false
	}
	switch value[0] {
	case '{', '[', 'n':
		return nil, false
	case '"':
		var text string
		if json.Unmarshal(value, &text) != nil {
			return nil, false
		}
		return append([]byte{'"'}, text...), true
	}
	return value, true
}
