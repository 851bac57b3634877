package sqlite

import (
	"context"
	databasesql "database/sql"
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"ds-runner.dev/ds-runner/bridge_go/data/sql"
)

// Write implements [sql.Database], by inserts of many rows each in one transaction.
func (d *database) Write(ctx context.Context, table string, mode sql.Mode, page []byte) (int64, error) {
	schema, batches, err := sql.ReadPage(page)
	if err != nil {
		return 0, err
	}
	defer func() {
		for _, b := range batches {
			b.Release()
		}
	}()
	target, err := sql.TableName(table)
	if err != nil {
		return 0, err
	}
	if err := d.makeFolder(); err != nil {
		return 0, err
	}
	tx, err := d.writing.BeginTx(ctx, nil)
	if err != nil {
		return 0, d.told(ctx, err)
	}
	rows, err := writeIn(ctx, tx, quoted(target), table, schema, batches, mode)
	if err != nil {
		tx.Rollback() //nolint:errcheck // the first error is the one to tell
		return 0, d.told(ctx, err)
	}
	return rows, d.told(ctx, tx.Commit())
}

func quoted(names []string) string {
	all := make([]string, len(names))
	for i, name := range names {
		all[i] = `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
	}
	return strings.Join(all, ".")
}

func writeIn(ctx context.Context, tx *databasesql.Tx, target, table string, schema *arrow.Schema, batches []arrow.RecordBatch, mode sql.Mode) (int64, error) {
	columns, err := columnsOf(ctx, tx, target, table, schema)
	if err != nil {
		return 0, err
	}
	if mode == sql.Replace {
		if _, err := tx.ExecContext(ctx, "delete from "+target); err != nil {
			return 0, err
		}
	}
	w := &inserter{ctx: ctx, tx: tx, into: fmt.Sprintf("insert into %s (%s) values ", target, strings.Join(columns, ", ")), width: len(columns)}
	defer w.close()
	for _, batch := range batches {
		if err := w.batch(batch); err != nil {
			return 0, err
		}
	}
	return w.rows, w.flush()
}

func columnsOf(ctx context.Context, tx *databasesql.Tx, target, table string, schema *arrow.Schema) ([]string, error) {
	rows, err := tx.QueryContext(ctx, "select * from "+target+" limit 0")
	if err != nil {
		return nil, err
	}
	have, err := rows.Columns()
	rows.Close()
	if err != nil {
		return nil, err
	}
	names := make([]string, schema.NumFields())
	for i, f := range schema.Fields() {
		names[i] = f.Name
	}
	if len(names) == 0 {
		return nil, sql.Errorf(sql.BadValue, "the page has no columns")
	}
	places, err := sql.Columns(table, names, have, strings.EqualFold)
	if err != nil {
		return nil, err
	}
	for i, place := range places {
		names[i] = quoted(have[place : place+1])
	}
	return names, nil
}

// inserter inserts rows, so many at once that a statement costs little a row.
type inserter struct {
	ctx    context.Context
	tx     *databasesql.Tx
	into   string
	width  int
	full   *databasesql.Stmt // inserts as many rows as one statement takes
	values []any
	rows   int64
}

// maxValues is the number of values of one statement: the library takes 32,766.
const maxValues = 2000

func (w *inserter) most() int { return max(1, maxValues/w.width) * w.width }

func (w *inserter) batch(batch arrow.RecordBatch) error {
	for row := range int(batch.NumRows()) {
		for i, column := range batch.Columns() {
			value, err := sql.Cell(column, row)
			if err != nil {
				return fmt.Errorf("column %s: %w", batch.ColumnName(i), err)
			}
			if _, ok := value.(sql.List); ok {
				return sql.Errorf(sql.BadValue, "column %s holds lists, which SQLite has none of: write them as JSON text", batch.ColumnName(i))
			}
			w.values = append(w.values, stored(value))
		}
		w.rows++
		if len(w.values) >= w.most() {
			if err := w.insert(); err != nil {
				return err
			}
		}
	}
	return nil
}

// insert writes a full statement's rows.
func (w *inserter) insert() (err error) {
	if w.full == nil {
		if w.full, err = w.tx.PrepareContext(w.ctx, w.text(len(w.values)/w.width)); err != nil {
			return err
		}
	}
	_, err = w.full.ExecContext(w.ctx, w.values...)
	w.values = w.values[:0]
	return err
}

// flush writes what is left.
func (w *inserter) flush() error {
	if len(w.values) == 0 {
		return nil
	}
	_, err := w.tx.ExecContext(w.ctx, w.text(len(w.values)/w.width), w.values...)
	return err
}

func (w *inserter) text(rows int) string {
	row := "(" + strings.TrimSuffix(strings.Repeat("?, ", w.width), ", ") + ")"
	return w.into + strings.TrimSuffix(strings.Repeat(row+", ", rows), ", ")
}

func (w *inserter) close() {
	if w.full != nil {
		w.full.Close()
	}
}
