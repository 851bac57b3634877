package file

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/plainjson"
)

// An envelope is a whole record on one line, as dead letters need it:
//
//	{"time":1,"key":"k","value":"{\"a\":1}","headers":[["ds-code","bad"]]}
//
// Key, value and the values of headers are strings where they are UTF-8, {"base64": "..."} otherwise, and null or absent where
// the record has none.
type envelope struct {
	Time    int64     `json:"time,omitempty"`
	Key     *blob     `json:"key,omitempty"`
	Value   *blob     `json:"value"`
	Headers [][2]blob `json:"headers,omitempty"`
}

// A blob is bytes in JSON.
type blob []byte

func (b blob) MarshalJSON() ([]byte, error) {
	switch {
	case b == nil:
		return []byte("null"), nil
	case utf8.Valid(b):
		return plainjson.AppendString(nil, string(b)), nil
	}
	return json.Marshal(map[string]string{"base64": base64.StdEncoding.EncodeToString(b)})
}

func (b *blob) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		*b = nil
		return nil
	}
	var text string
	if err := json.Unmarshal(data, &text); err == nil {
		*b = []byte(text)
		return nil
	}
	var wrapped struct{ Base64 *string }
	if err := json.Unmarshal(data, &wrapped); err != nil || wrapped.Base64 == nil {
		return fmt.Errorf(`expected a string, null or {"base64": "..."}`)
	}
	raw, err := base64.StdEncoding.DecodeString(*wrapped.Base64)
	*b = raw
	if raw == nil {
		*b = blob{}
	}
	return err
}

func seal(r *messaging.Record) ([]byte, error) {
	e := envelope{Time: r.Time, Key: pointer(r.Key), Value: pointer(r.Value)}
	for _, h := range r.Headers {
		e.Headers = append(e.Headers, [2]blob{blob(h.Name), h.Value})
	}
	return plainjson.Marshal(e)
}

func unseal(text []byte) (messaging.Record, error) {
	var e envelope
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&e); err != nil {
		return messaging.Record{}, err
	}
	if d.More() {
		return messaging.Record{}, fmt.Errorf("more than one value on the line")
	}
	r := messaging.Record{Time: e.Time, Key: e.Key.bytes(), Value: e.Value.bytes()}
	for _, h := range e.Headers {
		r.Headers = append(r.Headers, messaging.Header{Name: string(h[0]), Value: h[1]})
	}
	return r, nil
}

func pointer(b []byte) *blob {
	if b == nil {
		return nil
	}
	return (*blob)(&b)
}

func (b *blob) bytes() []byte {
	if b == nil {
		return nil
	}
	return *b
}
