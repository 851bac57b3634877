// Package sql is the seam between the bridge and databases that answer SQL.
//
// A database is one folder under this one. It registers itself by URL scheme in its init function, and it is finished when the
// battery in sqltest passes. What comes in is a statement with named parameters; what goes out is pages: Arrow IPC streams
// of one record batch each, made straight from what the database sent, so that no row is ever an object here. Package calls
// hands them to workers.
package sql

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// A Database is one connection of program.yaml. Its methods are safe from any goroutine; how many statements it works on at
// once is bounded by its settings, and one more waits until its context ends. Errors that are an [*Error] have a code; every
// other one is a failure that nobody foresaw. When a context ends, its statement is cancelled in the database too.
type Database interface {
	// Query runs a statement in a transaction that can only read. The context bounds this call; the pages are read later, by
	// contexts of their own. A page has at most rows rows, or DefaultRows for 0. Params are nil, bool, int64, float64,
	// string, []byte, Timestamp, Date, Decimal or List.
	Query(ctx context.Context, text string, params map[string]any, rows int) (Pages, error)
	// Execute runs a statement and returns the number of rows that it changed.
	Execute(ctx context.Context, text string, params map[string]any) (int64, error)
	// Write stores a page in a table, all of it or nothing, columns by name, and returns the number of rows. The page's
	// columns may be fewer than the table's.
	Write(ctx context.Context, table string, mode Mode, page []byte) (int64, error)
	Close(ctx context.Context) error
}

// Pages are the rows of one query. They are used by one goroutine and hold a connection until they are closed.
type Pages interface {
	// Next is the next page, and whether it is the last. There is always a first one, if need be without rows; after the
	// last, and after an error, Next is not called again. When the context ends the statement is cancelled.
	Next(ctx context.Context) (page []byte, done bool, err error)
	// Close cancels what is still running and gives the connection back. It may be called twice.
	Close()
}

// Mode is what a write does with the rows that are there.
type Mode string

const (
	Append  Mode = "append"
	Replace Mode = "replace" // empties the table in the same transaction
)

// Modes are all there are.
var Modes = []Mode{Append, Replace}

// Connect opens a database. The context bounds the opening alone.
type Connect func(ctx context.Context, o messaging.Options) (Database, error)

var connectors = map[string]Connect{}

// Register makes a database known by its URL scheme, and declares the settings that it reads. It is called from init functions.
func Register(scheme string, c Connect, settings ...string) {
	if _, dup := connectors[scheme]; dup {
		panic("sql: scheme registered twice: " + scheme)
	}
	connectors[scheme] = c
	messaging.Declare(scheme, settings...)
}

// Schemes lists the URL schemes that have a database.
func Schemes() []string { return slices.Sorted(maps.Keys(connectors)) }

// Knows says whether the scheme of a URL has a database.
func Knows(url string) bool {
	scheme, _, _ := strings.Cut(url, ":")
	return connectors[scheme] != nil
}

// Open opens the database of a connection by its URL's scheme.
func Open(ctx context.Context, o messaging.Options) (Database, error) {
	if !Knows(o.URL) {
		return nil, fmt.Errorf("connection %s: %s answers no SQL. These do: %s",
			o.Name, messaging.Mask(o.URL), strings.Join(Schemes(), ", "))
	}
	o, err := o.Ready()
	if err != nil {
		return nil, err
	}
	scheme, _, _ := strings.Cut(o.URL, ":")
	return connectors[scheme](ctx, o)
}
