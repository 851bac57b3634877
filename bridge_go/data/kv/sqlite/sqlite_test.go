package sqlite

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/data/kv"
	"ds-runner.dev/ds-runner/bridge_go/data/kv/kvtest"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// opener gives each test a folder of its own, and the same one each time it asks.
func opener(t *testing.T, options func(folder string) messaging.Options) func(*testing.T, map[string]string) kv.Store {
	root := t.TempDir()
	return func(t *testing.T, settings map[string]string) kv.Store {
		t.Helper()
		folder := filepath.Join(root, fmt.Sprintf("odd ?#%% %x", t.Name()))
		if err := os.MkdirAll(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		o := options(folder)
		o.Name, o.Settings = "features", settings
		s, err := kv.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}

func TestAFile(t *testing.T) {
	kvtest.Run(t, kvtest.Harness{Persistent: true, Open: opener(t, func(folder string) messaging.Options {
		return messaging.Options{URL: "sqlite:data/a#c%20.db", Dir: folder}
	})})
}

func TestTheStateFolder(t *testing.T) {
	kvtest.Run(t, kvtest.Harness{Persistent: true, Open: opener(t, func(folder string) messaging.Options {
		return messaging.Options{URL: "embedded:", StateDir: folder}
	})})
}

func TestNamesInTheStateFolderAreTablesOfTheirOwn(t *testing.T) {
	state := t.TempDir()
	for _, url := range []string{"embedded:", "embedded:one", `embedded:"two"`, "embedded:sqlite_x"} {
		s, err := kv.Open(t.Context(), messaging.Options{Name: "c", URL: url, StateDir: state})
		if strings.HasSuffix(url, "sqlite_x") {
			if err == nil {
				t.Fatal("a name that SQLite keeps for itself was taken")
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close(t.Context())
		got, err := s.Get(t.Context(), []string{"k"})
		if err != nil || got[0] != nil {
			t.Fatalf("%s: %q, %v", url, got[0], err)
		}
		if err := s.Put(t.Context(), []kv.Entry{{Key: "k", Value: []byte(url)}}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestMistakesInTheURLAreNamed(t *testing.T) {
	for _, o := range []messaging.Options{
		{URL: "sqlite:"}, {URL: "sqlite::memory:"}, {URL: "embedded:"}, {URL: "sqlite:a.db", Settings: map[string]string{"table": ""}},
		{URL: "sqlite:a.db?sync=maybe"}, {URL: "sqlite:a.db?syncs=always"}, {URL: "sqlite:a.db?max_value=0"}, {URL: "nowhere:a"},
	} {
		o.Name, o.Dir = "features", t.TempDir()
		if s, err := kv.Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "connection features") {
			t.Errorf("%s: %v, %v", o.URL, s, err)
		}
	}
}

// testStore is a store whose clock the test moves.
func testStore(t *testing.T) (*store, *time.Time) {
	t.Helper()
	now := time.Now()
	s := &store{name: "features", table: quote("kv"), clock: func() time.Time { return now }}
	if err := s.open(t.Context(), filepath.Join(t.TempDir(), "kv.db"), time.Second, true); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(context.Background()) })
	return s, &now
}

func (s *store) rows(t *testing.T) (n int) {
	t.Helper()
	if err := s.reading.QueryRowContext(t.Context(), "SELECT count(*) FROM "+s.table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestRowsThatHaveExpiredAreRemovedByLaterPuts(t *testing.T) {
	s, now := testStore(t)
	var entries []kv.Entry
	for i := range 2 * sweepRows {
		entries = append(entries, kv.Entry{Key: fmt.Sprint(i), Value: []byte("v"), TTL: time.Minute})
	}
	put := func(entries ...kv.Entry) {
		t.Helper()
		if err := s.Put(t.Context(), entries); err != nil {
			t.Fatal(err)
		}
	}
	put(entries...)
	*now = now.Add(2 * time.Minute)
	if got, err := s.Get(t.Context(), []string{"0", "7"}); err != nil || got[0] != nil || got[1] != nil {
		t.Fatalf("%q, %v: a row that is still there was read after its time", got, err)
	}
	put(kv.Entry{Key: "a"})
	if n := s.rows(t); n != sweepRows+1 {
		t.Fatalf("%d rows after one sweep", n)
	}
	put(kv.Entry{Key: "b"}) // in the same second: nobody sweeps
	if n := s.rows(t); n != sweepRows+2 {
		t.Fatalf("%d rows after two puts in a second", n)
	}
	*now = now.Add(2 * sweepEvery)
	put(kv.Entry{Key: "b"})
	if n := s.rows(t); n != 2 {
		t.Fatalf("%d rows are left", n)
	}
}

func TestABatchIsStoredWholeOrNotAtAll(t *testing.T) {
	s, _ := testStore(t)
	if _, err := s.writing.ExecContext(t.Context(), `CREATE TRIGGER no BEFORE INSERT ON kv WHEN NEW.key = x'62' BEGIN SELECT RAISE(ABORT, 'no'); END`); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), []kv.Entry{{Key: "a"}, {Key: "b"}}); err == nil {
		t.Fatal("the second entry was taken")
	}
	if n := s.rows(t); n != 0 {
		t.Fatalf("%d rows of a batch that failed", n)
	}
}

func TestAWriterThatHoldsTheFileDoesNotHoldACallForLong(t *testing.T) {
	s, _ := testStore(t)
	other, err := pool(filepathOf(t, s), 1, nil, "immediate")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	tx, err := other.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	begun := time.Now()
	if err := s.Put(t.Context(), []kv.Entry{{Key: "a"}}); err == nil {
		t.Fatal("two wrote at once")
	}
	if took := time.Since(begun); took > 20*time.Second {
		t.Fatalf("waited %s", took)
	}
	if _, err := s.Get(t.Context(), []string{"a"}); err != nil { // readers do not wait for writers
		t.Fatal(err)
	}
}

func filepathOf(t *testing.T, s *store) (path string) {
	t.Helper()
	var seq int
	var name string
	if err := s.reading.QueryRowContext(t.Context(), "PRAGMA database_list").Scan(&seq, &name, &path); err != nil {
		t.Fatal(err)
	}
	return path
}
