package postgres

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

func TestAHorizonWaitsForThoseWhoHeldTheLockAndForNobodyElse(t *testing.T) {
	h := horizon{final: nowhere}
	for i, step := range []struct {
		newest  int64
		holders []string
		final   int64
	}{
		{3, nil, 3},                                     // nobody writes: all is final
		{7, []string{"3/1", "4/9"}, 3},                  // 6 may still come
		{9, []string{"4/9", "5/1"}, 3},                  // one has ended, the other not
		{12, []string{"5/1", "6/1"}, 7},                 // both have: up to 7, and those who came later hold up 12
		{12, []string{"6/1"}, 7},                        //
		{12, []string{"-1/712"}, 7},                     // one may have been prepared, which changes its name
		{13, []string{"-1/712", "9/1"}, 7},              //
		{13, []string{"9/1"}, 12},                       //
		{13, nil, 13},                                   //
		{10, nil, 13},                                   // the newest were deleted: never back
		{14, []string{"3/1"}, 13}, {14, []string{}, 14}, // a name that is used again
	} {
		if h.move(step.newest, step.holders); h.final != step.final {
			t.Fatalf("step %d: final is %d, want %d", i, h.final, step.final)
		}
	}
}

// events is a table of somebody else's, read by its increasing column.
func events(t *testing.T) *rig {
	r := newRig(t)
	r.exec("create table events (id bigint generated always as identity primary key, name text)")
	return r
}

func (r *rig) begin() (*pgx.Conn, func(sql string)) {
	conn := r.session()
	do := func(sql string) {
		r.Helper()
		_, err := conn.Exec(r.ctx, sql)
		r.must(err)
	}
	do("begin")
	return conn, do
}

func TestARowThatCommitsLateIsNotLost(t *testing.T) { // DELIVERY 26
	r := events(t)
	s := r.source(r.connect("cursor", "id"), "events", "g")
	_, late := r.begin()
	late("insert into events (name) values ('late')")
	r.exec("insert into events (name) values ('early')")
	r.nothing(s) // early can be read, and is held back: its neighbour has not said what becomes of it
	late("commit")
	r.want(values(r.read(s, 2)), `{"id":1,"name":"late"} {"id":2,"name":"early"}`)
}

// The usual advice would lose this one: the transaction with the lower number draws the higher value and commits first.
func TestARowIsNotLostThatAYoungerTransactionDrewEarlier(t *testing.T) {
	r := events(t)
	s := r.source(r.connect("cursor", "id"), "events", "g")
	_, older := r.begin()
	older("select pg_current_xact_id()")
	_, younger := r.begin()
	younger("insert into events (name) values ('first')")
	older("insert into events (name) values ('second')")
	older("commit")
	r.want(r.rows("select count(*) from events where pg_visible_in_snapshot(xmin::text::xid8, pg_current_snapshot()) and xmin::text::bigint < pg_snapshot_xmin(pg_current_snapshot())::text::bigint"), "1")
	r.nothing(s)
	younger("commit")
	r.want(values(r.read(s, 2)), `{"id":1,"name":"first"} {"id":2,"name":"second"}`)
}

func TestARowThatIsRolledBackHoldsNobodyUp(t *testing.T) {
	r := events(t)
	s := r.source(r.connect("cursor", "id"), "events", "g")
	_, never := r.begin()
	never("insert into events (name) values ('never')")
	r.exec("insert into events (name) values ('kept')")
	r.nothing(s)
	never("rollback")
	r.want(values(r.read(s, 1)), `{"id":2,"name":"kept"}`)
}

func TestTransactionsOnOtherTablesHoldNobodyUp(t *testing.T) {
	r := events(t)
	r.exec("create table others (id int)")
	s := r.source(r.connect("cursor", "id"), "events", "g")
	_, other := r.begin()
	other("insert into others values (1)")
	r.exec("insert into events (name) values ('kept')")
	r.want(values(r.read(s, 1)), `{"id":1,"name":"kept"}`)
	other("rollback")
}

func TestBrowsingPassesNoRowThatCommitsLate(t *testing.T) {
	r := newRig(t)
	c := r.connect("create", "true")
	_, late := r.begin()
	r.sink(c, "dead")
	late("insert into dead (value) values ('late')")
	r.must(r.sink(c, "dead").Write(r.ctx, outgoing("early")))
	ctx, cancel := context.WithTimeout(r.ctx, 2*time.Second)
	defer cancel()
	records, after, err := c.Browse(ctx, "dead", messaging.Oldest, 10)
	r.must(err)
	r.want(values(records), "")
	late("commit")
	records, _, err = c.Browse(r.ctx, "dead", after, 10)
	r.must(err)
	r.want(values(records), "late early")
}

func TestWhatCannotBePromisedIsRefusedOrLabelled(t *testing.T) {
	for _, c := range []struct{ name, table, cursor, says string }{
		{"a time", "id int primary key, at timestamptz default now()", "at", "times are taken when a transaction begins"},
		{"no sequence", "id int primary key", "id", "do not come from a sequence"},
		{"values kept by sessions", "id int generated always as identity (cache 10) primary key", "id", "cache 1"},
		{"a sequence that decreases", "id int generated always as identity (increment -1) primary key", "id", "does not only increase"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.exec("create table events (" + c.table + ")")
			_, err := r.connect("cursor", c.cursor).Source(r.ctx, sourceConfig("events"))
			if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "lossy=allow") {
				t.Fatalf("got %v", err)
			}
			r.source(r.connect("cursor", c.cursor, "lossy", "allow"), "events", "g")
		})
	}
	for _, c := range []struct{ name, table, cursor, says string }{
		{"no such column", "id int primary key, name text", "idd", `no column "idd" for cursor. It has: id, name`},
		{"text", "id text primary key", "id", "expected an integer or a timestamp"},
		{"not unique", "id int generated always as identity", "id", "create unique index"},
		{"a time without a key", "at timestamptz", "at", "primary key"},
		{"nothing said", "id int", "", "Set cursor="},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.exec("create table events (" + c.table + ")")
			_, err := r.connect("cursor", c.cursor, "lossy", "allow").Source(r.ctx, sourceConfig("events"))
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("got %v", err)
			}
		})
	}
}

func TestRowsOfOneMomentAreToldApart(t *testing.T) {
	r := newRig(t)
	r.exec("create table events (id int primary key, at timestamptz)")
	r.exec("insert into events select n, '2024-02-03 04:05:06.789012Z' from generate_series(1, 10) n")
	c := r.connect("cursor", "at", "lossy", "allow")
	s := r.source(c, "events", "g")
	got := r.read(s, 4)
	r.must(s.Commit(r.ctx, []position{{Offset: got[3].Offset}}))
	r.must(s.Close(r.ctx))
	r.exec("insert into events values (11, '2024-02-03 04:05:06.789013Z')")
	s = r.source(c, "events", "g")
	rest := r.read(s, 7)
	r.want(string(rest[0].Value), `{"id":5,"at":"2024-02-03T04:05:06.789012+00:00"}`)
	r.want(string(rest[6].Value), `{"id":11,"at":"2024-02-03T04:05:06.789013+00:00"}`)
	r.nothing(s)
}

func TestValuesKeepWhatTheyAre(t *testing.T) {
	r := newRig(t)
	r.exec(`create table events (id bigint generated always as identity primary key, n numeric, b bigint, f float8, t timestamptz,
		raw bytea, j jsonb, l int[], nothing text, yes bool, weird numeric)`)
	r.exec(`insert into events (n, b, f, t, raw, j, l, yes, weird) values (12345678901234567890.000100, 9007199254740993, 0.1,
		'2024-01-02 03:04:05.123456+02', '\x00ff' || convert_to(repeat('x', 100), 'UTF8'), '{"a": [1, 2.50]}', '{1,null,3}', true, 'NaN')`)
	s := r.source(r.connect("cursor", "id"), "events", "g")
	got := r.read(s, 1)[0]
	r.want(string(got.Key), "1")
	r.want(string(got.Value), `{"id":1,"n":12345678901234567890.000100,"b":9007199254740993,"f":0.1,"t":"2024-01-02T01:04:05.123456+00:00",`+
		`"raw":"AP94`+strings.Repeat("eHh4", 33)+`","j":{"a": [1, 2.50]},"l":[1,null,3],"nothing":null,"yes":true,"weird":"NaN"}`)
}
