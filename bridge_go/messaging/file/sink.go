package file

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"sync"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/messaging/positions"
)

// A sink appends to one file.
type sink struct {
	c       *connection
	format  format
	file    *os.File
	length  int64
	journal *journal // nil without a group
	table   *table   // of a csv
	once    sync.Once
}

func (c *connection) openSink(f format, sc messaging.SinkConfig) (*sink, error) {
	path := c.path(sc.Topic)
	if !c.writers.Join(path, "writer") {
		return nil, fmt.Errorf("file: %s has a writer: %w", path, messaging.ErrBusy)
	}
	s, err := c.openOutput(path, f, sc)
	if err != nil {
		c.writers.Leave(path, "writer")
	}
	return s, err
}

func (c *connection) openOutput(path string, f format, sc messaging.SinkConfig) (*sink, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return nil, fmt.Errorf("file: %w", err)
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, fmt.Errorf("file: %w", err)
	}
	s := &sink{c: c, format: f, file: file}
	if err := s.begin(sc); err != nil {
		s.release()
		return nil, fmt.Errorf("file: %s: %w", path, err)
	}
	return s, nil
}

func (s *sink) begin(sc messaging.SinkConfig) error {
	resumed := false
	if sc.Group != "" && s.c.options.StateDir != "" {
		path := filepath.Join(s.c.options.StateDir, "files", positions.FileName(s.file.Name(), sc.Group)+".journal")
		var err error
		if s.journal, resumed, err = openJournal(path, s.c.settings.window, s.c.settings.sync); err != nil {
			return fmt.Errorf("journal %s: %w", path, err)
		}
	}
	info, err := s.file.Stat()
	if err != nil {
		return err
	}
	s.length = info.Size()
	if resumed {
		resumed, err = s.recover()
	}
	if err == nil && !resumed {
		err = s.meetExisting()
	}
	if err != nil {
		return err
	}
	if err := s.endLine(); err != nil {
		return err
	}
	if s.format.kind == csv {
		s.table, err = openTable(s.file.Name(), s.format, s.c.settings.maxLine)
	}
	return err
}

// recover compares the output with the journal's last entry, and tells whether the journal speaks of this file.
func (s *sink) recover() (bool, error) {
	last, length := s.journal.last, uint64(s.length)
	log := s.c.options.Log.With("file", s.file.Name())
	sum, whole := sumOf(s.file, last.begin, last.end)
	switch {
	case whole && sum == last.sum && length >= last.end:
		return true, nil // and what stands behind it is somebody else's, who may have it
	case last.begin <= length && length <= last.end:
		log.Info("cutting off a write that was not finished", "bytes", length-last.begin)
		if err := s.cutTo(int64(last.begin)); err != nil {
			return true, err
		}
		return true, s.journal.takeBack()
	}
	log.Warn("the output is not the one that the journal speaks of, beginning a new journal", "bytes", length)
	return false, s.journal.clear()
}

// meetExisting does with a file that no journal knows what the settings say.
func (s *sink) meetExisting() error {
	if s.length == 0 {
		return nil
	}
	switch s.c.settings.existing {
	case "replace":
		return s.cutTo(0)
	case "refuse":
		return errors.New("exists already, and the connection says existing=refuse")
	}
	return nil
}

// endLine ends a last line that somebody left open, so that ours does not become a part of it.
func (s *sink) endLine() error {
	if s.length == 0 || s.format.gzip {
		return nil
	}
	last := make([]byte, 1)
	if _, err := s.file.ReadAt(last, s.length-1); err != nil || last[0] == '\n' {
		return err
	}
	_, err := s.file.WriteAt([]byte("\n"), s.length)
	s.length++
	return err
}

func (s *sink) Write(_ context.Context, all []messaging.Outgoing) error {
	text, ids, failed := s.render(all)
	if len(text) > 0 {
		if err := s.put(text, ids); err != nil {
			return fmt.Errorf("file: %s: %w", s.file.Name(), err)
		}
	}
	if failed != nil {
		return &messaging.WriteError{Failed: failed}
	}
	return nil
}

// render makes the bytes of a write, without the records that are stored already.
func (s *sink) render(all []messaging.Outgoing) (text []byte, ids []id, failed []messaging.WriteFailure) {
	seen := map[id]bool{}
	for i := range all {
		var h id
		if s.journal != nil && all[i].ID != "" {
			if h = hashID(all[i].ID); s.journal.has(h) || seen[h] {
				continue
			}
		}
		row, err := s.line(&all[i].Record)
		if err != nil {
			failed = append(failed, messaging.WriteFailure{Index: i, Permanent: true, Err: err})
			continue
		}
		text = append(append(text, row...), '\n')
		if h != (id{}) {
			seen[h] = true
			ids = append(ids, h)
		}
	}
	return text, ids, failed
}

func (s *sink) line(r *messaging.Record) ([]byte, error) {
	if limit := s.c.settings.maxValue; limit > 0 && len(r.Value) > limit {
		return nil, fmt.Errorf("value of %d bytes is over the limit of %d", len(r.Value), limit)
	}
	switch s.format.kind {
	case records:
		return seal(r)
	case csv:
		return s.table.row(r.Value)
	}
	return oneLine(r.Value)
}

// oneLine is a value as it stands, unless it has line ends: then it is JSON, and written without them.
func oneLine(value []byte) ([]byte, error) {
	switch {
	case value == nil:
		return []byte("null"), nil
	case len(bytes.TrimSpace(value)) == 0:
		return nil, errors.New("an empty value would be a blank line, which is no record. Write to a .records.jsonl to keep it")
	case bytes.IndexByte(value, '\n') < 0 && value[len(value)-1] != '\r':
		return value, nil
	}
	var out bytes.Buffer
	if err := json.Compact(&out, value); err != nil {
		return nil, fmt.Errorf("the value has line ends and is not JSON (%w). Write to a .records.jsonl to keep it", err)
	}
	return out.Bytes(), nil
}

// put appends bytes: the journal's entry first, then the bytes. If that fails the output is as before.
func (s *sink) put(text []byte, ids []id) error {
	if s.format.gzip {
		text = member(text)
	}
	if s.journal != nil {
		e := entry{begin: uint64(s.length), end: uint64(s.length) + uint64(len(text)), sum: crc32.ChecksumIEEE(text), ids: ids}
		if err := s.journal.note(e); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
	}
	_, err := s.file.WriteAt(text, s.length)
	if err == nil && s.c.settings.sync {
		err = s.file.Sync()
	}
	if err != nil {
		return errors.Join(err, s.undo())
	}
	s.length += int64(len(text))
	return nil
}

func (s *sink) undo() error {
	err := s.cutTo(s.length)
	if s.table != nil && s.length == 0 {
		s.table.columns = nil // the header went with the write
	}
	if s.journal == nil {
		return err
	}
	return errors.Join(err, s.journal.takeBack())
}

func (s *sink) cutTo(length int64) error {
	s.length = length
	return s.file.Truncate(length)
}

// member packs bytes into one gzip member. Writing to memory cannot fail.
func member(text []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write(text)
	w.Close()
	return out.Bytes()
}

func (s *sink) Info() messaging.SinkInfo {
	return messaging.SinkInfo{Deduplicates: s.journal != nil, MaxBytes: s.c.settings.maxValue, InOrder: true}
}

func (s *sink) Close(context.Context) error {
	var err error
	s.once.Do(func() {
		s.c.forget(s)
		s.c.writers.Leave(s.file.Name(), "writer")
		err = s.release()
	})
	return err
}

func (s *sink) release() error {
	var journal error
	if s.journal != nil && s.journal.file != nil {
		journal = s.journal.close()
	}
	return errors.Join(s.file.Close(), journal)
}
