package postgres_test

import (
	"context"
	"testing"

	"ds-runner.dev/ds-runner/bridge_go/data/sql"
)

// A million flights: a key, two numbers, a float, a time and a short text.
const benchTable = `create table if not exists bench_rows as select n as id, (n * 7919 % 1000)::int4 as delay, (n % 20)::int4 as gate,
	n / 3.0::float8 as distance, timestamptz '2026-01-01' + n * interval '1 second' as at, 'AA' || (n % 5000) as flight
	from generate_series(1::int8, 1000000) as n`

func BenchmarkMillionRows(b *testing.B) {
	d := open(b, nil)
	ctx := context.Background()
	defer d.Close(ctx)
	if _, err := d.Execute(ctx, benchTable, nil); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if n := drain(b, d, "select id, delay, gate, distance, at, flight from bench_rows"); n < 10 {
			b.Fatalf("%d pages", n)
		}
	}
	b.ReportMetric(float64(b.N)*1e6/b.Elapsed().Seconds(), "rows/s")
}

// drain reads a query to its end and counts its pages.
func drain(t testing.TB, d sql.Database, text string) (pages int) {
	t.Helper()
	ctx := context.Background()
	p, err := d.Query(ctx, text, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for done := false; !done; pages++ {
		if _, done, err = p.Next(ctx); err != nil {
			t.Fatal(err)
		}
	}
	return pages
}
