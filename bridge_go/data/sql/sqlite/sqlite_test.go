package sqlite

import (
	"context"
	databasesql "database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "ds-runner.dev/ds-runner/bridge_go/data/kv/sqlite" // declares its settings
	"ds-runner.dev/ds-runner/bridge_go/data/sql"
	"ds-runner.dev/ds-runner/bridge_go/data/sql/sqltest"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

func openAt(t testing.TB, dir string, settings map[string]string) sql.Database {
	t.Helper()
	d, err := sql.Open(context.Background(), messaging.Options{Name: "local", URL: "sqlite:data/my data.db", Dir: dir, Settings: settings})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestBattery(t *testing.T) {
	tables := 0
	var dir string
	sqltest.Run(t, sqltest.Harness{
		Open: func(t *testing.T, settings map[string]string) sql.Database {
			if dir == "" {
				dir = t.TempDir()
			}
			d := openAt(t, dir, settings)
			if _, err := d.Execute(context.Background(), "create table if not exists made (id integer)", nil); err != nil {
				t.Fatal(err)
			}
			return d
		},
		Table: func(t *testing.T, d sql.Database) string {
			tables++
			name := fmt.Sprintf("table_%d", tables)
			_, err := d.Execute(context.Background(), "create table "+name+" (id integer not null unique, name text, at timestamp)", nil)
			if err != nil {
				t.Fatal(err)
			}
			return name
		},
		Series:  "with recursive s(n) as (select 1 where :n > 0 union all select n + 1 from s where n < :n) select n from s",
		Endless: "with recursive s(n) as (select 1 union all select n + 1 from s where n < 100000000000) select count(*) from s",
	})
}

func start(t *testing.T) *sqltest.Bench {
	t.Helper()
	return sqltest.Start(t, openAt(t, t.TempDir(), nil))
}

func TestDeclarationsBecomeTypes(t *testing.T) {
	b := start(t)
	b.Do(`create table every (a integer, b bigint, c varchar(10), d text, e blob, f real, g double precision, h numeric(10, 2),
		i boolean, j date, k datetime, l timestamp with time zone, m whatever)`)
	b.Do(`insert into every values (1, 2, 'c', 'd', x'00ff', 1, 2.5, 3, true, '2026-01-31', '2026-01-31T09:30:00.25', '2026-01-31 09:30:00+02:00', 4)`)
	b.Do(`insert into every (a) values (null)`)
	page := b.Pages(0, "select * from every")[0]
	want := "[int64 int64 utf8 utf8 binary float64 float64 float64 bool date32 timestamp[us] timestamp[us, tz=UTC] float64]"
	var types []string
	for _, f := range page.Schema.Fields() {
		types = append(types, f.Type.String())
	}
	if got := fmt.Sprint(types); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	row := "[1 2 c d [0 255] 1 2.5 3 true 2026-01-31 2026-01-31 09:30:00.250000 2026-01-31 07:30:00+00:00 4]"
	if got := fmt.Sprint(page.Rows[0]); got != row {
		t.Errorf("got  %s\nwant %s", got, row)
	}
	for i, v := range page.Rows[1] {
		if v != nil {
			t.Errorf("column %d of a row of nulls: %v", i, v)
		}
	}
}

func TestAValueThatDoesNotFitItsDeclarationIsAnErrorThatNamesIt(t *testing.T) {
	b := start(t)
	for _, c := range []struct{ declared, good, bad, said string }{
		{"integer", "1", "'many'", "column x is declared INTEGER, and one of its values is no whole number: many"},
		{"integer", "1", "1.5", "no whole number: 1.5"},
		{"text", "'a'", "x'00'", "a blob of 1 bytes"},
		{"boolean", "1", "2", "no 0 or 1: 2"},
		{"real", "1", "'much'", "no number: much"},
		{"numeric", "1", "9007199254740993", "no number: 9007199254740993"},
		{"date", "'2026-01-31'", "'yesterday'", "no date such as 2026-01-31: yesterday"},
		{"date", "'2026-01-31'", "'2026-01-31 10:00:00'", "no date"},
		{"timestamp", "'2026-01-31 10:00:00'", "'2026-01-31 10:00:00+02:00'", "no time such as"},
		{"timestamp", "'2026-01-31 10:00:00'", "1790000000", "no time such as"},
		{"timestamptz", "'2026-01-31 10:00:00Z'", "'2026-01-31 10:00:00'", "no time with its zone"},
		{"blob", "x'00'", "'text'", "no blob: text"},
	} {
		b.Do("drop table if exists one")
		b.Do("create table one (x " + c.declared + ")")
		b.Do("insert into one values (" + c.good + ")")
		if n := len(b.Rows("select x from one")); n != 1 {
			t.Errorf("%s: %d rows", c.declared, n)
		}
		b.Do("insert into one values (" + c.bad + ")")
		b.Fails(sql.BadValue, c.said, "select x from one")
	}
}

func TestAnExpressionHasTheTypeOfItsFirstValueOrOfItsAlias(t *testing.T) {
	b := start(t)
	b.Do("create table makes_the_file (x)")
	b.Shows("[[<nil>] [<nil>] [3]]", "select null union all select null union all select 3")
	b.Fails(sql.BadValue, `column x has no declaration and began as a whole number, and then has 2.5. Say its type in the alias: as "x [real]"`,
		"select 1 as x union all select 2.5")
	b.Shows("[[1] [2.5]]", `select 1 as "x [real]" union all select 2.5`)
	b.Shows("[[2026-01-31]]", `select max(x) as "x [date]" from (select '2026-01-31' as x)`)
	page := b.Pages(0, "select null as x")[0]
	if f := page.Schema.Field(0); f.Type.String() != "float64" || f.Name != "x" {
		t.Errorf("only nulls became %v", f)
	}
}

func TestListsAreForIn(t *testing.T) {
	b := start(t)
	b.Do("create table t (id integer, name text)")
	b.Do("insert into t values (1, 'a'), (2, 'b'), (3, 'c')")
	b.Shows("[[1] [3]]", "select id from t where id in (:ids) and id < :most order by id", "ids", sql.List{int64(1), int64(3)}, "most", int64(9))
	b.Shows("[[2]]", "select id from t where name in (:names)", "names", sql.List{"b"})
	b.Shows("[]", "select id from t where id in (:ids)", "ids", sql.List{})
	b.Shows("[[1] [2] [3]]", "select id from t where id not in (:ids)", "ids", sql.List{})
}

func TestAFileThatIsNotThereIsNotMadeByReading(t *testing.T) {
	b := start(t)
	b.Fails(sql.Unavailable, "there is no file ...my data.db", "select 1")
	b.Do("create table t (id integer)")
	b.Shows("[]", "select * from t")
}

func TestAQueryMakesNoOtherFile(t *testing.T) {
	dir := t.TempDir()
	b := sqltest.Start(t, openAt(t, dir, nil))
	b.Do("create table t (id integer)")
	b.Fails(sql.BadSQL, "begins with select", "vacuum into '"+filepath.Join(dir, "copy.db")+"'")
	b.Fails(sql.BadSQL, "begins with select", "attach '"+filepath.Join(dir, "other.db")+"' as other")
	if found, _ := filepath.Glob(filepath.Join(dir, "*.db")); len(found) > 0 {
		t.Errorf("made %v", found)
	}
}

func TestAFileThatIsNoDatabaseIsToldSo(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "data"), 0o755), os.WriteFile(filepath.Join(dir, "data", "my data.db"), []byte(strings.Repeat("text ", 1000)), 0o644)); err != nil {
		t.Fatal(err)
	}
	b := sqltest.Start(t, openAt(t, dir, nil))
	b.Fails(sql.Unavailable, "file is not a database", "select 1 from t")
}

func TestSettingsOfTheKeyValueStoreInTheSameFileAreLetBe(t *testing.T) {
	d, err := sql.Open(context.Background(), messaging.Options{Name: "c", URL: "sqlite:x.db", Dir: t.TempDir(),
		Settings: map[string]string{"table": "features", "prefix": "p", "max_value": "1MiB", "sync": "always", "timeout": "1s"}})
	if err != nil {
		t.Fatal(err)
	}
	sqltest.Start(t, d).Do("create table t (id integer)")
}

func TestAWriterThatIsWaitedForInVainIsToldOf(t *testing.T) {
	dir := t.TempDir()
	b := sqltest.Start(t, openAt(t, dir, map[string]string{"timeout": "10ms"}))
	b.Do("create table t (id integer)")
	other, err := databasesql.Open("sqlite", filepath.Join(dir, "data", "my data.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := other.Exec("begin exclusive"); err != nil {
		t.Fatal(err)
	}
	_, err = b.Execute(b.Ctx, "insert into t values (1)", nil)
	b.Refused(err, sql.Unavailable, "locked")
	b.Fails(sql.Unavailable, "locked", "select * from t")
}

func TestSettingsAndURLsThatAreWrong(t *testing.T) {
	for url, said := range map[string]string{
		"sqlite:":                   "names no file",
		"sqlite::memory:":           "names no file",
		"sqlite:x.db?pool=3":        `no setting "pool". Known: connections, timeout`,
		"sqlite:x.db?connections=0": "connections is \"0\"",
		"oracle://x":                "answers no SQL. These do: ",
	} {
		_, err := sql.Open(context.Background(), messaging.Options{Name: "c", URL: url})
		if err == nil || !strings.Contains(err.Error(), said) {
			t.Errorf("%s: %v", url, err)
		}
	}
}
