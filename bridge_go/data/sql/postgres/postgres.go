// Package postgres answers SQL from PostgreSQL, by pgx at the level of its protocol: values come in binary and go into
// Arrow buffers at once.
//
// postgres.go opens the pool; query.go reads a statement page by page; columns.go says what each type becomes; parameters.go
// what goes out; write.go copies pages into tables; errors.go tells what the server says.
package postgres

import (
	"context"
	"fmt"
	"time"

	pgx "github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"

	"ds-runner.dev/ds-runner/bridge_go/data/pgconn"
	"ds-runner.dev/ds-runner/bridge_go/data/sql"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

func init() {
	for _, scheme := range []string{"postgres", "postgresql"} {
		sql.Register(scheme, open, "numeric")
	}
}

const (
	connections = 8
	// cancelTime is how long a server has to answer a cancelled statement before its connection is closed.
	cancelTime = 2 * time.Second
	// endTime bounds the end of a transaction.
	endTime = 5 * time.Second
)

var dialect = sql.Dialect{DollarQuotes: true, Escapes: true, Nested: true, Foreign: "$"}

// A database is a pool of connections, made as they are needed.
type database struct {
	name    string
	pool    *pgxpool.Pool
	numeric numericAs
}

func open(ctx context.Context, o messaging.Options) (sql.Database, error) {
	d := &database{name: o.Name}
	config, err := d.configure(o)
	if err != nil {
		return nil, err
	}
	d.pool, err = pgxpool.NewWithConfig(context.WithoutCancel(ctx), config)
	if err != nil {
		return nil, fmt.Errorf("connection %s: %w", o.Name, err)
	}
	return d, nil
}

// configure reads the settings. Statements have the deadlines of their calls, and no other: a cursor may take its time.
func (d *database) configure(o messaging.Options) (*pgxpool.Config, error) {
	s := o.Parse()
	dial := pgconn.Parse(o, s, connections)
	d.numeric = numericAs(s.Choice("numeric", string(numericText), string(numericFloat)))
	if err := s.Done(); err != nil {
		return nil, err
	}
	config, err := dial.Configure()
	if err != nil {
		return nil, err
	}
	config.MaxConnIdleTime = 5 * time.Minute
	config.ConnConfig.BuildContextWatcherHandler = func(conn *pgx.PgConn) ctxwatch.Handler {
		return &pgx.CancelRequestContextWatcherHandler{Conn: conn, DeadlineDelay: cancelTime}
	}
	return config, nil
}

// Close implements [sql.Database]. It does not wait for what is at work beyond the context.
func (d *database) Close(ctx context.Context) error {
	closed := make(chan struct{})
	go func() { d.pool.Close(); close(closed) }()
	select {
	case <-closed:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("connection %s: statements are still at work: %w", d.name, ctx.Err())
	}
}

// acquire takes a connection out of the pool, and waits for one when all are in use.
func (d *database) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	conn, err := d.pool.Acquire(ctx)
	if err == nil {
		return conn, nil
	}
	if s := d.pool.Stat(); ctx.Err() != nil && s.AcquiredConns() == s.MaxConns() {
		return nil, &sql.Error{Code: sql.Unavailable, Retry: true, Reason: fmt.Sprintf(
			"connection %s: all %d of its connections (connections) are in use; a cursor holds one until it is read to its end or closed",
			d.name, s.MaxConns())}
	}
	return nil, d.told(ctx, err, nil)
}

// giveBack ends what transaction there is and returns the connection to the pool, which drops it when that fails. Rolling back
// undoes whatever a statement has set for its session, too.
func giveBack(conn *pgxpool.Conn) {
	defer conn.Release()
	if pc := conn.Conn().PgConn(); !pc.IsClosed() && !pc.IsBusy() && pc.TxStatus() != 'I' {
		ctx, cancel := context.WithTimeout(context.Background(), endTime)
		defer cancel()
		pc.Exec(ctx, "rollback").Close() //nolint:errcheck // a connection that is still in its transaction is dropped by Release
	}
}

// Execute implements [sql.Database].
func (d *database) Execute(ctx context.Context, text string, params map[string]any) (int64, error) {
	call, err := bind(text, params)
	if err != nil {
		return 0, err
	}
	conn, err := d.acquire(ctx)
	if err != nil {
		return 0, err
	}
	defer giveBack(conn)
	result := conn.Conn().PgConn().ExecParams(ctx, call.Text, call.values, call.oids, call.formats, nil).Read()
	if result.Err != nil {
		return 0, d.told(ctx, result.Err, call.Bound)
	}
	return result.CommandTag.RowsAffected(), nil
}
