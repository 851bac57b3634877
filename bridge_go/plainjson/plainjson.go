// Package plainjson writes JSON that people read: <, > and & as they are, where encoding/json spells them \u003c for browsers.
// What it writes must not be pasted into an HTML page.
package plainjson

import (
	"bytes"
	"encoding/json"
	"io"
)

// Encoder writes a value a line.
func Encoder(to io.Writer) *json.Encoder {
	e := json.NewEncoder(to)
	e.SetEscapeHTML(false)
	return e
}

// Marshal is json.Marshal, plain.
func Marshal(value any) ([]byte, error) {
	var out bytes.Buffer
	err := Encoder(&out).Encode(value)
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), err
}

// AppendString appends a text as a JSON string. Bytes that are not UTF-8 become U+FFFD.
func AppendString(to []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x80 {
			quoted, _ := Marshal(text) // a string always can be
			return append(to, quoted...)
		}
	}
	return append(append(append(to, '"'), text...), '"')
}
