package postgres

import (
	"context"
	"errors"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"ds-runner.dev/ds-runner/bridge_go/data/sql"
)

// Query implements [sql.Database]. Rows are read from the socket when a page asks for them: a server whose rows nobody reads
// waits, and neither side keeps more than the sockets hold.
func (d *database) Query(ctx context.Context, text string, params map[string]any, rows int) (sql.Pages, error) {
	call, err := bind(text, params)
	if err != nil {
		return nil, err
	}
	conn, err := d.acquire(ctx)
	if err != nil {
		return nil, err
	}
	fields, err := describe(ctx, conn.Conn().PgConn(), call)
	if err != nil {
		giveBack(conn)
		return nil, d.told(ctx, err, call.Bound)
	}
	if len(fields) == 0 {
		giveBack(conn)
		return nil, sql.Errorf(sql.BadSQL, "connection %s: the statement gives no rows. Statements that write are executed, not queried", d.name)
	}
	return d.start(ctx, conn, call, fields, rows)
}

// describe begins a transaction that can only read and has the statement prepared in it, in one round trip.
func describe(ctx context.Context, pc *pgconn.PgConn, call *call) ([]pgconn.FieldDescription, error) {
	pipe := pc.StartPipeline(ctx)
	pipe.SendQueryParams("begin read only", nil, nil, nil, nil)
	pipe.SendPrepare("", call.Text, call.oids)
	err := pipe.Sync()
	var statement *pgconn.StatementDescription
	for err == nil {
		var result any
		result, err = pipe.GetResults()
		switch r := result.(type) {
		case *pgconn.ResultReader:
			_, err = r.Close()
		case *pgconn.StatementDescription:
			statement = r
		case *pgconn.PipelineSync:
			return statement.Fields, pipe.Close()
		}
	}
	return nil, errors.Join(err, pipe.Close())
}

// start executes the prepared statement. The reading has a context of its own, which each page ties to its caller's.
func (d *database) start(ctx context.Context, conn *pgxpool.Conn, call *call, fields []pgconn.FieldDescription, rows int) (sql.Pages, error) {
	p := &pages{database: d, conn: conn, call: call}
	formats, columns := make([]int16, len(fields)), make([]arrow.Field, len(fields))
	kinds := make([]kind, len(fields))
	for i, f := range fields {
		kinds[i] = kindOf(f, d.numeric)
		formats[i] = kinds[i].format
		columns[i] = arrow.Field{Name: f.Name, Type: kinds[i].arrow, Nullable: true}
	}
	p.writer = sql.NewPageWriter(columns, sql.Rows(rows))
	for i, k := range kinds {
		p.put = append(p.put, k.into(p.writer.Builders[i]))
	}
	reading, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p.cancel = cancel
	stop := context.AfterFunc(ctx, cancel)
	defer stop()
	p.reader = conn.Conn().PgConn().ExecPrepared(reading, "", call.values, call.formats, formats)
	return p, nil
}

// pages read one statement.
type pages struct {
	database *database
	conn     *pgxpool.Conn // nil when given back
	call     *call
	reader   *pgconn.ResultReader
	cancel   context.CancelFunc
	writer   *sql.PageWriter
	put      []appender
}

// Next implements [sql.Pages].
func (p *pages) Next(ctx context.Context) (page []byte, done bool, err error) {
	stop := context.AfterFunc(ctx, p.cancel)
	defer stop()
	done, err = p.fill()
	if err == nil && done {
		_, err = p.reader.Close()
	}
	if err != nil {
		err = p.database.told(ctx, err, p.call.Bound)
		p.Close()
		return nil, false, err
	}
	if page, err = p.writer.Page(); err != nil || done {
		p.Close()
	}
	return page, done, err
}

// fill reads rows until the page is full, or there are no more.
func (p *pages) fill() (done bool, err error) {
	for p.reader.NextRow() {
		p.writer.Reserve()
		bytes := 0
		for i, raw := range p.reader.Values() {
			if raw == nil {
				p.writer.Builders[i].AppendNull()
				continue
			}
			if len(raw) > sql.MaxValue {
				return false, sql.TooLarge(p.database.name, p.nameOf(i), len(raw))
			}
			n, err := p.put[i](raw)
			if err != nil {
				return false, sql.Errorf(sql.BadValue, "connection %s: column %s: %v", p.database.name, p.nameOf(i), err)
			}
			bytes += n
		}
		if p.writer.Row(bytes) {
			return false, nil
		}
	}
	return true, nil
}

func (p *pages) nameOf(column int) string { return p.writer.Schema.Field(column).Name }

// Close implements [sql.Pages]. What is not read is cancelled in the server, and what it has sent already is read and dropped,
// so that the connection can be used again.
func (p *pages) Close() {
	if p.conn == nil {
		return
	}
	p.cancel()
	p.reader.Close() //nolint:errcheck // of a statement that nobody wants any more
	giveBack(p.conn)
	p.conn = nil
}
