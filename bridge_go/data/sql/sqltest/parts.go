package sqltest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"ds-runner.dev/ds-runner/bridge_go/data/sql"
)

var noon = sql.Timestamp{Micros: 1_790_000_000_123_456}

func (h Harness) start(t *testing.T, settings ...string) *Bench {
	t.Helper()
	given := map[string]string{}
	for i := 0; i < len(settings); i += 2 {
		given[settings[i]] = settings[i+1]
	}
	return Start(t, h.Open(t, given))
}

func parameters(t *testing.T, h Harness) {
	b := h.start(t)
	table := h.Table(t, b)
	if n := b.Do("insert into "+table+" (id, name, at) values (:id, :name, :at), (:id + 1, null, :at)",
		"id", int64(1), "name", `O'Neil "\" :x`, "at", noon); n != 2 {
		t.Errorf("%d rows inserted", n)
	}
	b.Shows(`[[1 O'Neil "\" :x `+noon.String()+`] [2 <nil> `+noon.String()+"]]", "select id, name, at from "+table+" order by id")
	b.Shows("[[1]]", "select id from "+table+" where name = :name and at = :at", "name", `O'Neil "\" :x`, "at", noon)
	b.Shows("[[2]]", "select id from "+table+" where name is null -- :no parameter\n and id > :id", "id", int64(1))
	b.Shows("[[1]]", "select id from "+table+" where :x = ':y' and id < 2 /* :z */", "x", ":y")
	b.Shows("[[1] [2]]", "select id from "+table+" where :a = 0.5 and :b and :c order by id", "a", 0.5, "b", true, "c", true)
	b.Shows("[]", "select id from "+table+" where name = :null", "null", nil)
	b.Fails(sql.BadParameters, ":name...:at, which params do not; params have nome...Parameters of the SQL: :name, :id, :at",
		"select id from "+table+" where name = :name and id = :id and at = :at", "nome", "x", "id", int64(1))
	b.Fails(sql.BadParameters, "Parameters of the SQL: none", "select 1", "x", int64(1))
	b.Fails(sql.BadParameters, "parameter d: x is no decimal", "select :d", "d", sql.Decimal("x"))
	if _, err := b.Execute(b.Ctx, "delete from "+table+" where id = :id", nil); err == nil {
		t.Error("a statement without its parameter was executed")
	}
}

func pages(t *testing.T, h Harness) {
	b := h.start(t)
	for _, n := range []int{0, 1, 9, 10, 11, 25} {
		all := b.Pages(10, h.Series, "n", int64(n))
		next := 1
		for i, p := range all {
			if len(p.Rows) > 10 || i < len(all)-1 && len(p.Rows) != 10 {
				t.Errorf("page %d of %d rows has %d", i, n, len(p.Rows))
			}
			for _, row := range p.Rows {
				if fmt.Sprint(row[0]) != fmt.Sprint(next) {
					t.Fatalf("row %d is %v", next, row)
				}
				next++
			}
		}
		if next != n+1 || all[0].Schema.NumFields() != 1 {
			t.Errorf("%d of %d rows, schema %v", next-1, n, all[0].Schema)
		}
	}
	table := h.Table(t, b)
	b.Do("insert into "+table+" (id, name) select n, :name from ("+h.Series+") as s", "n", int64(12), "name", strings.Repeat("x", 1<<20))
	all := b.Pages(1000, "select id, name from "+table+" order by id")
	if len(all) < 3 || len(all) > 4 {
		t.Errorf("12 MiB came in %d pages", len(all))
	}
	for _, p := range all {
		if p.Bytes > sql.PageBytes+2<<20 || !p.Schema.Equal(all[0].Schema) {
			t.Errorf("a page of %d bytes, %v", p.Bytes, p.Schema)
		}
	}
	b.Do("update "+table+" set name = :name where id = 2", "name", strings.Repeat("x", sql.MaxValue+1))
	b.Fails(sql.BadValue, "column name: a value of 8388609 bytes", "select id, name from "+table)
}

func readingOnly(t *testing.T, h Harness) {
	b := h.start(t, "connections", "1") // so that what one query does to its session would be seen by the next
	table := h.Table(t, b)
	for _, text := range []string{
		"insert into " + table + " (id) values (1)",
		"insert into " + table + " (id) values (1) returning id",
		"with x as (select 1 as id) insert into " + table + " (id) select id from x returning id",
		"update " + table + " set id = 1 returning id",
		"drop table " + table,
		"create table other_" + table + " (id integer)",
		"commit", "rollback", "begin", "vacuum",
		"pragma query_only = 0",
		"set session characteristics as transaction read write",
		"set transaction read write",
		"select 1; insert into " + table + " (id) values (1)",
		"",
		"-- nothing",
	} {
		if err := b.firstError(text); err == nil {
			t.Errorf("%q was done as a query", text)
		}
		if err := b.firstError("insert into " + table + " (id) values (1) returning id"); err == nil {
			t.Errorf("behind %q a query wrote", text)
		}
	}
	b.Shows("[]", "select id from "+table)
}

func writing(t *testing.T, h Harness) {
	b := h.start(t)
	table := h.Table(t, b)
	fields := []arrow.Field{{Name: "name", Type: arrow.BinaryTypes.String, Nullable: true}, {Name: "id", Type: arrow.PrimitiveTypes.Int64},
		{Name: "at", Type: arrow.FixedWidthTypes.Timestamp_us.(*arrow.TimestampType), Nullable: true}}
	fields[2].Type = &arrow.TimestampType{Unit: arrow.Microsecond}
	write := func(mode sql.Mode, rows ...[]any) (int64, error) {
		return b.Write(b.Ctx, table, mode, MakePage(t, fields, rows...))
	}
	n, err := write(sql.Append, []any{"tab\t, newline\n, back\\slash, \\N, ünï\r", 1, "2026-01-31 09:30:00.5"}, []any{nil, 2, nil}, []any{"", 3, nil})
	if err != nil || n != 3 {
		t.Fatalf("%d rows, %v", n, err)
	}
	want := "[[1 tab\t, newline\n, back\\slash, \\N, ünï\r 2026-01-31 09:30:00.500000] [2 <nil> <nil>] [3  <nil>]]"
	b.Shows(want, "select id, name, at from "+table+" order by id")
	b.Shows("[[3]]", "select id from "+table+" where name = ''")
	if _, err := write(sql.Append, []any{"x", 4, nil}, []any{"x", 1, nil}); err == nil {
		t.Error("a second row of a unique id was written")
	} else {
		b.Refused(err, sql.BadValue, "")
	}
	if _, err := write(sql.Replace, []any{"x", 5, nil}, []any{"x", 5, nil}); err == nil {
		t.Error("a second row of a unique id was written")
	}
	b.Shows(want, "select id, name, at from "+table+" order by id")
	if n, err := write(sql.Replace, []any{"x", 4, nil}); err != nil || n != 1 {
		t.Fatalf("%d rows, %v", n, err)
	}
	b.Shows("[[4 x]]", "select id, name from "+table)
	manyRows(b, table, fields, write)
	mistakenPages(b, table, fields)
}

// manyRows writes more than one statement takes, and not a multiple of it.
func manyRows(b *Bench, table string, fields []arrow.Field, write func(sql.Mode, ...[]any) (int64, error)) {
	b.Helper()
	rows := make([][]any, 3001)
	for i := range rows {
		rows[i] = []any{"n", i, nil}
	}
	if n, err := write(sql.Replace, rows...); err != nil || n != 3001 {
		b.Errorf("%d rows, %v", n, err)
	}
	b.Shows("[[3001 3000]]", "select count(*), max(id) from "+table)
	if n, err := b.Write(b.Ctx, table, sql.Append, MakePage(b, fields)); err != nil || n != 0 {
		b.Errorf("no rows: %d, %v", n, err)
	}
}

func mistakenPages(b *Bench, table string, fields []arrow.Field) {
	b.Helper()
	other := []arrow.Field{fields[1], {Name: "nome", Type: arrow.BinaryTypes.String}, {Name: "when", Type: arrow.BinaryTypes.String}}
	_, err := b.Write(b.Ctx, table, sql.Append, MakePage(b, other, []any{1, "x", "y"}))
	b.Refused(err, sql.BadValue, "has no column nome, when. It has: id, name, at")
	_, err = b.Write(b.Ctx, "no_such_table", sql.Append, MakePage(b, fields))
	b.Refused(err, sql.BadSQL, "no_such_table")
	for _, name := range []string{"", ".", "a.", `"a`, `a"b"`, "a..b", `""`} {
		_, err = b.Write(b.Ctx, name, sql.Append, MakePage(b, fields))
		b.Refused(err, sql.BadParameters, "names no table")
	}
	_, err = b.Write(b.Ctx, table+"; drop table "+table, sql.Append, MakePage(b, fields))
	b.Refused(err, sql.BadSQL, "")
	whole := MakePage(b, fields, []any{"x", 70_000, nil})
	for _, page := range [][]byte{nil, []byte("no page"), whole[:len(whole)/2], whole[len(whole)/3:]} {
		if _, err := b.Write(b.Ctx, table, sql.Append, page); err == nil {
			b.Errorf("%d bytes of %d were written", len(page), len(whole))
		}
	}
	b.Shows("[[3001]]", "select count(*) from "+table)
}

func ends(t *testing.T, h Harness) {
	b := h.start(t, "connections", "1")
	t.Run("a deadline cancels the statement", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(b.Ctx, 200*time.Millisecond)
		defer cancel()
		began := time.Now()
		p, err := b.Query(ctx, h.Endless, nil, 0)
		if err == nil {
			_, _, err = p.Next(ctx)
			p.Close()
		}
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 20*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		h.nothingRuns(t)
	})
	t.Run("pages that are not read to their end give their connection back", func(t *testing.T) {
		for i := range 3 {
			p, err := b.Query(b.Ctx, h.Series, Params("n", int64(10_000_000)), 10)
			if err != nil {
				t.Fatal(err)
			}
			for range i {
				if _, _, err := p.Next(b.Ctx); err != nil {
					t.Fatal(err)
				}
			}
			p.Close()
			p.Close()
		}
		b.Shows("[[1]]", "select 1 as one")
		h.nothingRuns(t)
	})
	t.Run("one more than there are connections waits, and is told why in vain", func(t *testing.T) {
		p, err := b.Query(b.Ctx, h.Series, Params("n", int64(10_000_000)), 10)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(b.Ctx, 100*time.Millisecond)
		defer cancel()
		_, err = b.Query(ctx, "select 1", nil, 0)
		b.Refused(err, sql.Unavailable, "all 1 of its connections (connections)")
		p.Close()
		b.Shows("[[1]]", "select 1 as one")
	})
	t.Run("many at once take turns", func(t *testing.T) {
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				b.Shows(fmt.Sprintf("[[%d]]", i+1), "select n from ("+h.Series+") as s where n = :i", "n", int64(10), "i", int64(i+1))
			})
		}
		all.Wait()
	})
	t.Run("what is closed answers no more", func(t *testing.T) {
		d := h.Open(t, nil)
		if err := d.Close(b.Ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Query(b.Ctx, "select 1", nil, 0); err == nil {
			t.Error("a closed database was queried")
		}
	})
}

func (h Harness) nothingRuns(t *testing.T) {
	t.Helper()
	if h.Running != nil {
		eventually(t, "the statement to end in the database", func() bool { return h.Running(t) == 0 })
	}
}

func mistakes(t *testing.T, h Harness) {
	b := h.start(t)
	b.Fails(sql.BadSQL, "no_such_thing", "select no_such_thing")
	b.Fails(sql.BadSQL, "no_such_table", "select 1 from no_such_table where 1 = :x", "x", int64(1))
	b.Fails(sql.BadSQL, "", "selct 1")
	b.Fails(sql.BadSQL, "", "select 'open")
	_, err := b.Execute(b.Ctx, "delete from no_such_table", nil)
	b.Refused(err, sql.BadSQL, "no_such_table")
	b.Shows("[[1]]", "select 1 as one") // and goes on
}
