package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A querier is a session, a pool or a transaction.
type querier interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// A plan is how a table is read in the order of a column.
type plan struct {
	t      *table
	column string
	times  bool // the column is a time: offsets are ranked microseconds (see ranks)
	exact  bool // the column has a horizon
	sql    string
}

// plan chooses the column and refuses those that cannot promise what the settings ask for.
func (c *connection) plan(t *table) (*plan, error) {
	p := &plan{t: t, column: c.settings.cursor}
	switch {
	case t.raw && (p.column == "" || p.column == "id"):
		p.column = "id"
	case p.column == "":
		return nil, fmt.Errorf("postgres: %s is a table of columns, and nothing says how to read it. Set cursor= to an increasing "+
			"column, slot= for its log, or bounded=true to read what it holds now", t.topic)
	}
	col := t.column(p.column)
	if col == nil {
		return nil, fmt.Errorf("postgres: %s has no column %q for cursor. It has: %s", t.topic, p.column, strings.Join(t.names(), ", "))
	}
	p.times = strings.HasPrefix(col.kind, "timestamp")
	if err := p.ordered(col); err != nil {
		return nil, err
	}
	p.sql = p.statement()
	return p, nil
}

var integers = []string{"smallint", "integer", "bigint"}

// ordered asks that offsets tell rows apart.
func (p *plan) ordered(col *column) error {
	switch {
	case p.times && len(p.t.primary) == 0:
		return fmt.Errorf("postgres: %s: rows of one moment cannot be told apart without a primary key. Add one", p.t.topic)
	case !p.times && !slices.Contains(integers, col.kind):
		return fmt.Errorf("postgres: %s: cursor column %s is %s, expected an integer or a timestamp", p.t.topic, col.name, col.kind)
	case !p.times && !p.t.hasUnique(col.name):
		return fmt.Errorf("postgres: %s: two rows may have the same %s. Make it unique: create unique index on %s (%s)",
			p.t.topic, col.name, p.t.sql(), quote(col.name))
	}
	return nil
}

// promise finds out whether the column has a horizon. Where it has none, and lossy=allow, reading goes without.
func (c *connection) promise(ctx context.Context, p *plan, q querier) error {
	why, err := lossy(ctx, p, q)
	if err != nil {
		return err
	}
	p.exact = why == ""
	if p.exact {
		return nil
	}
	if !c.settings.lossy {
		return fmt.Errorf("postgres: %s: reading by %s may lose rows that commit late: %s. Read by a column that does not, "+
			"by slot=, or accept it with lossy=allow", p.t.topic, p.column, why)
	}
	c.options.Log.Warn("rows that commit late are lost to this source", "topic", p.t.topic, "column", p.column, "why", why)
	return nil
}

// lossy says why rows that commit late would be lost, empty if they are not.
func lossy(ctx context.Context, p *plan, q querier) (string, error) {
	if p.times {
		return "times are taken when a transaction begins, and clocks are set", nil
	}
	var standby bool
	var kind string
	if err := q.QueryRow(ctx, "select pg_is_in_recovery(), (select relkind::text from pg_class where oid = $1)", p.t.oid).
		Scan(&standby, &kind); err != nil {
		return "", err
	}
	switch sequence := p.t.column(p.column).sequence; {
	case standby:
		return "a standby does not know who is writing on the primary", nil
	case kind != "r" && kind != "p":
		return "it is no plain table, so that its writers cannot be seen", nil
	case sequence == "":
		return "its values do not come from a sequence", nil
	default:
		return unordered(ctx, sequence, q)
	}
}

func unordered(ctx context.Context, sequence string, q querier) (string, error) {
	var cache, step int64
	var cycles bool
	err := q.QueryRow(ctx, "select seqcache, seqincrement, seqcycle from pg_sequence where seqrelid = $1::text::regclass", sequence).
		Scan(&cache, &step, &cycles)
	switch {
	case err != nil:
		return "", fmt.Errorf("postgres: sequence %s: %w", sequence, err)
	case cache != 1:
		return fmt.Sprintf("sessions keep %d values of sequence %s for later (alter sequence %s cache 1)", cache, sequence, sequence), nil
	case step < 1 || cycles:
		return fmt.Sprintf("sequence %s does not only increase", sequence), nil
	}
	return "", nil
}

// epoch is where offsets of times begin: 2000 UTC, in seconds.
const epoch = 946684800

// statement selects offset, key, value, time and headers of rows behind $1, up to $2, at most $3.
func (p *plan) statement() string {
	col := quote(p.column)
	if p.t.raw {
		return fmt.Sprintf(`select %[1]s, key, value, (extract(epoch from time) * 1000000)::bigint, headers::text from %[2]s t
			where %[1]s > $1 and %[1]s <= $2 order by %[1]s limit $3`, col, p.t.sql())
	}
	rest := fmt.Sprintf(`%s, %s, null::bigint, null::text from %s t`, keyOf(p.t), rowOf(p.t), p.t.sql())
	if !p.times {
		return fmt.Sprintf(`select %[1]s::bigint, %[2]s where %[1]s > $1 and %[1]s <= $2 order by %[1]s limit $3`, col, rest)
	}
	return fmt.Sprintf(`select ((extract(epoch from %[1]s) - %[3]d) * 1000000)::bigint, %[2]s
		where %[1]s >= to_timestamp(%[3]d) + $1 * interval '1 microsecond' and %[1]s <= to_timestamp(%[3]d) + $2 * interval '1 microsecond'
		order by %[1]s, %[4]s limit $3`, col, rest, epoch, strings.Join(quoteAll(p.t.primary), ", "))
}

// keyOf is the key of a row as bytes: the column's text, or a JSON array of several.
func keyOf(t *table) string {
	quoted := quoteAll(t.primary)
	switch len(quoted) {
	case 0:
		return "null::bytea"
	case 1:
		return "convert_to(t." + quoted[0] + "::text, 'UTF8')"
	}
	return "convert_to(json_build_array(t." + strings.Join(quoted, ", t.") + ")::text, 'UTF8')"
}

// rowOf is a row as a JSON object, as bytes.
func rowOf(t *table) string {
	columns := make([]string, len(t.columns))
	for i, c := range t.columns {
		columns[i] = "t." + quote(c.name)
		if c.kind == "bytea" {
			columns[i] = fmt.Sprintf("translate(encode(%s, 'base64'), E'\\n', '') as %s", columns[i], quote(c.name))
		}
	}
	return "convert_to((select row_to_json(r) from (select " + strings.Join(columns, ", ") + ") r)::text, 'UTF8')"
}
