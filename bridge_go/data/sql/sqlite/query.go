package sqlite

import (
	"context"
	databasesql "database/sql"
	"slices"
	"strconv"
	"strings"

	"ds-runner.dev/ds-runner/bridge_go/data/sql"
)

// A call is a statement with its values as the library takes them.
type call struct {
	*sql.Statement
	Text   string
	values []any
}

// bind puts numbered parameters in the place of names, and of a list as many as it has items.
func bind(text string, params map[string]any) (*call, error) {
	statement, err := sql.ParseStatement(text, dialect)
	if err != nil {
		return nil, err
	}
	c := &call{Statement: statement}
	marks := make([]string, len(statement.Names))
	for i, name := range statement.Names {
		marks[i] = c.add(params[name])
	}
	bound, err := statement.Bind(params, func(name int) string { return marks[name] })
	if err != nil {
		return nil, err
	}
	c.Text = bound.Text
	return c, nil
}

func (c *call) add(value any) string {
	list, ok := value.(sql.List)
	if !ok {
		c.values = append(c.values, stored(value))
		return "?" + strconv.Itoa(len(c.values))
	}
	marks := make([]string, len(list))
	for i, item := range list {
		marks[i] = c.add(item)
	}
	return strings.Join(marks, ", ")
}

// stored is a value as a file has it: SQLite knows no times and no truth, and keeps the digits that it is given as a number.
func stored(value any) any {
	switch v := value.(type) {
	case bool:
		if v {
			return int64(1)
		}
		return int64(0)
	case []byte:
		if v == nil {
			return []byte{}
		}
	case sql.Timestamp:
		return v.String()
	case sql.Date:
		return v.String()
	case sql.Decimal:
		return string(v)
	}
	return value
}

// asking are the statements that can be queried. PRAGMA is not among them: it would change the connection for those who come
// after; the functions pragma_table_info and so on tell the same.
var asking = []string{"select", "with", "values", "explain"}

// Query implements [sql.Database].
func (d *database) Query(ctx context.Context, text string, params map[string]any, rows int) (sql.Pages, error) {
	call, err := bind(text, params)
	switch {
	case err != nil:
		return nil, err
	case !slices.Contains(asking, call.Verb):
		return nil, sql.Errorf(sql.BadSQL, "connection %s: a query begins with %s, not with %q. Statements that write are executed",
			d.name, strings.Join(asking, ", "), call.Verb)
	case call.More:
		return nil, sql.Errorf(sql.BadSQL, "connection %s: a query is one statement, and something follows its semicolon", d.name)
	}
	conn, err := d.reader(ctx)
	if err != nil {
		return nil, err
	}
	reading, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, cancel)
	defer stop()
	result, err := conn.QueryContext(reading, call.Text, call.values...)
	if err != nil {
		cancel()
		conn.Close()
		return nil, d.told(ctx, err)
	}
	p := &pages{database: d, conn: conn, rows: result, cancel: cancel, limit: sql.Rows(rows)}
	if err := p.describe(); err != nil {
		p.Close()
		return nil, d.told(ctx, err)
	}
	return p, nil
}

// pages read one statement.
type pages struct {
	database *database
	conn     *databasesql.Conn
	rows     *databasesql.Rows
	cancel   context.CancelFunc
	limit    int

	columns []*column
	guessed bool    // some columns have no declaration, and their types wait for the first page's values
	waiting [][]any // rows that were read before all types were known
	values  []any   // of the row at hand
	into    []any   // pointers to these
	writer  *sql.PageWriter
}

// describe reads the declarations.
func (p *pages) describe() error {
	types, err := p.rows.ColumnTypes()
	if err != nil {
		return err
	}
	p.values, p.into = make([]any, len(types)), make([]any, len(types))
	for i, t := range types {
		p.columns = append(p.columns, columnOf(t.Name(), t.DatabaseTypeName()))
		p.guessed = p.guessed || p.columns[i].kind == nil
		p.into[i] = &p.values[i]
	}
	if !p.guessed {
		p.start()
	}
	return nil
}

// start begins the pages: every column has a type.
func (p *pages) start() {
	p.writer = sql.NewPageWriter(fieldsOf(p.columns), p.limit)
	for i, c := range p.columns {
		c.put = c.kind.into(p.writer.Builders[i])
	}
}

// Next implements [sql.Pages].
func (p *pages) Next(ctx context.Context) (page []byte, done bool, err error) {
	stop := context.AfterFunc(ctx, p.cancel)
	defer stop()
	if done, err = p.fill(); err == nil {
		page, err = p.writer.Page()
	}
	if err != nil {
		err = p.database.told(ctx, err)
	}
	if err != nil || done {
		p.Close()
	}
	return page, done, err
}

func (p *pages) fill() (done bool, err error) {
	if p.writer == nil {
		if err := p.guess(); err != nil {
			return false, err
		}
	}
	for len(p.waiting) > 0 {
		row := p.waiting[0]
		p.waiting = p.waiting[1:]
		if full, err := p.append(row); full || err != nil {
			return false, err
		}
	}
	for p.rows.Next() {
		if err := p.rows.Scan(p.into...); err != nil {
			return false, err
		}
		if full, err := p.append(p.values); full || err != nil {
			return false, err
		}
	}
	return true, p.rows.Err()
}

// guessing is among how many rows the first value of a column without a declaration is looked for.
const guessing = 1000

// guess gives columns without a declaration the type of their first value. That is as far as SQLite can tell of an
// expression; one that turns out otherwise later is an error, never another type.
func (p *pages) guess() error {
	for p.open() && len(p.waiting) < guessing && p.rows.Next() {
		if err := p.rows.Scan(p.into...); err != nil {
			return err
		}
		p.waiting = append(p.waiting, slices.Clone(p.values))
		for i, c := range p.columns {
			if c.kind == nil {
				c.kind = kindOfValue(p.values[i])
			}
		}
	}
	for _, c := range p.columns {
		if c.kind == nil {
			c.kind = float64s
		}
	}
	p.start()
	return p.rows.Err()
}

// open says whether a column still waits for its first value.
func (p *pages) open() bool {
	return slices.ContainsFunc(p.columns, func(c *column) bool { return c.kind == nil })
}

func (p *pages) append(row []any) (full bool, err error) {
	p.writer.Reserve()
	bytes := 0
	for i, v := range row {
		if v == nil {
			p.writer.Builders[i].AppendNull()
			continue
		}
		n, ok := p.columns[i].put(v)
		if !ok {
			return false, p.columns[i].refuse(p.database.name, v)
		}
		if n > sql.MaxValue {
			return false, sql.TooLarge(p.database.name, p.columns[i].name, n)
		}
		bytes += n
	}
	return p.writer.Row(bytes), nil
}

// Close implements [sql.Pages].
func (p *pages) Close() {
	p.cancel()
	p.rows.Close()
	p.conn.Close()
}
