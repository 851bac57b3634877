package sqlite

import (
	"context"
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"ds-runner.dev/ds-runner/bridge_go/data/sql"
)

// told makes what a caller is told of what the library says.
func (d *database) told(ctx context.Context, err error) error {
	var known *sql.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	if ctx.Err() != nil {
		return fmt.Errorf("connection %s: the statement was cancelled: %w", d.name, context.Cause(ctx))
	}
	var library *sqlite.Error
	if !errors.As(err, &library) {
		return fmt.Errorf("connection %s: %w", d.name, err)
	}
	code, retry := codeOf(library.Code() & 0xff)
	return &sql.Error{Code: code, Retry: retry, Reason: fmt.Sprintf("connection %s: %v", d.name, err)}
}

// codeOf is ours for a primary result code.
func codeOf(primary int) (code string, retry bool) {
	switch primary {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return sql.Unavailable, true
	case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL,
		sqlite3.SQLITE_PERM:
		return sql.Unavailable, false
	case sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG:
		return sql.BadValue, false
	}
	return sql.BadSQL, false
}
