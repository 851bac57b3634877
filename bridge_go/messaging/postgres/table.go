package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// A table is what the catalogue says of a topic.
type table struct {
	topic        string // as it was asked for
	schema, name string
	oid          uint32
	stamp        string // of a table that we made: tells its lives apart, also over dump and restore
	columns      []column
	unique       [][]string // columns of each unique index without a condition; the primary key first
	primary      []string
	raw          bool
}

type column struct {
	name, kind string // kind as format_type has it, without modifiers
	full       string // and with them
	generated  bool   // cannot be written
	sequence   string // the sequence that its default draws from, if any
}

// quote makes an identifier of any name.
func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

func quoteAll(names []string) []string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = quote(n)
	}
	return quoted
}

func (t *table) sql() string { return quote(t.schema) + "." + quote(t.name) }

func (t *table) names() []string {
	all := make([]string, len(t.columns))
	for i, c := range t.columns {
		all[i] = c.name
	}
	return all
}

func (t *table) column(name string) *column {
	for i := range t.columns {
		if t.columns[i].name == name {
			return &t.columns[i]
		}
	}
	return nil
}

// hasUnique says whether these columns tell rows apart.
func (t *table) hasUnique(names ...string) bool {
	want := slices.Sorted(slices.Values(names))
	return slices.ContainsFunc(t.unique, func(index []string) bool {
		return slices.Equal(slices.Sorted(slices.Values(index)), want)
	})
}

const describeTable = `
select c.oid, n.nspname, c.relname, coalesce(substring(obj_description(c.oid, 'pg_class') from 'ds-runner topic ([0-9a-f-]+)'), '')
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = $1 and c.relname = $2 and c.relkind in ('r', 'p', 'v', 'm', 'f')`

const describeColumns = `
select a.attname, format_type(a.atttypid, null), format_type(a.atttypid, a.atttypmod), a.attgenerated <> '' or a.attidentity = 'a',
       coalesce(
                pg_get_serial_sequence(quote_ident($2) || '.' || quote_ident($3), a.attname),
                substring(pg_get_expr(f.adbin, f.adrelid) from 'nextval\(''(.+)''::regclass\)$'), '')
from pg_attribute a left join pg_attrdef f on f.adrelid = a.attrelid and f.adnum = a.attnum
where a.attrelid = $1 and a.attnum > 0 and not a.attisdropped order by a.attnum`

const describeUnique = `
select i.indisprimary, array(select a.attname::text from unnest(i.indkey::int2[]) with ordinality k(n, at)
                             join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.n
                             where k.at <= i.indnkeyatts order by k.at)
from pg_index i where i.indrelid = $1 and i.indisunique and i.indisvalid and i.indpred is null and i.indexprs is null
order by not i.indisprimary, i.indexrelid`

// table finds a topic's table; with make it is made when it is missing and the settings say so.
func (c *connection) table(ctx context.Context, topic string) (*table, error) {
	if c.isClosed() {
		return nil, messaging.ErrClosed
	}
	t, err := c.find(ctx, topic)
	if err != nil || t != nil {
		return t, err
	}
	if !c.settings.create {
		return nil, fmt.Errorf("postgres: %s: no such table. Make it, or set create=true on the connection for one in the raw layout: %w",
			topic, messaging.ErrNoTopic)
	}
	if err := c.createRaw(ctx, topic); err != nil {
		return nil, err
	}
	if t, err = c.find(ctx, topic); err == nil && t == nil {
		err = fmt.Errorf("postgres: %s: %w", topic, messaging.ErrNoTopic)
	}
	return t, err
}

// place is the schema and the name of a topic's table.
func (c *connection) place(ctx context.Context, topic string) (schema, name string, err error) {
	first, rest, found := strings.Cut(topic, ".")
	if !found || first == "" || rest == "" {
		return c.schema, topic, nil
	}
	ctx, cancel := c.limit(ctx)
	defer cancel()
	var isSchema bool
	err = c.pool.QueryRow(ctx, "select exists (select from pg_namespace where nspname = $1)", first).Scan(&isSchema)
	if isSchema {
		return first, rest, err
	}
	return c.schema, topic, err
}

// find describes the table of a topic, or returns nil when there is none.
func (c *connection) find(ctx context.Context, topic string) (*table, error) {
	schema, name, err := c.place(ctx, topic)
	if err != nil {
		return nil, err
	}
	ctx, cancel := c.limit(ctx)
	defer cancel()
	t := &table{topic: topic}
	err = c.pool.QueryRow(ctx, describeTable, schema, name).Scan(&t.oid, &t.schema, &t.name, &t.stamp)
	if err == pgx.ErrNoRows {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	rows, _ := c.pool.Query(ctx, describeColumns, t.oid, t.schema, t.name)
	t.columns, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (col column, err error) {
		return col, row.Scan(&col.name, &col.kind, &col.full, &col.generated, &col.sequence)
	})
	if err != nil {
		return nil, err
	}
	rows, _ = c.pool.Query(ctx, describeUnique, t.oid)
	t.unique, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (index []string, err error) {
		var primary bool
		if err = row.Scan(&primary, &index); primary {
			t.primary = index
		}
		return index, err
	})
	t.raw = isRaw(t)
	return t, err
}

// Incarnation is the stamp of a table that we made, which survives dump and restore, or the number that the database gave it.
func (c *connection) Incarnation(ctx context.Context, topic string) (string, error) {
	if text, ok := queryOf(topic); ok {
		return fingerprint(text), nil
	}
	t, err := c.table(ctx, topic)
	if err != nil {
		return "", err
	}
	return t.incarnation(), nil
}

func (t *table) incarnation() string {
	if t.stamp != "" {
		return t.stamp
	}
	return fmt.Sprint(t.oid)
}
