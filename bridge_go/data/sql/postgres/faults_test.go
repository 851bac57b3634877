package postgres_test

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/data/sql"
	"ds-runner.dev/ds-runner/bridge_go/data/sql/sqltest"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/providers"
)

// A server that does not answer holds up nobody beyond the deadline, and one that comes back is used again.
func TestADeadServerHoldsUpNobody(t *testing.T) {
	server := providers.Own(t, "postgres")
	d, err := sql.Open(context.Background(), messaging.Options{Name: "own", URL: server.URL, Settings: map[string]string{"timeout": "2s"}})
	if err != nil {
		t.Fatal(err)
	}
	b := sqltest.Start(t, d)
	b.Shows("[[1]]", "select 1")
	reading, err := d.Query(b.Ctx, "select n from generate_series(1, 10000000) as n", nil, 100_000)
	if err != nil {
		t.Fatal(err)
	}
	defer reading.Close()

	server.Pause()
	late(t, "a query of a frozen server", func(ctx context.Context) error {
		p, err := d.Query(ctx, "select 1", nil, 0)
		if err == nil {
			defer p.Close()
			_, _, err = p.Next(ctx)
		}
		return err
	})
	late(t, "pages of a frozen server", func(ctx context.Context) error {
		for {
			if _, _, err := reading.Next(ctx); err != nil {
				return err
			}
		}
	})
	late(t, "a statement of a frozen server", func(ctx context.Context) error {
		_, err := d.Execute(ctx, "select 1", nil)
		return err
	})
	server.Resume()
	b.Shows("[[1]]", "select 1")

	server.Kill()
	_, err = d.Execute(b.Ctx, "select 1", nil)
	b.Refused(err, sql.Unavailable, "connection own")
	var told *sql.Error
	if errors.As(err, &told) && !told.Retry {
		t.Errorf("an outage is not to be tried again: %v", err)
	}
	server.Restart()
	for until := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if _, err = d.Execute(b.Ctx, "select 1", nil); err == nil {
			break
		}
		if time.Now().After(until) {
			t.Fatal(err)
		}
	}
}

// late wants that something fails at its deadline, and not long after.
func late(t *testing.T, what string, do func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	began := time.Now()
	err := do(ctx)
	if took := time.Since(began); err == nil || took > 20*time.Second {
		t.Errorf("%s: %v after %v", what, err, took)
	}
}

// Ten million rows go by in no more memory than a few pages, and a reader that stands still stops the server.
func TestTenMillionRowsNeedNoMoreMemoryThanAPage(t *testing.T) {
	b := start(t)
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute) // with the race detector, on a busy machine
	defer cancel()
	p, err := b.Query(ctx, "select n, n * 2 as twice from generate_series(1, 10000000) as n", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	before, most := held(), uint64(0)
	bytes, pages := 0, 0
	for done := false; !done; pages++ {
		var page []byte
		if page, done, err = p.Next(ctx); err != nil {
			t.Fatal(err)
		}
		bytes += len(page)
		if pages%20 == 0 {
			most = max(most, held())
		}
	}
	if grown := int64(most) - int64(before); bytes < 80_000_000 || grown > 16<<20 {
		t.Errorf("%d pages of %d MB together: %d MiB more than at the beginning", pages, bytes/1e6, grown>>20)
	}
}

func held() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
