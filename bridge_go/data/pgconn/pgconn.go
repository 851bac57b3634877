// Package pgconn dials PostgreSQL for every seam that needs it: one reading of the URL and of TLS settings, sessions in which
// times are UTC and nothing waits for ever, and errors told apart by whose fault they are.
package pgconn

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// Config is how a database is reached and how long it may take.
type Config struct {
	options messaging.Options
	query   url.Values
	most    int64

	Timeout time.Duration // of every statement and of dialing
}

// Parse reads the settings that all connections to PostgreSQL share:
//
//	timeout=10s       of every statement, and of dialing
//	connections=4     at most, at a time
//	sslmode=prefer    disable, require, verify-ca, verify-full
//	sslrootcert=FILE  and sslcert, sslkey: relative to the project's folder
func Parse(o messaging.Options, s *messaging.Settings, connections int64) Config {
	c := Config{options: o, query: url.Values{}}
	c.Timeout = s.Duration("timeout", 10*time.Second, 10*time.Millisecond)
	c.most = s.Int("connections", connections, 1)
	c.query.Set("sslmode", s.Choice("sslmode", "prefer", "disable", "require", "verify-ca", "verify-full"))
	for _, name := range []string{"sslrootcert", "sslcert", "sslkey"} {
		if file := s.String(name, ""); file != "" {
			c.query.Set(name, inFolder(o.Dir, file))
		}
	}
	return c
}

func inFolder(dir, file string) string {
	if dir == "" || strings.HasPrefix(file, string(os.PathSeparator)) {
		return file
	}
	return dir + string(os.PathSeparator) + file
}

// Pool opens connections as they are needed. It asks the server for one, so that a wrong address is told here.
func (c Config) Pool(ctx context.Context) (*pgxpool.Pool, error) {
	config, err := c.Configure()
	if err != nil {
		return nil, err
	}
	config.AfterConnect = c.prepare
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, c.mistake()
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	if err := pool.Ping(ctx); err != nil {
		ClosePool(pool)
		return nil, fmt.Errorf("connection %s: %s: %w", c.options.Name, messaging.Mask(c.options.URL), Plain(err))
	}
	return pool, nil
}

// Configure is how a pool is made, for those who bound what their sessions do themselves: text forms are as [Shape] has them.
func (c Config) Configure() (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(c.url())
	if err != nil {
		return nil, c.mistake()
	}
	config.MaxConns = int32(c.most)
	config.ConnConfig.ConnectTimeout = c.Timeout
	config.ConnConfig.RuntimeParams["application_name"] = "ds-bridge " + c.options.Name
	config.AfterConnect = Shape
	return config, nil
}

// Shape makes a session's text forms the same on every server.
func Shape(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.PgConn().Exec(ctx, strings.Join(shape, "; ")).ReadAll()
	return err
}

// Replication opens one connection that speaks the replication protocol.
func (c Config) Replication(ctx context.Context) (*pgconn.PgConn, error) {
	config, err := pgconn.ParseConfig(c.url())
	if err != nil {
		return nil, c.mistake()
	}
	config.ConnectTimeout = c.Timeout
	config.RuntimeParams["replication"] = "database"
	config.RuntimeParams["application_name"] = "ds-bridge " + c.options.Name
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return nil, Plain(err)
	}
	for _, statement := range shape {
		if _, err := conn.Exec(ctx, statement).ReadAll(); err != nil {
			conn.Close(ctx)
			return nil, Plain(err)
		}
	}
	return conn, nil
}

// shape makes text forms the same on every server: ISO 8601 in UTC, floats in full.
var shape = []string{"set timezone = 'UTC'", "set datestyle = 'ISO'", "set intervalstyle = 'iso_8601'", "set extra_float_digits = 1"}

// prepare gives a new session its limits. The server's own are there for clients that stand still: what they hold is set free.
func (c Config) prepare(ctx context.Context, conn *pgx.Conn) error {
	milliseconds := c.Timeout.Milliseconds()
	limits := fmt.Sprintf("; set statement_timeout = %d; set idle_in_transaction_session_timeout = %d", milliseconds, 3*milliseconds)
	_, err := conn.PgConn().Exec(ctx, strings.Join(shape, "; ")+limits).ReadAll()
	return err
}

func (c Config) url() string {
	base := c.options.URL
	return base + "?" + c.query.Encode()
}

// mistake is said of a URL that cannot be read. The parser's own words may hold the password.
func (c Config) mistake() error {
	return fmt.Errorf("connection %s: %s cannot be used: expected postgres://user:password@host:5432/database, "+
		"and certificates that can be read", c.options.Name, messaging.Mask(c.options.URL))
}

// ClosePool closes a pool without waiting for a server that does not answer.
func ClosePool(pool *pgxpool.Pool) {
	done := make(chan struct{})
	go func() {
		pool.Close()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(2 * time.Second):
	}
}

// Plain is an error without the user's name and the database's, which the client's own words repeat.
func Plain(err error) error {
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) {
		if cause := connect.Unwrap(); cause != nil {
			err = fmt.Errorf("cannot connect: %w", cause)
		}
		if Code(err) == "57P03" { // it is just starting, or ending
			return messaging.MarkAway(err)
		}
	}
	return err
}
