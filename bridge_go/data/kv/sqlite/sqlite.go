// Package sqlite keeps values by key in a file: the default where there is no other store. embedded: is a file in the state folder,
// with one table for each name (embedded:features); sqlite:data/features.db is a file of one's own, whose table is a setting.
//
// Put and Delete are transactions: all of a batch or nothing. A batch that was stored survives the death of the process at
// any moment, and with sync=always that of the machine; otherwise the last moments before a power failure may be missing,
// never parts of a batch. One process owns the state folder; a file of one's own may be shared by processes of one machine,
// not over a network.
//
// A value that has expired is absent at once. Its row is removed by later puts, a few hundred at a time.
//
//	table=kv           of sqlite:, where embedded: has its name
//	sync=interval      always: fsync at each batch
//	timeout=5s         how long a batch waits for others that write
//	prefix, max_value  as package kv has them
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	_ "modernc.org/sqlite" // the driver, without cgo

	"ds-runner.dev/ds-runner/bridge_go/data/kv"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

func init() {
	kv.Register("sqlite", connect)
	kv.Register("embedded", connect)
	messaging.Declare("sqlite", "table", "sync", "timeout", "prefix", "max_value")
}

// readers is how many batches read at once. Writers go one by one, as the file wants it.
const readers = 4

type store struct {
	name, table      string
	reading, writing *sql.DB
	clock            func() time.Time

	mu    sync.Mutex
	swept time.Time
}

func connect(ctx context.Context, o messaging.Options) (kv.Store, error) {
	s := o.Parse()
	limits := kv.ReadLimits(o, s)
	always := s.Choice("sync", "interval", "always") == "always"
	patience := s.Duration("timeout", 5*time.Second, 10*time.Millisecond)
	table := s.String("table", "kv")
	letStand(s)
	if err := s.Done(); err != nil {
		return nil, err
	}
	path, table, err := place(o, table)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("connection %s: %w", o.Name, err)
	}
	opened := &store{name: o.Name, table: quote(table), clock: time.Now}
	if err := opened.open(ctx, path, patience, always); err != nil {
		opened.Close(ctx)
		return nil, opened.explain("open "+path, err)
	}
	return limits.Hold(opened), nil
}

// letStand knows the settings of the streams that a connection of these schemes may serve as well.
func letStand(s *messaging.Settings) {
	for _, name := range []string{"max_bytes", "max_age", "duplicates", "gap"} {
		s.String(name, "")
	}
}

// place is the file and the table of a URL.
func place(o messaging.Options, table string) (path, name string, err error) {
	scheme, rest, _ := strings.Cut(o.URL, ":")
	rest = strings.TrimPrefix(rest, "//")
	switch {
	case scheme == "embedded" && o.StateDir == "":
		return "", "", fmt.Errorf("connection %s: an embedded store needs a state folder", o.Name)
	case scheme == "embedded":
		name = strings.Trim(rest, "/")
		if name == "" {
			name = "default"
		}
		return filepath.Join(o.StateDir, "kv", "values.sqlite"), name, nil
	case rest == "" || strings.ContainsRune(rest, 0) || strings.HasPrefix(rest, ":"):
		return "", "", fmt.Errorf("connection %s: the URL names no file. For example: sqlite:data/features.db", o.Name)
	case table == "" || strings.ContainsRune(table, 0):
		return "", "", fmt.Errorf("connection %s: table is %q, expected a name", o.Name, table)
	case filepath.IsAbs(rest):
		return rest, table, nil
	}
	path, err = filepath.Abs(filepath.Join(o.Dir, rest))
	return path, table, err
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func (s *store) open(ctx context.Context, path string, patience time.Duration, always bool) (err error) {
	synchronous := "NORMAL"
	if always {
		synchronous = "FULL"
	}
	pragmas := []string{"journal_mode(WAL)", "synchronous(" + synchronous + ")", "busy_timeout(" + strconv.FormatInt(patience.Milliseconds(), 10) + ")"}
	if s.writing, err = pool(path, 1, append(pragmas, "secure_delete(0)"), "immediate"); err != nil {
		return err
	}
	if s.reading, err = pool(path, readers, append(pragmas, "query_only(1)"), "deferred"); err != nil {
		return err
	}
	if err := s.writing.PingContext(ctx); err != nil {
		return err
	}
	for _, statement := range []string{
		"CREATE TABLE IF NOT EXISTS " + s.table + " (key BLOB PRIMARY KEY, value BLOB NOT NULL, expires_at INTEGER) WITHOUT ROWID",
		"CREATE INDEX IF NOT EXISTS " + quote("expiry of "+s.table) + " ON " + s.table + " (expires_at) WHERE expires_at IS NOT NULL",
	} {
		if _, err := s.writing.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

func pool(path string, most int, pragmas []string, lock string) (*sql.DB, error) {
	query := url.Values{"_txlock": {lock}, "_pragma": pragmas}
	file := url.URL{Scheme: "file", Path: path, RawQuery: query.Encode()}
	db, err := sql.Open("sqlite", file.String())
	if err == nil {
		db.SetMaxOpenConns(most)
	}
	return db, err
}

func (s *store) Close(context.Context) error {
	var errs []error
	for _, db := range []*sql.DB{s.reading, s.writing} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

func (s *store) explain(verb string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("connection %s: %s: %w", s.name, verb, err)
}
