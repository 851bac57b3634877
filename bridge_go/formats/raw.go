package formats

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
)

// raw is any bytes, as an object with one field, which a model declares as bytes.
type raw struct{}

const rawField = `{"value":"`

func (raw) decode(_ context.Context, value []byte) ([]byte, error) {
	out := make([]byte, 0, len(rawField)+base64.StdEncoding.EncodedLen(len(value))+2)
	out = base64.StdEncoding.AppendEncode(append(out, rawField...), value)
	return append(out, `"}`...), nil
}

func (raw) encode(_ context.Context, text []byte) ([]byte, error) {
	var result struct {
		Value *[]byte `json:"value"`
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&result); err != nil {
		return nil, mistakef("a raw result is an object with the field value, of bytes: %v", err)
	}
	if result.Value == nil {
		return nil, mistakef("a raw result is an object with the field value, of bytes: it is missing")
	}
	return *result.Value, nil
}
