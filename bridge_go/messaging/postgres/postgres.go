// Package postgres makes tables of a PostgreSQL database topics.
//
// A topic is a table, schema.table or table; the part before the first dot is a schema if there is one of that name. What a
// table's columns are decides how it is used.
//
// # The raw layout
//
// A table with the columns of [rawLayout] holds records as they are, byte for byte: any stream can live in it, dead letters too. With
// create=true it is made when it is missing. Its id is the offset. A record's ID is kept and unique, so that
// sinks de-duplicate, without a window. Times have microseconds.
//
// # Tables of columns, as sink
//
// A record is a JSON object and its fields are columns, by name; columns that no record names get their defaults. An object with
// other fields is refused, unless rest= names a json column that takes them. What the database refuses (types, constraints,
// triggers) is found by halving inside one transaction: those records are failures for good, and all others are stored.
//
//	mode=insert     upsert: an existing row with the same key= columns is updated
//	key=a,b         columns with a unique index
//	rest=COLUMN     json or jsonb column for fields that have no column
//	id_column=NAME  text column with a unique index: keeps the record's ID, and the sink de-duplicates by it
//
// # A position in the same transaction
//
// Every sink is a messaging.PositionKeeper. Table ds_positions has a row for each group, sink topic and partition: the last position
// that is settled, and an epoch. Positions claims partitions by raising their epochs; Transact writes rows and moves positions
// in one transaction, each only from where this process left it and under its own epoch. Whoever was fenced writes nothing.
//
// # Tables as sources
//
// A raw table and, with cursor=COLUMN, any table is read in the order of an increasing column (see horizon.go for why a row that
// commits late is not lost, and what is asked of the column). lossy=allow reads columns of which that cannot be known, timestamps
// for instance, and says so in the log. With slot=NAME (and publication=NAME, the slot's name by default; both are made when missing) the table's changes come from its log by logical replication: updates and
// deletes too (see replication.go). bounded=true reads what a table holds now, or the rows of a query (the topic is then
// query:select ...), and ends.
//
// Rows become JSON objects: numbers keep all their digits, times are ISO 8601 in UTC, bytea is base64, json is itself, NaN and infinity
// are strings. The key is that of the primary key's column, or a JSON array of several.
//
// The positions of groups are in table ds_groups, and a group has one reader, which holds an advisory lock on a session of its own
// (so a pooler between must keep sessions).
//
// # Settings of the connection
//
//	schema=NAME      where tables without a schema are, and the connector's own; the session's current one by default
//	create=false     true: make missing tables, in the raw layout
//	max_value=32MiB  largest value that is taken
//	poll=100ms       how often a source asks for new rows
//	gap=stop         continue: go on behind changes that a slot has dropped, logged and counted
//	timeout=10s, connections=4, sslmode=, sslrootcert=, sslcert=, sslkey= as package pgconn has them
package postgres

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"ds-runner.dev/ds-runner/bridge_go/data/pgconn"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

func init() {
	for _, scheme := range []string{"postgres", "postgresql"} {
		messaging.Register(scheme, connect)
		messaging.Rooted(scheme)
		messaging.Declare(scheme, "schema", "create", "max_value", "poll", "mode", "key", "rest", "id_column", "cursor", "lossy", "bounded", "slot", "publication", "gap")
	}
}

type settings struct {
	schema   string
	create   bool
	maxValue int
	poll     time.Duration

	upsert         bool
	key            []string
	rest, idColumn string

	cursor            string
	lossy             bool
	bounded           bool
	slot, publication string
	skipGaps          bool
}

type connection struct {
	options  messaging.Options
	settings settings
	dial     pgconn.Config
	pool     *pgxpool.Pool
	schema   string // where the connector's own tables are

	remade, gaps prometheus.Counter

	once   sync.Once
	closed chan struct{}

	own   sync.Mutex // one maker of our own tables at a time
	ready bool
}

func connect(ctx context.Context, o messaging.Options) (messaging.Connection, error) {
	s := o.Parse()
	c := &connection{options: o, dial: pgconn.Parse(o, s, 4), closed: make(chan struct{})}
	c.settings = settings{
		schema:      s.String("schema", ""),
		create:      s.Bool("create", false),
		maxValue:    int(s.Bytes("max_value", 32<<20, 1)),
		poll:        s.Duration("poll", 100*time.Millisecond, time.Millisecond),
		upsert:      s.Choice("mode", "insert", "upsert") == "upsert",
		key:         words(s.String("key", "")),
		rest:        s.String("rest", ""),
		idColumn:    s.String("id_column", ""),
		cursor:      s.String("cursor", ""),
		lossy:       s.Choice("lossy", "refuse", "allow") == "allow",
		bounded:     s.Bool("bounded", false),
		slot:        s.String("slot", ""),
		publication: s.String("publication", ""),
		skipGaps:    s.Choice("gap", "stop", "continue") == "continue",
	}
	if err := s.Done(); err != nil {
		return nil, err
	}
	if err := c.settings.agree(); err != nil {
		return nil, fmt.Errorf("connection %s: %w", o.Name, err)
	}
	c.remade = o.Counter("ds_postgres_topics_remade_total", "Positions that belonged to an earlier life of their topic.")
	c.gaps = o.Counter("ds_postgres_slot_gaps_total", "Times that a replication slot had moved past what its group had read.")
	var err error
	if c.pool, err = c.dial.Pool(ctx); err != nil {
		return nil, err
	}
	if err := c.findSchema(ctx); err != nil {
		pgconn.ClosePool(c.pool)
		return nil, fmt.Errorf("connection %s: %w", o.Name, err)
	}
	return c, nil
}

// agree refuses settings that cannot stand together.
func (s settings) agree() error {
	switch {
	case s.upsert && len(s.key) == 0:
		return fmt.Errorf("mode=upsert needs key=, the columns that tell rows apart")
	case s.upsert && s.idColumn != "":
		return fmt.Errorf("mode=upsert writes a row again without harm by its key: leave id_column out, or set mode=insert")
	case s.slot != "" && (s.cursor != "" || s.bounded):
		return fmt.Errorf("slot= reads the log and cursor= and bounded= read the table: set one of them")
	case s.publication != "" && s.slot == "":
		return fmt.Errorf("publication= belongs to slot=: name a slot as well")
	}
	return nil
}

// findSchema finds where tables without a schema are.
func (c *connection) findSchema(ctx context.Context) error {
	ctx, cancel := c.limit(ctx)
	defer cancel()
	if c.settings.schema == "" {
		return c.pool.QueryRow(ctx, "select coalesce(current_schema(), 'public')").Scan(&c.schema)
	}
	c.schema = c.settings.schema
	var exists bool
	err := c.pool.QueryRow(ctx, "select exists (select from pg_namespace where nspname = $1)", c.schema).Scan(&exists)
	if err == nil && !exists {
		err = fmt.Errorf("schema is %q, and the database has none of that name: create schema %s", c.schema, quote(c.schema))
	}
	return err
}

// limit bounds one round trip.
func (c *connection) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, c.dial.Timeout)
}

func (c *connection) isClosed() bool {
	select {
	case <-c.closed:
		return true
	default:
		return false
	}
}

// Close ends sources and sinks with the connection. It does not wait for a server that does not answer.
func (c *connection) Close(context.Context) error {
	c.once.Do(func() {
		close(c.closed)
		pgconn.ClosePool(c.pool)
	})
	return nil
}

// words parts a list with commas.
func words(list string) []string {
	var all []string
	for word := range strings.SplitSeq(list, ",") {
		if word = strings.TrimSpace(word); word != "" {
			all = append(all, word)
		}
	}
	return all
}
