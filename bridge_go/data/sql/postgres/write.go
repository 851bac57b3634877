package postgres

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"ds-runner.dev/ds-runner/bridge_go/data/sql"
)

// Write implements [sql.Database], by COPY in text: the server then reads each value by its column's type, whatever it is, and
// names the row and the column of one that does not fit.
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
	conn, err := d.acquire(ctx)
	if err != nil {
		return 0, err
	}
	defer giveBack(conn)
	rows, err := copyInto(ctx, conn.Conn().PgConn(), pgx.Identifier(target).Sanitize(), table, schema, batches, mode)
	return rows, d.told(ctx, err, nil)
}

func copyInto(ctx context.Context, pc *pgconn.PgConn, target, table string, schema *arrow.Schema, batches []arrow.RecordBatch, mode sql.Mode) (int64, error) {
	columns, err := columnsOf(ctx, pc, target, table, schema)
	if err != nil {
		return 0, err
	}
	begin := "begin"
	if mode == sql.Replace {
		begin += "; truncate " + target
	}
	if err := pc.Exec(ctx, begin).Close(); err != nil {
		return 0, err
	}
	lines := &copyLines{batches: batches}
	tag, err := pc.CopyFrom(ctx, lines, fmt.Sprintf("copy %s (%s) from stdin", target, strings.Join(columns, ", ")))
	if lines.err != nil {
		return 0, lines.err
	}
	if err != nil {
		return 0, err
	}
	return tag.RowsAffected(), pc.Exec(ctx, "commit").Close()
}

// columnsOf are the page's columns as the table spells them, quoted.
func columnsOf(ctx context.Context, pc *pgconn.PgConn, target, table string, schema *arrow.Schema) ([]string, error) {
	statement, err := pc.Prepare(ctx, "", "select * from "+target, nil)
	if err != nil {
		return nil, err
	}
	have := make([]string, len(statement.Fields))
	for i, f := range statement.Fields {
		have[i] = f.Name
	}
	names := make([]string, schema.NumFields())
	for i, f := range schema.Fields() {
		names[i] = f.Name
	}
	if _, err := sql.Columns(table, names, have, func(a, b string) bool { return a == b }); err != nil {
		return nil, err
	}
	for i, name := range names {
		names[i] = pgx.Identifier{name}.Sanitize()
	}
	return names, nil
}

// copyLines are batches as COPY reads them: a line a row, tabs between values.
type copyLines struct {
	batches []arrow.RecordBatch
	row     int
	line    []byte
	unread  []byte
	err     error // the driver hides it behind the server's answer
}

const copyChunk = 64 << 10

// Read implements io.Reader.
func (c *copyLines) Read(to []byte) (int, error) {
	if len(c.unread) == 0 {
		if c.err = c.fill(); c.err != nil {
			return 0, c.err
		}
		if c.unread = c.line; len(c.unread) == 0 {
			return 0, io.EOF
		}
	}
	n := copy(to, c.unread)
	c.unread = c.unread[n:]
	return n, nil
}

func (c *copyLines) fill() error {
	c.line = c.line[:0]
	for len(c.line) < copyChunk && len(c.batches) > 0 {
		batch := c.batches[0]
		if c.row == int(batch.NumRows()) {
			c.batches, c.row = c.batches[1:], 0
			continue
		}
		for i, column := range batch.Columns() {
			value, err := sql.Cell(column, c.row)
			if err != nil {
				return fmt.Errorf("column %s: %w", batch.ColumnName(i), err)
			}
			if i > 0 {
				c.line = append(c.line, '\t')
			}
			c.line = appendCell(c.line, value)
		}
		c.line = append(c.line, '\n')
		c.row++
	}
	return nil
}

// appendCell writes a value for COPY, in which a backslash begins what cannot stand for itself.
func appendCell(b []byte, value any) []byte {
	if value == nil {
		return append(b, `\N`...)
	}
	start := len(b)
	b = appendText(b, value)
	switch value.(type) {
	case string, []byte, sql.List:
		return escape(b, start)
	}
	return b
}

// escape puts backslashes into what begins at start, in place where there is nothing to do.
func escape(b []byte, start int) []byte {
	text := b[start:]
	special := 0
	for _, c := range text {
		if escapes[c] != 0 {
			special++
		}
	}
	if special == 0 {
		return b
	}
	b = append(b, make([]byte, special)...)
	to := len(b) - 1
	for from := start + len(text) - 1; from >= start; from-- {
		c := b[from]
		if e := escapes[c]; e != 0 {
			b[to], b[to-1] = e, '\\'
			to -= 2
			continue
		}
		b[to] = c
		to--
	}
	return b
}

var escapes = [256]byte{'\\': '\\', '\t': 't', '\n': 'n', '\r': 'r'}
