package postgres

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgtype"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/plainjson"
)

// The log gives values as text. What is made of them is what row_to_json makes of the same row, so that it does not matter how a
// table is read.

var types = pgtype.NewMap()

// rowJSON is a row as an object. Columns whose value was not sent are left out and named.
func rowJSON(r *relation, row []cell) (object []byte, unchanged []string, err error) {
	if len(row) != len(r.columns) {
		return nil, nil, fmt.Errorf("a row of %d values for %s.%s, which has %d columns", len(row), r.schema, r.name, len(r.columns))
	}
	object = append(object, '{')
	for i, c := range row {
		if c.kind == 'u' {
			unchanged = append(unchanged, r.columns[i].name)
			continue
		}
		if len(object) > 1 {
			object = append(object, ',')
		}
		object = append(appendString(object, r.columns[i].name), ':')
		object = appendCell(object, c, r.columns[i].oid)
	}
	return append(object, '}'), unchanged, nil
}

func appendCell(out []byte, c cell, oid uint32) []byte {
	if c.kind != 't' {
		return append(out, "null"...)
	}
	return appendValue(out, string(c.text), oid)
}

func appendValue(out []byte, text string, oid uint32) []byte {
	switch oid {
	case pgtype.BoolOID:
		return strconv.AppendBool(out, text == "t")
	case pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID, pgtype.OIDOID, pgtype.NumericOID, pgtype.Float4OID, pgtype.Float8OID:
		return appendNumber(out, text)
	case pgtype.JSONOID, pgtype.JSONBOID:
		if json.Valid([]byte(text)) {
			return append(out, text...)
		}
	case pgtype.ByteaOID:
		if raw, err := hex.DecodeString(strings.TrimPrefix(text, `\x`)); err == nil {
			return appendString(out, base64.StdEncoding.EncodeToString(raw))
		}
	case pgtype.TimestampOID:
		return appendString(out, strings.Replace(text, " ", "T", 1))
	case pgtype.TimestamptzOID:
		if before, found := strings.CutSuffix(text, "+00"); found {
			text = strings.Replace(before, " ", "T", 1) + "+00:00"
		}
		return appendString(out, text)
	default:
		if known, ok := types.TypeForOID(oid); ok {
			if array, ok := known.Codec.(*pgtype.ArrayCodec); ok {
				return appendArray(out, text, array.ElementType.OID)
			}
		}
	}
	return appendString(out, text)
}

// appendNumber keeps every digit. NaN and infinity have no place in JSON but as strings.
func appendNumber(out []byte, text string) []byte {
	if f, err := strconv.ParseFloat(text, 64); (err == nil || math.IsInf(f, 0) && !strings.Contains(text, "nf")) && !math.IsNaN(f) && json.Valid([]byte(text)) {
		return append(out, text...)
	}
	return appendString(out, text)
}

// appendArray reads an array's text: {1,NULL,{"a b","c"}}. One with bounds of its own ([0:1]={1,2}) loses them, as row_to_json does.
func appendArray(out []byte, text string, element uint32) []byte {
	literal := text
	if strings.HasPrefix(literal, "[") {
		if _, after, found := strings.Cut(literal, "="); found {
			literal = after
		}
	}
	begin := len(out)
	out, rest, ok := appendList(out, literal, element, 0)
	if !ok || rest != "" {
		return appendString(out[:begin], text)
	}
	return out
}

// deepest is how many dimensions an array has at most.
const deepest = 6

func appendList(out []byte, text string, element uint32, depth int) (_ []byte, rest string, ok bool) {
	text, ok = strings.CutPrefix(text, "{")
	if !ok || depth == deepest {
		return out, text, false
	}
	out = append(out, '[')
	if after, empty := strings.CutPrefix(text, "}"); empty {
		return append(out, ']'), after, true
	}
	for {
		if strings.HasPrefix(text, "{") {
			out, text, ok = appendList(out, text, element, depth+1)
		} else {
			out, text, ok = appendElement(out, text, element)
		}
		if !ok || text == "" {
			return out, text, false
		}
		next := text[0]
		text = text[1:]
		switch next {
		case '}':
			return append(out, ']'), text, true
		case ',':
			out = append(out, ',')
		default:
			return out, text, false
		}
	}
}

func appendElement(out []byte, text string, element uint32) (_ []byte, rest string, ok bool) {
	if !strings.HasPrefix(text, `"`) {
		end := strings.IndexAny(text, ",}")
		if end < 0 {
			return out, text, false
		}
		if text[:end] == "NULL" {
			return append(out, "null"...), text[end:], true
		}
		return appendValue(out, text[:end], element), text[end:], true
	}
	var value strings.Builder
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '"':
			return appendValue(out, value.String(), element), text[i+1:], true
		case '\\':
			if i++; i == len(text) {
				return out, "", false
			}
		}
		value.WriteByte(text[i])
	}
	return out, "", false
}

// appendString writes a JSON string without escaping < and >.
func appendString(out []byte, text string) []byte {
	return plainjson.AppendString(out, text)
}

// keyText is the key of a row: the text of the one column, or a JSON array of several; nil without a key.
func keyText(r *relation, primary []string, row []cell) []byte {
	var cells []cell
	var oids []uint32
	for i, c := range r.columns {
		if i < len(row) && (slices.Contains(primary, c.name) || len(primary) == 0 && c.key) {
			cells, oids = append(cells, row[i]), append(oids, c.oid)
		}
	}
	switch len(cells) {
	case 0:
		return nil
	case 1:
		return slices.Clone(cells[0].text)
	}
	key := []byte{'['}
	for i, c := range cells {
		if i > 0 {
			key = append(key, ", "...)
		}
		key = appendCell(key, c, oids[i])
	}
	return append(key, ']')
}

// records are what a change means: the new row, null under the key of one that is gone, or both when its key has changed.
func (e *event) records(r *relation, primary []string) ([]messaging.Record, error) {
	var records []messaging.Record
	key := keyText(r, primary, e.new)
	if e.kind == 'D' || e.kind == 'U' && e.old != nil {
		if before := keyText(r, primary, e.old); e.kind == 'D' || !bytes.Equal(before, key) {
			records = append(records, messaging.Record{Key: before, Headers: change("delete")})
		}
	}
	if e.kind == 'D' {
		return records, nil
	}
	if !e.oldIsKey && len(e.old) == len(e.new) { // the whole old row is there, and has what was not sent again
		for i := range e.new {
			if e.new[i].kind == 'u' {
				e.new[i] = e.old[i]
			}
		}
	}
	value, unchanged, err := rowJSON(r, e.new)
	if err != nil {
		return nil, err
	}
	headers := change(map[byte]string{'I': "insert", 'U': "update"}[e.kind])
	if len(unchanged) > 0 {
		list, _ := json.Marshal(unchanged)
		headers = append(headers, messaging.Header{Name: "ds-unchanged", Value: list})
	}
	return append(records, messaging.Record{Key: key, Value: value, Headers: headers}), nil
}

func change(kind string) []messaging.Header {
	return []messaging.Header{{Name: "ds-change", Value: []byte(kind)}}
}
