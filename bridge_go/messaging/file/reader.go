package file

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// A reader reads the records of one file, from the start or from where an earlier reader stopped.
type reader struct {
	path   string
	format format
	file   *os.File
	lines  *lines
	rows   *rows // of a csv
	offset int64 // of the record that comes next
}

// faultBytes is how much of an unreadable line goes to the dead letters. All of it is still in the file, and the reason names
// the line.
const faultBytes = 64 << 10

func openReader(path string, f format, limit int, schema []byte) (*reader, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("file: %s: %w", path, messaging.ErrNoTopic)
	}
	if err != nil {
		return nil, fmt.Errorf("file: %w", err)
	}
	r := &reader{path: path, format: f, file: file}
	if err := r.begin(limit, schema); err != nil {
		file.Close()
		return nil, fmt.Errorf("file: %s: %w", path, err)
	}
	return r, nil
}

func (r *reader) begin(limit int, schema []byte) error {
	in := io.Reader(r.file)
	if r.format.gzip {
		unzipped, err := gzip.NewReader(r.file)
		if err != nil && err != io.EOF { // an empty file is an empty stream
			return err
		}
		in = empty
		if err == nil {
			in = unzipped
		}
	}
	r.lines = newLines(in, limit)
	r.lines.skipMark()
	if r.format.kind != csv {
		return nil
	}
	types, err := typesOf(schema)
	if err != nil {
		return fmt.Errorf("schema of the event type: %w", err)
	}
	r.rows = &rows{lines: r.lines, limit: limit}
	return r.rows.begin(types)
}

// next reads one record, and tells where the one behind it begins.
func (r *reader) next() (messaging.Record, place, error) {
	l, err := r.line()
	if err != nil {
		return messaging.Record{}, place{}, r.wrap(err)
	}
	record := r.record(l)
	record.Offset = r.offset
	r.offset++
	return record, place{Record: r.offset, Byte: l.end, Line: l.number}, nil
}

// line passes over blank lines. They count as lines and not as records.
func (r *reader) line() (line, error) {
	for {
		read := r.lines.next
		if r.rows != nil {
			read = r.rows.row
		}
		if l, err := read(); err != nil || !l.blank() {
			return l, err
		}
	}
}

func (r *reader) record(l line) messaging.Record {
	if l.cut() {
		reason := fmt.Sprintf("line %d of %s is %d bytes long, max_line is %d", l.number, r.path, l.length, len(l.text))
		return fault(l, "line_too_long", reason)
	}
	record, err := r.decode(l)
	if err != nil {
		return fault(l, "unreadable_line", fmt.Sprintf("line %d of %s: %v", l.number, r.path, err))
	}
	return record
}

func (r *reader) decode(l line) (messaging.Record, error) {
	switch r.format.kind {
	case csv:
		object, err := r.rows.object(l)
		return messaging.Record{Value: object}, err
	case records:
		return unseal(l.text)
	}
	return messaging.Record{Value: l.text}, nil
}

func fault(l line, code, reason string) messaging.Record {
	return messaging.Record{
		Value: l.text[:min(len(l.text), faultBytes)],
		Fault: &messaging.Fault{Code: code, Reason: reason},
	}
}

// resume goes on at a place that an earlier reader has noted, and from there to the record next.
func (r *reader) resume(at place, next int64) error {
	if err := r.lines.skipTo(at.Byte, at.Line); err != nil {
		return err
	}
	for r.offset = at.Record; r.offset < next; {
		if _, _, err := r.next(); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) wrap(err error) error {
	if err == io.EOF {
		return err
	}
	return fmt.Errorf("file: %s: behind line %d: %w", r.path, r.lines.number, err)
}

func (r *reader) close() error { return r.file.Close() }

var empty io.Reader = eof{}

type eof struct{}

func (eof) Read([]byte) (int, error) { return 0, io.EOF }

// scan reads records for Browse, from the start of the file.
func (c *connection) scan(f format, topic string, next int64, limit int) ([]messaging.Record, int64, error) {
	r, err := openReader(c.path(topic), f, c.settings.maxLine, nil)
	if errors.Is(err, messaging.ErrNoTopic) { // a sink may yet make it
		return nil, max(next, 0), nil
	}
	if err != nil {
		return nil, next, err
	}
	defer r.close()
	var found []messaging.Record
	for next < 0 || len(found) < limit {
		record, _, err := r.next()
		if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) { // behind the newest, or in a member that is being written
			break
		}
		if err != nil {
			return nil, next, err
		}
		if next >= 0 && record.Offset >= next {
			found = append(found, record)
		}
	}
	if next < 0 {
		return nil, r.offset, nil
	}
	return found, next + int64(len(found)), nil
}
