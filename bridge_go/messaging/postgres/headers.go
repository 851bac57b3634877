package postgres

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// Headers are a JSON array of pairs, in order: [["ds-code","bad"],["trace",{"base64":"AAE="}],["none",null]]. Names and values are
// strings where jsonb can hold them, else {"base64": ...}; an absent value is null.

func writeHeaders(headers []messaging.Header) (string, error) {
	pairs := make([][2]any, len(headers))
	for i, h := range headers {
		pairs[i][0] = text([]byte(h.Name))
		if h.Value != nil {
			pairs[i][1] = text(h.Value)
		}
	}
	out, err := json.Marshal(pairs)
	return string(out), err
}

// text is a string, or an object with base64 for bytes that jsonb has no string for: those that are no UTF-8, and NUL.
func text(data []byte) any {
	if utf8.Valid(data) && bytes.IndexByte(data, 0) < 0 {
		return string(data)
	}
	return map[string]string{"base64": base64.StdEncoding.EncodeToString(data)}
}

func readHeaders(data []byte) ([]messaging.Header, error) {
	var pairs [][2]json.RawMessage
	if err := json.Unmarshal(data, &pairs); err != nil {
		return nil, fmt.Errorf("headers are no array of pairs: %w", err)
	}
	headers := make([]messaging.Header, len(pairs))
	for i, pair := range pairs {
		name, err := untext(pair[0])
		if err != nil {
			return nil, fmt.Errorf("header %d: %w", i, err)
		}
		value, err := untext(pair[1])
		if err != nil {
			return nil, fmt.Errorf("header %s: %w", name, err)
		}
		headers[i] = messaging.Header{Name: string(name), Value: value}
	}
	return headers, nil
}

func untext(data json.RawMessage) ([]byte, error) {
	var plain *string
	if err := json.Unmarshal(data, &plain); err == nil {
		if plain == nil {
			return nil, nil
		}
		return []byte(*plain), nil
	}
	var wrapped struct {
		Base64 *[]byte `json:"base64"`
	}
	if err := json.Unmarshal(data, &wrapped); err != nil || wrapped.Base64 == nil {
		return nil, fmt.Errorf(`expected a string, null or {"base64": "..."}`)
	}
	return *wrapped.Base64, nil
}
