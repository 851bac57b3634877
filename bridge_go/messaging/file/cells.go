package file

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"ds-runner.dev/ds-runner/bridge_go/plainjson"
)

// rows reads the rows of a CSV file. A row is one line, or several where a quoted cell holds line ends.
type rows struct {
	lines  *lines
	limit  int
	header []column
	again  []line // lines of a row whose quote never closed, all but the first: they are rows of their own
}

// begin reads the header row.
func (r *rows) begin(types columnTypes) error {
	first, err := r.row()
	if err == io.EOF {
		return nil // an empty file has no rows
	}
	if err != nil {
		return err
	}
	cells, err := split(first.text)
	if err != nil {
		return fmt.Errorf("line %d: header: %w", first.number, err)
	}
	seen := map[string]bool{}
	for i, c := range cells {
		name := strings.TrimSpace(c.text)
		if name == "" || seen[name] {
			return fmt.Errorf("line %d: header: column %d is named %q: names must be there once each", first.number, i+1, name)
		}
		seen[name] = true
		r.header = append(r.header, types.column(name))
	}
	return nil
}

// row reads the lines of one row. A quote that never closes within the limit spoils its own line alone.
func (r *rows) row() (line, error) {
	first, err := r.line()
	if err != nil || first.cut() || closed(first.text) {
		return first, err
	}
	whole, taken := first, []line(nil)
	for {
		more, err := r.line()
		if err != nil && err != io.EOF {
			return line{}, err
		}
		if err == io.EOF || more.cut() || len(whole.text)+len(more.text) > r.limit {
			if err == nil {
				taken = append(taken, more)
			}
			r.again = append(taken, r.again...)
			return first, nil
		}
		taken = append(taken, more)
		whole.text = append(append(whole.text[:len(whole.text):len(whole.text)], '\n'), more.text...)
		whole.length, whole.end = len(whole.text), more.end
		if closed(whole.text) {
			return whole, nil
		}
	}
}

func (r *rows) line() (line, error) {
	if len(r.again) > 0 {
		next := r.again[0]
		r.again = r.again[1:]
		return next, nil
	}
	return r.lines.next()
}

// closed tells whether every quote is closed. Inside quotes a quote is doubled, so counting is enough.
func closed(text []byte) bool { return bytes.Count(text, []byte{'"'})%2 == 0 }

// A cell is one value of a row. A quoted empty cell is an empty text, a bare one may be a null.
type cell struct {
	text   string
	quoted bool
}

// split takes a row apart by the rules of RFC 4180.
func split(row []byte) ([]cell, error) {
	var cells []cell
	for rest := row; ; {
		c, tail, err := next(rest)
		if err != nil {
			return nil, fmt.Errorf("column %d: %w", len(cells)+1, err)
		}
		cells = append(cells, c)
		if len(tail) == 0 {
			return cells, nil
		}
		if rest = tail[1:]; tail[0] != ',' {
			return nil, fmt.Errorf("column %d: %.20q behind the closing quote", len(cells), tail)
		}
	}
}

func next(rest []byte) (c cell, tail []byte, err error) {
	if len(rest) > 0 && rest[0] == '"' {
		return quoted(rest[1:])
	}
	end := bytes.IndexByte(rest, ',')
	if end < 0 {
		end = len(rest)
	}
	if bytes.IndexByte(rest[:end], '"') >= 0 {
		return c, nil, fmt.Errorf("a quote in %.20q, which does not begin with one", rest[:end])
	}
	return cell{text: string(rest[:end])}, rest[end:], nil
}

func quoted(rest []byte) (c cell, tail []byte, err error) {
	var text []byte
	for {
		end := bytes.IndexByte(rest, '"')
		if end < 0 {
			return c, nil, fmt.Errorf("a quote is not closed")
		}
		text = append(text, rest[:end]...)
		rest = rest[end+1:]
		if len(rest) == 0 || rest[0] != '"' {
			return cell{text: string(text), quoted: true}, rest, nil
		}
		text, rest = append(text, '"'), rest[1:]
	}
}

// object makes a JSON object of a row.
func (r *rows) object(row line) ([]byte, error) {
	cells, err := split(row.text)
	if err != nil {
		return nil, err
	}
	if len(cells) != len(r.header) {
		return nil, fmt.Errorf("%d cells, the header has %d", len(cells), len(r.header))
	}
	out := make([]byte, 0, len(row.text)*2)
	out = append(out, '{')
	for i, c := range cells {
		value := r.header[i].value(c)
		if value == nil {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(out, r.header[i].quoted...), ':')
		out = append(out, value...)
	}
	return append(out, '}'), nil
}

func text(s string) []byte {
	return plainjson.AppendString(nil, s)
}
