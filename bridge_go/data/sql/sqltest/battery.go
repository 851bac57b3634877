// Package sqltest is the battery that every database passes.
//
// A database's test describes it by a [Harness] and calls [Run]. What its types become is its own test's to say; here is what
// holds for all: parameters, pages, that queries only read, bounds, ends, and that a page is written as a whole or not at all.
package sqltest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"ds-runner.dev/ds-runner/bridge_go/data/sql"
)

// A Harness describes a database to the battery.
type Harness struct {
	// Open opens a connection to the same database each time, with these settings. The battery closes it.
	Open func(t *testing.T, settings map[string]string) sql.Database
	// Table makes a table that nobody has used, with the columns id (integer, not null, unique), name (text) and at (a time
	// without a zone), and returns its name.
	Table func(t *testing.T, d sql.Database) string
	// Series is a query for the numbers n from 1 to :n, in order.
	Series string
	// Endless is a query that works for minutes before it has a row.
	Endless string
	// Running says how many statements are at work in the database, nil where that cannot be asked.
	Running func(t *testing.T) int
}

// Run is the battery.
func Run(t *testing.T, h Harness) {
	t.Run("parameters", func(t *testing.T) { parameters(t, h) })
	t.Run("pages", func(t *testing.T) { pages(t, h) })
	t.Run("reading only", func(t *testing.T) { readingOnly(t, h) })
	t.Run("writing", func(t *testing.T) { writing(t, h) })
	t.Run("ends", func(t *testing.T) { ends(t, h) })
	t.Run("mistakes", func(t *testing.T) { mistakes(t, h) })
}

const patience = 2 * time.Minute

// A Bench is one database with helpers that fail the test.
type Bench struct {
	*testing.T
	sql.Database
	Ctx context.Context
}

// Start opens a database for a test.
func Start(t *testing.T, d sql.Database) *Bench {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(func() {
		cancel()
		end, cancel := context.WithTimeout(context.Background(), patience) // of its own: a long test has used up the other
		defer cancel()
		if err := d.Close(end); err != nil {
			t.Error(err)
		}
	})
	return &Bench{t, d, ctx}
}

// Params are pairs of name and value.
func Params(pairs ...any) map[string]any {
	params := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		params[pairs[i].(string)] = pairs[i+1]
	}
	return params
}

// Do executes a statement.
func (b *Bench) Do(text string, pairs ...any) int64 {
	b.Helper()
	n, err := b.Execute(b.Ctx, text, Params(pairs...))
	if err != nil {
		b.Fatalf("%s: %v", text, err)
	}
	return n
}

// Page is one page, read.
type Page struct {
	Schema *arrow.Schema
	Rows   [][]any
	Bytes  int
}

// Read takes a page apart.
func Read(t testing.TB, page []byte) Page {
	t.Helper()
	schema, batches, err := sql.ReadPage(page)
	if err != nil || len(batches) != 1 {
		t.Fatalf("a page of %d batches: %v", len(batches), err)
	}
	p := Page{Schema: schema, Bytes: len(page)}
	for row := range int(batches[0].NumRows()) {
		cells := make([]any, schema.NumFields())
		for i, c := range batches[0].Columns() {
			if cells[i], err = sql.Cell(c, row); err != nil {
				t.Fatal(err)
			}
		}
		p.Rows = append(p.Rows, cells)
	}
	return p
}

// Pages reads a query to its end.
func (b *Bench) Pages(rows int, text string, pairs ...any) []Page {
	b.Helper()
	pages, err := b.Query(b.Ctx, text, Params(pairs...), rows)
	if err != nil {
		b.Fatalf("%s: %v", text, err)
	}
	defer pages.Close()
	var all []Page
	for {
		page, done, err := pages.Next(b.Ctx)
		if err != nil {
			b.Fatalf("%s: page %d: %v", text, len(all), err)
		}
		all = append(all, Read(b, page))
		if done {
			return all
		}
	}
}

// Rows are the rows of a query.
func (b *Bench) Rows(text string, pairs ...any) (rows [][]any) {
	b.Helper()
	for _, p := range b.Pages(0, text, pairs...) {
		rows = append(rows, p.Rows...)
	}
	return rows
}

// Shows asks for the rows of a query as text.
func (b *Bench) Shows(want, text string, pairs ...any) {
	b.Helper()
	if got := fmt.Sprint(b.Rows(text, pairs...)); got != want {
		b.Errorf("%s\n got %s\nwant %s", text, got, want)
	}
}

// Fails runs a query up to its first error.
func (b *Bench) Fails(code, words, text string, pairs ...any) {
	b.Helper()
	b.Refused(b.firstError(text, pairs...), code, words)
}

func (b *Bench) firstError(text string, pairs ...any) error {
	pages, err := b.Query(b.Ctx, text, Params(pairs...), 0)
	if err != nil {
		return err
	}
	defer pages.Close()
	for done := false; !done; {
		if _, done, err = pages.Next(b.Ctx); err != nil {
			return err
		}
	}
	return nil
}

// Refused asks for an error of a code that says some words, separated by "...".
func (b *Bench) Refused(err error, code, words string) {
	b.Helper()
	var told *sql.Error
	if !errors.As(err, &told) || told.Code != code {
		b.Errorf("got %v, want an error of code %s", err, code)
		return
	}
	for word := range strings.SplitSeq(words, "...") {
		if !strings.Contains(told.Reason, word) {
			b.Errorf("got %q, want %q in it", told.Reason, word)
		}
	}
}

// MakePage makes a page of one batch.
func MakePage(t testing.TB, fields []arrow.Field, rows ...[]any) []byte {
	t.Helper()
	schema := arrow.NewSchema(fields, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	for _, row := range rows {
		for i, v := range row {
			if v == nil {
				b.Field(i).AppendNull()
			} else if err := b.Field(i).AppendValueFromString(fmt.Sprint(v)); err != nil {
				t.Fatal(err)
			}
		}
	}
	batch := b.NewRecordBatch()
	defer batch.Release()
	var out bytes.Buffer
	w := ipc.NewWriter(&out, ipc.WithSchema(schema))
	if err := errors.Join(w.Write(batch), w.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for until := time.Now().Add(patience); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("waited in vain for " + what)
		}
	}
}
