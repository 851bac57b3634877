// Package file reads and writes files as streams. A topic is a path, relative to the project or to the folder in the
// connection's URL (file:, file:data, file:///var/data).
//
//	.jsonl .ndjson   one JSON value a line; blank lines are skipped
//	.csv             a header row, then a row an event; cells become JSON values by the event's JSON Schema
//	.dead .dead.jsonl .records.jsonl
//	                 one whole record a line, with key, headers and time: see envelope.go
//
// and each with .gz behind it. A leading byte order mark is ignored.
//
// A source is bounded: it ends at the end of the file. It has one partition, 0; the offset is the number of the record,
// from 0. Positions of a group are kept in StateDir/positions with a fingerprint of the file's beginning: if the file was
// replaced since, that is logged and it is read from the start. A line or row that cannot be read (longer than max_line, a
// quote that never closes, a wrong number of cells) is a record with a Fault: it keeps its position, its neighbours are
// untouched, and it goes to the dead letters with its line number.
//
// A sink appends whole writes, and before each it notes in a journal (StateDir/files) where the write begins and ends, its
// checksum and its records' IDs. A process killed in the middle leaves a part of a write; the next one cuts it off, and knows
// by their IDs the outputs that were stored although their input was not yet committed. So a run that is killed and started
// again has every output once. A sink without a group, or of a connection without a StateDir, keeps no journal. A .gz is
// written as one gzip member a write, so that the cut falls between members.
//
// Settings:
//
//	max_line=8MiB     longest line or row that is read whole
//	max_value=0       largest value that is written, 0 for no limit
//	existing=append   what a sink does with a file that no journal speaks of: append, replace, refuse
//	lines=auto        records writes and reads whole records in any .jsonl, values never
//	sync=interval     always: fsync before a write or a commit returns; otherwise the operating system decides, which
//	                  survives the death of the process but not of the machine
//	window=65536      IDs that a sink remembers
package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/messaging/positions"
)

func init() { messaging.Register("file", connect) }

type settings struct {
	maxLine, maxValue int
	existing, lines   string
	sync              bool
	window            int
}

type connection struct {
	options   messaging.Options
	settings  settings
	dir       string
	positions positions.Store
	readers   positions.Readers
	writers   positions.Readers // one a file: each knows where the file ends
	replaced  prometheus.Counter

	mu     sync.Mutex
	closed bool
	open   map[interface{ Close(context.Context) error }]struct{}
}

func connect(_ context.Context, o messaging.Options) (messaging.Connection, error) {
	s := o.Parse()
	c := &connection{options: o, open: map[interface{ Close(context.Context) error }]struct{}{}}
	c.settings = settings{
		maxLine:  int(s.Bytes("max_line", 8<<20, 1)),
		maxValue: int(s.Bytes("max_value", 0, 0)),
		existing: s.Choice("existing", "append", "replace", "refuse"),
		lines:    s.Choice("lines", "auto", "values", "records"),
		sync:     s.Choice("sync", "interval", "always") == "always",
		window:   int(s.Int("window", 65536, 1)),
	}
	if err := s.Done(); err != nil {
		return nil, err
	}
	c.dir = folder(o)
	c.positions = positions.Store{Dir: filepath.Join(o.StateDir, "positions"), Sync: c.settings.sync}
	c.replaced = o.Counter("ds_file_replaced_total", "Input files that were replaced since the last commit and are read from the start.")
	return c, nil
}

// folder is where relative topics begin.
func folder(o messaging.Options) string {
	path := strings.TrimPrefix(strings.TrimPrefix(o.URL, "file:"), "//")
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(o.Dir, path)
}

func (c *connection) path(topic string) string {
	if filepath.IsAbs(topic) {
		return topic
	}
	return filepath.Join(c.dir, topic)
}

func (c *connection) Source(_ context.Context, sc messaging.SourceConfig) (messaging.Source, error) {
	if err := c.alive(); err != nil {
		return nil, err
	}
	if sc.Transactional {
		return nil, fmt.Errorf("file: transactions: %w", messaging.ErrNotSupported)
	}
	f, err := formatOf(sc.Topic, c.settings.lines)
	if err != nil {
		return nil, err
	}
	if !c.readers.Join(sc.Topic, sc.Group) {
		return nil, fmt.Errorf("file: %s, group %s: %w", sc.Topic, sc.Group, messaging.ErrBusy)
	}
	s, err := c.openSource(f, sc)
	if err != nil {
		c.readers.Leave(sc.Topic, sc.Group)
		return nil, err
	}
	c.track(s)
	return s, nil
}

func (c *connection) Sink(_ context.Context, sc messaging.SinkConfig) (messaging.Sink, error) {
	if err := c.alive(); err != nil {
		return nil, err
	}
	f, err := formatOf(sc.Topic, c.settings.lines)
	if err != nil {
		return nil, err
	}
	s, err := c.openSink(f, sc)
	if err != nil {
		return nil, err
	}
	c.track(s)
	return s, nil
}

// browsePoll is how often Browse looks whether a file has grown.
const browsePoll = 25 * time.Millisecond

func (c *connection) Browse(ctx context.Context, topic string, from messaging.Cursor, limit int) ([]messaging.Record, messaging.Cursor, error) {
	if err := c.alive(); err != nil {
		return nil, from, err
	}
	next, err := from.Single()
	if err != nil {
		return nil, from, err
	}
	f, err := formatOf(topic, c.settings.lines)
	if err != nil {
		return nil, from, err
	}
	for {
		records, after, err := c.scan(f, topic, next, limit)
		if err != nil || len(records) > 0 || next < 0 {
			return records, messaging.CursorAt(after), err
		}
		select {
		case <-ctx.Done():
			return nil, from, nil
		case <-time.After(browsePoll):
		}
	}
}

// Delete is not supported: a file's records cannot be taken out without writing it anew under its readers.
func (c *connection) Delete(context.Context, string, []messaging.Position) error {
	return messaging.ErrNotSupported
}

// Incarnation changes with the file's identity, size and time. A file that was only added to counts as another one: taking an
// edited file for the old one would make its outputs vanish as duplicates.
func (c *connection) Incarnation(_ context.Context, topic string) (string, error) {
	info, err := os.Stat(c.path(topic))
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("file: %s: %w", c.path(topic), messaging.ErrNoTopic)
	}
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%x-%x-%x", inode(info), info.Size(), info.ModTime().UnixNano()), nil
}

func (c *connection) Close(ctx context.Context) error {
	c.mu.Lock()
	c.closed = true
	open := c.open
	c.open = nil
	c.mu.Unlock()
	var errs []error
	for s := range open {
		errs = append(errs, s.Close(ctx))
	}
	return errors.Join(errs...)
}

func (c *connection) alive() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return messaging.ErrClosed
	}
	return nil
}

func (c *connection) track(s interface{ Close(context.Context) error }) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open != nil {
		c.open[s] = struct{}{}
	}
}

func (c *connection) forget(s interface{ Close(context.Context) error }) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, s)
}
