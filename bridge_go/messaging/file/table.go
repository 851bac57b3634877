package file

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// A table writes JSON objects as the rows of a CSV file. Its columns are those of the file's header, or of the first object.
type table struct{ columns []string }

func openTable(path string, f format, limit int) (*table, error) {
	r, err := openReader(path, f, limit, nil)
	if err != nil {
		return nil, err
	}
	defer r.close()
	t := &table{}
	for _, c := range r.rows.header {
		t.columns = append(t.columns, c.name)
	}
	return t, nil
}

// row makes a row, with the header before it where the file has none yet.
func (t *table) row(value []byte) ([]byte, error) {
	names, values, err := members(value)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if len(t.columns) == 0 {
		for i, name := range names {
			if i > 0 {
				out.WriteByte(',')
			}
			out.WriteString(quoteCell(name))
		}
		out.WriteByte('\n')
	}
	columns := t.columns
	if len(columns) == 0 {
		columns = names
	}
	cells := make([]string, len(columns))
	for i, name := range names {
		at := slices.Index(columns, name)
		if at < 0 {
			return nil, fmt.Errorf("field %q is no column of the file, which has: %s", name, strings.Join(columns, ", "))
		}
		cells[at] = values[i]
	}
	t.columns = columns
	out.WriteString(strings.Join(cells, ","))
	return out.Bytes(), nil
}

// members reads the fields of an object in their order.
func members(value []byte) (names, values []string, err error) {
	d := json.NewDecoder(bytes.NewReader(value))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, nil, errors.New("only a JSON object can be a row of a csv")
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, nil, err
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return nil, nil, err
		}
		names, values = append(names, name.(string)), append(values, cellOf(raw))
	}
	if _, err := d.Token(); err != nil {
		return nil, nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, nil, errors.New("more than one JSON value")
	}
	if len(names) == 0 {
		return nil, nil, errors.New("an object without fields cannot be a row of a csv")
	}
	return names, values, nil
}

// cellOf is a JSON value as a cell: text without quotes, null empty, all else as it stands.
func cellOf(raw json.RawMessage) string {
	var s string
	switch {
	case string(raw) == "null":
		return ""
	case json.Unmarshal(raw, &s) == nil:
		if s == "" {
			return `""`
		}
		return quoteCell(s)
	}
	return quoteCell(string(raw))
}

func quoteCell(s string) string {
	if !strings.ContainsAny(s, ",\"\r\n") && strings.TrimSpace(s) == s {
		return s
	}
	return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
}
