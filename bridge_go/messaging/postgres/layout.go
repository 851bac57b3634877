package postgres

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"

	"ds-runner.dev/ds-runner/bridge_go/data/pgconn"
)

// rawLayout are the columns of a table that holds records as they are. Those of a table that somebody else made may have
// further columns, with defaults.
var rawLayout = []struct{ name, kind, rest string }{
	{"id", "bigint", "generated always as identity primary key"}, // the offset; sequence.cache is 1, which the horizon relies on
	{"time", "timestamp with time zone", "not null default clock_timestamp()"},
	{"key", "bytea", ""},
	{"value", "bytea", ""}, // null is a null value
	{"headers", "jsonb", ""},
	{"message_id", "text", "unique"}, // null where a record has none
}

func isRaw(t *table) bool {
	for _, want := range rawLayout {
		if have := t.column(want.name); have == nil || have.kind != want.kind {
			return false
		}
	}
	return t.hasUnique("id") && t.hasUnique("message_id")
}

// createRaw makes a topic's table. Two processes may try at the same time.
func (c *connection) createRaw(ctx context.Context, topic string) error {
	schema, name, err := c.place(ctx, topic)
	if err != nil {
		return err
	}
	t := &table{schema: schema, name: name}
	sql := "create table " + t.sql() + " ("
	for i, col := range rawLayout {
		if i > 0 {
			sql += ", "
		}
		sql += col.name + " " + col.kind + " " + col.rest
	}
	sql += fmt.Sprintf("); comment on table %s is 'ds-runner topic %s'", t.sql(), stamp())
	return c.create(ctx, topic, sql)
}

// create runs what makes a table. One that is there by now is no error: somebody else was quicker.
func (c *connection) create(ctx context.Context, what, sql string) error {
	ctx, cancel := c.limit(ctx)
	defer cancel()
	_, err := c.pool.Exec(ctx, sql)
	switch pgconn.Code(err) {
	case "42P07", "23505", "42710": // the table, or an entry of the catalogue that its maker is just writing
		return nil
	case "42501":
		return fmt.Errorf("postgres: %s cannot be made: the user of the connection may not create tables in that schema: %w", what, err)
	}
	return err
}

func stamp() string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// ownTables are the connector's own. A group's source and its sink each have their row: the first is moved by Commit, the
// second in the transaction of the rows that it settles.
const ownTables = `
create table if not exists %[1]s.ds_positions (
  grp text not null, topic text not null, partition int not null,
  position bigint,            -- settled up to here; null before the first
  epoch bigint not null,      -- raised by whoever takes the partition over
  primary key (grp, topic, partition));
create table if not exists %[1]s.ds_groups (
  grp text not null, topic text not null,
  incarnation text not null,  -- of the topic that the position belongs to
  position bigint,            -- settled up to here; null before the first
  boundary pg_lsn, boundary_position bigint, -- of a slot: the end of the last whole transaction, and the position there
  generation int not null default 0,         -- how often the group was moved back
  primary key (grp, topic))`

// ensureOwn makes the connector's own tables when they are missing.
func (c *connection) ensureOwn(ctx context.Context) error {
	c.own.Lock()
	defer c.own.Unlock()
	if c.ready {
		return nil
	}
	limited, cancel := c.limit(ctx)
	defer cancel()
	var have int
	err := c.pool.QueryRow(limited, `select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace
		where n.nspname = $1 and c.relname in ('ds_positions', 'ds_groups')`, c.schema).Scan(&have)
	if err == nil && have < 2 {
		err = c.create(ctx, "ds_positions and ds_groups", fmt.Sprintf(ownTables, quote(c.schema)))
	}
	c.ready = err == nil
	return err
}

func (c *connection) ownTable(name string) string { return quote(c.schema) + "." + name }
