package postgres

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/providers"
)

var schemas atomic.Int64

// A rig is a schema of its own on a real server.
type rig struct {
	*testing.T
	url, schema string
	ctx         context.Context
}

func newRig(t *testing.T) *rig {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	r := &rig{T: t, url: providers.URL(t, "postgres"), ctx: ctx, schema: fmt.Sprintf("t%d_%d", time.Now().UnixNano(), schemas.Add(1))}
	r.exec("create schema " + r.schema)
	t.Cleanup(func() {
		r.exec("drop schema " + r.schema + " cascade")
		cancel()
	})
	return r
}

// session is a connection of somebody else, who works in the rig's schema.
func (r *rig) session() *pgx.Conn {
	r.Helper()
	conn, err := pgx.Connect(r.ctx, r.url)
	r.must(err)
	r.Cleanup(func() { conn.Close(context.Background()) })
	if r.schema != "" {
		_, err = conn.Exec(r.ctx, "set search_path = "+r.schema)
		r.must(err)
	}
	return conn
}

func (r *rig) exec(sql string, args ...any) {
	r.Helper()
	conn, err := pgx.Connect(r.ctx, r.url)
	r.must(err)
	defer conn.Close(r.ctx)
	_, err = conn.Exec(r.ctx, "set search_path = "+r.schema)
	r.must(err)
	_, err = conn.Exec(r.ctx, sql, args...)
	r.must(err)
}

// rows are the rows of a query as text.
func (r *rig) rows(sql string, args ...any) string {
	r.Helper()
	rows, err := r.session().Query(r.ctx, sql, args...)
	r.must(err)
	lines, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
		values, err := row.Values()
		return strings.Trim(fmt.Sprint(values), "[]"), err
	})
	r.must(err)
	return strings.Join(lines, "; ")
}

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// connect opens a connection with settings, given as "name", "value", ...
func (r *rig) connect(settings ...string) *connection {
	r.Helper()
	conn, err := r.open(settings...)
	r.must(err)
	r.Cleanup(func() { conn.Close(context.Background()) })
	return conn.(*connection)
}

func (r *rig) open(settings ...string) (messaging.Connection, error) {
	o := messaging.Options{Name: "warehouse", URL: r.url, Settings: map[string]string{"schema": r.schema, "poll": "10ms"}}
	for i := 0; i < len(settings); i += 2 {
		o.Settings[settings[i]] = settings[i+1]
	}
	return messaging.Open(r.ctx, o)
}

func (r *rig) sink(c *connection, topic string) *sink {
	r.Helper()
	s, err := c.Sink(r.ctx, messaging.SinkConfig{Topic: topic, Group: "p/c"})
	r.must(err)
	return s.(*sink)
}

func (r *rig) source(c *connection, topic, group string) messaging.Source {
	r.Helper()
	s, err := c.Source(r.ctx, messaging.SourceConfig{Topic: topic, Group: group})
	r.must(err)
	r.Cleanup(func() { s.Close(context.Background()) })
	return s
}

// read reads n records.
func (r *rig) read(s messaging.Source, n int) []messaging.Record {
	r.Helper()
	var all []messaging.Record
	for len(all) < n {
		some, err := s.Read(r.ctx, messaging.Limit{Events: n - len(all), Bytes: 1 << 30})
		if err != nil {
			r.Fatalf("after %d of %d records: %v", len(all), n, err)
		}
		all = append(all, some...)
	}
	return all
}

// nothing wants that a source has nothing to read for a while.
func (r *rig) nothing(s messaging.Source) {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.ctx, 150*time.Millisecond)
	defer cancel()
	if got, err := s.Read(ctx, messaging.Limit{Events: 10, Bytes: 1 << 20}); len(got) > 0 || ctx.Err() == nil {
		r.Fatalf("read %d records, %v: want none yet", len(got), err)
	}
}

func values(records []messaging.Record) string {
	all := make([]string, len(records))
	for i, r := range records {
		all[i] = string(r.Value)
	}
	return strings.Join(all, " ")
}

func (r *rig) want(got, want string) {
	r.Helper()
	if got != want {
		r.Fatalf("got  %s\nwant %s", got, want)
	}
}

func outgoing(values ...string) []messaging.Outgoing {
	all := make([]messaging.Outgoing, len(values))
	for i, v := range values {
		all[i].Value = []byte(v)
	}
	return all
}

type position = messaging.Position

func sourceConfig(topic string) messaging.SourceConfig {
	return messaging.SourceConfig{Topic: topic, Group: "g"}
}
