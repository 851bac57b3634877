// Package sqlite answers SQL from a SQLite file, in this process, without C.
//
// sqlite.go opens the file; query.go reads a statement page by page; columns.go says what each declaration becomes; write.go
// stores pages; errors.go tells what the library says.
package sqlite

import (
	"context"
	databasesql "database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the driver

	"ds-runner.dev/ds-runner/bridge_go/data/sql"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

func init() { sql.Register("sqlite", open, "connections") }

const (
	maxConnections = 8
	timeout        = 5 * time.Second // for others that write, as the key-value store of the same file has it
)

var dialect = sql.Dialect{Brackets: true, Foreign: "?@$"}

// A database is one file, by connections that can only read and one that can write.
type database struct {
	name    string
	path    string
	most    int
	reading *databasesql.DB // opens the file read-only: no pragma can lift that
	writing *databasesql.DB
}

func open(_ context.Context, o messaging.Options) (sql.Database, error) {
	s := o.Parse()
	most := s.Int("connections", maxConnections, 1)
	busy := s.Duration("timeout", timeout, 0)
	if err := s.Done(); err != nil {
		return nil, err
	}
	path, err := pathOf(o)
	if err != nil {
		return nil, err
	}
	d := &database{name: o.Name, path: path, most: int(min(most, 1000))}
	if d.reading, err = d.pool("ro", busy, "query_only(1)"); err != nil {
		return nil, err
	}
	d.reading.SetMaxOpenConns(d.most)
	if d.writing, err = d.pool("rwc", busy); err != nil {
		return nil, errors.Join(err, d.reading.Close())
	}
	d.writing.SetMaxOpenConns(1)
	return d, nil
}

// pathOf is the file of sqlite:data/flights.db or sqlite:///data/flights.db. Relative paths begin in the project's folder.
func pathOf(o messaging.Options) (string, error) {
	path := strings.TrimPrefix(o.URL, "sqlite:")
	if rest, ok := strings.CutPrefix(path, "//"); ok {
		path = rest
	}
	if path == "" || strings.ContainsRune(path, 0) || strings.HasPrefix(path, ":") {
		return "", fmt.Errorf("connection %s: the URL names no file. For example: sqlite:data/flights.db", o.Name)
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(o.Dir, path)
	}
	return filepath.Abs(path)
}

func (d *database) pool(mode string, busy time.Duration, pragmas ...string) (*databasesql.DB, error) {
	query := url.Values{"mode": {mode}, "_txlock": {"immediate"}}
	query.Add("_pragma", "busy_timeout("+strconv.FormatInt(busy.Milliseconds(), 10)+")")
	for _, p := range pragmas {
		query.Add("_pragma", p)
	}
	if mode == "ro" {
		query.Del("_txlock")
	}
	file := url.URL{Scheme: "file", Path: d.path}
	pool, err := databasesql.Open("sqlite", file.String()+"?"+query.Encode())
	if err != nil {
		return nil, fmt.Errorf("connection %s: %w", d.name, err)
	}
	pool.SetConnMaxIdleTime(5 * time.Minute)
	return pool, nil
}

// Close implements [sql.Database].
func (d *database) Close(context.Context) error {
	return errors.Join(d.reading.Close(), d.writing.Close())
}

// reader takes a connection to read by, and waits for one when all are in use.
func (d *database) reader(ctx context.Context) (*databasesql.Conn, error) {
	if _, err := os.Stat(d.path); errors.Is(err, os.ErrNotExist) {
		return nil, sql.Errorf(sql.Unavailable, "connection %s: there is no file %s. The first write makes it", d.name, d.path)
	}
	conn, err := d.reading.Conn(ctx)
	if err == nil {
		return conn, nil
	}
	if ctx.Err() != nil && d.reading.Stats().InUse >= d.most {
		return nil, &sql.Error{Code: sql.Unavailable, Retry: true, Reason: fmt.Sprintf(
			"connection %s: all %d of its connections (connections) are in use; a cursor holds one until it is read to its end or closed",
			d.name, d.most)}
	}
	return nil, d.told(ctx, err)
}

// Execute implements [sql.Database].
func (d *database) Execute(ctx context.Context, text string, params map[string]any) (int64, error) {
	call, err := bind(text, params)
	if err != nil {
		return 0, err
	}
	if err := d.makeFolder(); err != nil {
		return 0, err
	}
	result, err := d.writing.ExecContext(ctx, call.Text, call.values...)
	if err != nil {
		return 0, d.told(ctx, err)
	}
	return result.RowsAffected()
}

// makeFolder makes the file's folder: the library makes the file alone.
func (d *database) makeFolder() error {
	if err := os.MkdirAll(filepath.Dir(d.path), 0o755); err != nil {
		return fmt.Errorf("connection %s: %w", d.name, err)
	}
	return nil
}
