package postgres

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/providers"
)

const benchRows = 5000

func benchRig(b *testing.B, table string, settings map[string]string) (*connection, func(string)) {
	b.Helper()
	ctx, url, schema := context.Background(), providers.URL(b, "postgres"), fmt.Sprintf("b%d", time.Now().UnixNano())
	db, err := pgx.Connect(ctx, url)
	if err != nil {
		b.Fatal(err)
	}
	do := func(sql string) {
		if _, err := db.Exec(ctx, sql); err != nil {
			b.Fatal(err)
		}
	}
	do("create schema " + schema)
	do("set search_path = " + schema)
	if table != "" {
		do(table)
	}
	o := messaging.Options{Name: "bench", URL: url, Settings: map[string]string{"schema": schema, "create": "true"}}
	for name, value := range settings {
		o.Settings[name] = value
	}
	conn, err := messaging.Open(ctx, o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		conn.Close(ctx)
		do("drop schema " + schema + " cascade")
		db.Close(ctx)
	})
	return conn.(*connection), do
}

func scored(n int) []messaging.Outgoing {
	records := make([]messaging.Outgoing, n)
	for i := range records {
		records[i].Key = fmt.Append(nil, "LH", i%100)
		records[i].ID = fmt.Sprintf("p/c/scores:i:0:%d:0", i)
		records[i].Value = fmt.Appendf(nil, `{"flight": "LH%d", "delay": %d.25, "late": true, "at": "2024-05-06T07:08:09Z", "note": "%s"}`, i, i%500, strings.Repeat("x", 180))
	}
	return records
}

const scores = "create table scores (id bigint generated always as identity primary key, flight text, delay numeric, late boolean, at timestamptz, note text)"

func BenchmarkSink(b *testing.B) {
	for _, c := range []struct{ name, table, topic string }{{"columns", scores, "scores"}, {"raw", "", "raw"}} {
		for _, transact := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/transact=%v", c.name, transact), func(b *testing.B) {
				conn, do := benchRig(b, c.table, nil)
				opened, err := conn.Sink(context.Background(), messaging.SinkConfig{Topic: c.topic, Group: "g"})
				if err != nil {
					b.Fatal(err)
				}
				s, records := opened.(*sink), scored(benchRows)
				position := int64(0)
				for b.Loop() {
					do("truncate " + c.topic)
					if position++; transact {
						err = s.Transact(context.Background(), []messaging.Write{{Topic: c.topic, Records: records}}, settled(position))
					} else {
						err = s.Write(context.Background(), records)
					}
					if err != nil {
						b.Fatal(err)
					}
				}
				perRow(b)
			})
		}
	}
}

func BenchmarkSource(b *testing.B) {
	for _, c := range []struct{ name, topic, table string }{{"columns", "scores", scores}, {"raw", "raw", ""}} {
		b.Run(c.name, func(b *testing.B) {
			conn, _ := benchRig(b, c.table, map[string]string{"cursor": "id", "bounded": "true"})
			ctx := context.Background()
			s, err := conn.Sink(ctx, messaging.SinkConfig{Topic: c.topic})
			if err == nil {
				err = s.Write(ctx, scored(benchRows))
			}
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				source, err := conn.Source(ctx, messaging.SourceConfig{Topic: c.topic})
				for n := 0; n < benchRows && err == nil; {
					var records []messaging.Record
					records, err = source.Read(ctx, messaging.Limit{Events: 1000, Bytes: 1 << 20})
					n += len(records)
				}
				if err != nil {
					b.Fatal(err)
				}
				source.Close(ctx)
			}
			perRow(b)
		})
	}
}

func perRow(b *testing.B) {
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/benchRows, "us/row")
}
