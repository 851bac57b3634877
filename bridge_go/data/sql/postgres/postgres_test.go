package postgres_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"ds-runner.dev/ds-runner/bridge_go/data/sql"
	_ "ds-runner.dev/ds-runner/bridge_go/data/sql/postgres"
	"ds-runner.dev/ds-runner/bridge_go/data/sql/sqltest"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/providers"
)

// marked names this process's connections, so that what they do can be told from what others do.
var marked = fmt.Sprintf("sqltest-%d", time.Now().UnixNano())

func open(t testing.TB, settings map[string]string) sql.Database {
	t.Helper()
	d, err := sql.Open(context.Background(), messaging.Options{Name: marked, URL: providers.URL(t, "postgres"), Settings: settings})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func start(t *testing.T) *sqltest.Bench {
	t.Helper()
	return sqltest.Start(t, open(t, nil))
}

var tables atomic.Int64

func newTable(t *testing.T, d sql.Database, columns string) string {
	t.Helper()
	name := fmt.Sprintf("%s_%d", strings.ReplaceAll(marked, "-", "_"), tables.Add(1))
	if _, err := d.Execute(context.Background(), "create table "+name+" ("+columns+")", nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { admin(t, "drop table "+name) })
	return name
}

// admin runs a statement beside the connections under test, and returns its one number.
func admin(t testing.TB, text string) (n int) {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, providers.URL(t, "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if strings.HasPrefix(text, "select") {
		err = conn.QueryRow(ctx, text).Scan(&n)
	} else {
		_, err = conn.Exec(ctx, text)
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func running(t testing.TB) int {
	return admin(t, "select count(*) from pg_stat_activity where application_name = 'ds-bridge "+marked+"' and state <> 'idle'")
}

func TestBattery(t *testing.T) {
	sqltest.Run(t, sqltest.Harness{
		Open: func(t *testing.T, settings map[string]string) sql.Database { return open(t, settings) },
		Table: func(t *testing.T, d sql.Database) string {
			return newTable(t, d, "id bigint not null unique, name text, at timestamp")
		},
		Series:  "select n from generate_series(1, :n) as n",
		Endless: "select pg_sleep(300)",
		Running: func(t *testing.T) int { return running(t) },
	})
}

func TestTypesComeByTheirDeclaration(t *testing.T) {
	b := start(t)
	for _, c := range []struct{ value, becomes, shown string }{
		{"1::int2", "int16", "1"},
		{"-2::int4", "int32", "-2"},
		{"9007199254740993::int8", "int64", "9007199254740993"},
		{"'1.5'::float4", "float32", "1.5"},
		{"'NaN'::float8", "float64", "NaN"},
		{"true", "bool", "true"},
		{"'ünï'::text", "utf8", "ünï"},
		{"'x'::varchar(3)", "utf8", "x"},
		{"'x'::char(3)", "utf8", "x  "},
		{"'a'::name", "utf8", "a"},
		{"'b'::\"char\"", "utf8", "b"},
		{"'12345678-9ABC-def0-1234-56789abcdef0'::uuid", "utf8", "12345678-9abc-def0-1234-56789abcdef0"},
		{`'{"a":  1}'::json`, "utf8", `{"a":  1}`},
		{`'{"a":  1}'::jsonb`, "utf8", `{"a": 1}`},
		{"'1.50'::numeric(10,2)", "decimal(10, 2)", "1.50"},
		{"'-12345678901234567890.123456789'::numeric(38,9)", "decimal(38, 9)", "-12345678901234567890.123456789"},
		{"'0.000001'::numeric(6,6)", "decimal(6, 6)", "0.000001"},
		{"'1e20'::numeric(21,0)", "decimal(21, 0)", "100000000000000000000"},
		{"'99999999999999999999999999999999999999'::numeric(38,0)", "decimal(38, 0)", "99999999999999999999999999999999999999"},
		{"0::numeric(5,2)", "decimal(5, 2)", "0.00"},
		{"1.10::numeric", "utf8", "1.10"},
		{"1::numeric(50,2)", "utf8", "1.00"},
		{"'2026-01-31'::date", "date32", "2026-01-31"},
		{"'0001-01-01'::date", "date32", "0001-01-01"},
		{"'2026-01-31 09:30:00.25'::timestamp", "timestamp[us]", "2026-01-31 09:30:00.250000"},
		{"'2026-01-31 09:30:00+02'::timestamptz", "timestamp[us, tz=UTC]", "2026-01-31 07:30:00+00:00"},
		{"'1969-12-31 23:59:59.999999'::timestamp", "timestamp[us]", "1969-12-31 23:59:59.999999"},
		{`'\x00ff'::bytea`, "binary", "[0 255]"},
		{"7::oid", "uint32", "7"},
		{"'1 day 02:00:00'::interval", "utf8", "P1DT2H"},
		{"'10.0.0.1'::inet", "utf8", "10.0.0.1"},
		{"row(1, 'a')", "utf8", "(1,a)"},
		{"null::int4", "int32", "<nil>"},
		{"null", "utf8", "<nil>"},
		{"array[1, null, 3]::int4[]", "list<item: int32, nullable>", "[1 <nil> 3]"},
		{"'{}'::text[]", "list<item: utf8, nullable>", "[]"},
		{`array['a', '', 'b,"']`, "list<item: utf8, nullable>", `[a  b,"]`},
		{"array[true]", "list<item: bool, nullable>", "[true]"},
		{"array['2026-01-31'::date]", "list<item: date32, nullable>", "[2026-01-31]"},
		{"array['12345678-9abc-def0-1234-56789abcdef0'::uuid]", "list<item: utf8, nullable>", "[12345678-9abc-def0-1234-56789abcdef0]"},
		{"array[1.5::numeric]", "utf8", "{1.5}"},
		{"'[2:3]={1,2}'::int8[]", "list<item: int64, nullable>", "[1 2]"},
	} {
		p := b.Pages(0, "select "+c.value+" as x")[0]
		if got := p.Schema.Field(0).Type.String(); got != c.becomes {
			t.Errorf("%s became %s, want %s", c.value, got, c.becomes)
		}
		if got := fmt.Sprint(p.Rows[0][0]); got != c.shown {
			t.Errorf("%s is %s, want %s", c.value, got, c.shown)
		}
	}
}

func TestTimesOfDayKeepTheirMicroseconds(t *testing.T) {
	p := pagesOf(t, open(t, nil), "select '09:30:00.000001'::time as x")
	if !strings.Contains(p, "time64[us]") {
		t.Error(p)
	}
}

// pagesOf is a query's schema as text.
func pagesOf(t *testing.T, d sql.Database, text string) string {
	t.Helper()
	defer d.Close(context.Background())
	pages, err := d.Query(context.Background(), text, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer pages.Close()
	page, _, err := pages.Next(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	schema, batches, err := sql.ReadPage(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range batches {
		b.Release()
	}
	return schema.String()
}

func TestNumericsWithoutBoundsAreFloatsWhereTheConnectionSaysSo(t *testing.T) {
	b := sqltest.Start(t, open(t, map[string]string{"numeric": "float64"}))
	p := b.Pages(0, "select * from (values (1.1::numeric), ('NaN'), (null)) as v(x)")[0]
	if p.Schema.Field(0).Type.String() != "float64" || fmt.Sprint(p.Rows) != "[[1.1] [NaN] [<nil>]]" {
		t.Errorf("%v %v", p.Schema, p.Rows)
	}
}

func TestWhatNoColumnCanHoldIsAnErrorThatNamesIt(t *testing.T) {
	b := start(t)
	for text, said := range map[string]string{
		"select 'NaN'::numeric(5,2) as x":          "column x: NaN and infinity are no decimals",
		"select 'infinity'::timestamp as x":        "column x: infinity is no date",
		"select '-infinity'::date as x":            "column x: infinity is no date",
		"select array[array[1,2],array[3,4]] as x": "column x: an array of 2 dimensions",
	} {
		b.Fails(sql.BadValue, said, text)
	}
	b.Shows("[[1]]", "select 1")
}

func TestParametersTakeTheTypeThatTheirPlaceAsksFor(t *testing.T) {
	b := start(t)
	table := newTable(t, b, "a int2, b int8, c numeric(10,2), d uuid, e jsonb, f timestamptz, g date, h bytea, i text[], j float4, k bool, l int4[]")
	at := sql.Timestamp{Micros: 1_790_000_000_123_456, Zoned: true}
	params := []any{"a", int64(1), "b", int64(1) << 40, "c", sql.Decimal("12.50"), "d", "12345678-9abc-def0-1234-56789abcdef0",
		"e", `{"a": [1]}`, "f", at, "g", sql.Date(20000), "h", []byte{0, 255, '\\'}, "i", sql.List{`a"b`, `c\d`, "", "e,{}"}, "j", 0.5, "k", false,
		"l", sql.List{int64(1), int64(2)}}
	b.Do("insert into "+table+" values (:a, :b, :c, :d, :e, :f, :g, :h, :i, :j, :k, :l)", params...)
	b.Shows(`[[1 1099511627776 12.50 12345678-9abc-def0-1234-56789abcdef0 {"a": [1]} `+at.String()+" "+sql.Date(20000).String()+
		` [0 255 92] [a"b c\d  e,{}] 0.5 false [1 2]]]`, "select * from "+table)
	b.Shows("[[1]]", `select 1 from `+table+` where a = :a and b = :b and c = :c and d = :d and e = :e and f = :f and g = :g and h = :h and i = :i
		and j = :j and k = :k and l = :l and a = any(:l) and 'c\d' = any(:i)`, params...)
	b.Shows("[]", "select 1 from "+table+" where a = any(:none)", "none", sql.List{})
	b.Shows("[[x y]]", "select :x || ' ' || :y", "x", "x", "y", "y")
	b.Shows("[[[2 3]]]", "select (:l::int[])[2:3]", "l", sql.List{int64(1), int64(2), int64(3)})
	b.Shows("[[$1 :x]]", "select $q$$1 :x$q$ where :x = 1", "x", int64(1))
	b.Fails(sql.BadParameters, "$1 is no parameter here: write :name", "select $1")
}

func TestMistakesAreToldWithTheirPlaceInWhatWasWritten(t *testing.T) {
	b := start(t)
	b.Fails(sql.BadSQL, `column "nome" does not exist (line 2, column 32)...[42703]`,
		"select :a::int,\n  1 from (select 1) as x where nome = :long_name", "a", int64(1), "long_name", "x")
	b.Fails(sql.BadSQL, `syntax error at or near "x" (line 1, column 15)`, "select 1 form x")
	b.Fails(sql.BadValue, "division by zero", "select 1 / :x", "x", int64(0))
	b.Fails(sql.BadValue, `invalid input syntax for type integer: "many"`, "select 1 where 1 = :x", "x", "many")
	b.Fails(sql.BadSQL, "read-only transaction. Queries only read: statements that write are executed", "select nextval('"+sequence(t, b)+"')")
}

func sequence(t *testing.T, b *sqltest.Bench) string {
	table := newTable(t, b, "id serial")
	return table + "_id_seq"
}

func TestNothingAQueryDoesToItsSessionOutlivesIt(t *testing.T) {
	b := sqltest.Start(t, open(t, map[string]string{"connections": "1"}))
	b.Rows("select set_config('search_path', 'nowhere', false), set_config('default_transaction_read_only', 'off', false)")
	b.Shows("[[false]]", "select current_setting('search_path') = 'nowhere'")
	b.Rows("select set_config('datestyle', 'German', false)")
	b.Shows("[[ISO, MDY]]", "select current_setting('datestyle')")
}

func TestPasswordsAreNeverTold(t *testing.T) {
	for _, url := range []string{"postgres://u:hunter2@127.0.0.1:1/db", "postgres://u:hunter2@127.0.0.1:port/db", "postgres://u:hunter2@127.0.0.1:1/db?sslmode=odd"} {
		d, err := sql.Open(context.Background(), messaging.Options{Name: "c", URL: url})
		if err == nil {
			_, err = d.Query(context.Background(), "select 1", nil, 0)
		}
		if err == nil || strings.Contains(fmt.Sprintf("%+v", err), "hunter2") {
			t.Errorf("%s: %v", url, err)
		}
	}
}
