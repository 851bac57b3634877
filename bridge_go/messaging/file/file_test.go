package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/messaging/messagingtest"
)

func TestConformance(t *testing.T) {
	lines := messagingtest.Capabilities{Persistent: true, Bounded: true, Deduplicates: true, Seeks: true, MaxBytes: 2 << 20}
	whole := lines
	whole.Keys, whole.Headers, whole.Nulls, whole.Empty, whole.Binary, whole.Times = true, true, true, true, true, true
	for _, c := range []struct {
		extension string
		can       messagingtest.Capabilities
	}{{".jsonl", lines}, {".ndjson.gz", lines}, {".records.jsonl", whole}, {".dead", whole}, {".dead.jsonl.gz", whole}} {
		t.Run(c.extension[1:], func(t *testing.T) {
			var topics atomic.Int64
			dir := t.TempDir()
			messagingtest.Run(t, messagingtest.Harness{
				Connect: func(t *testing.T) messaging.Connection { return connectTo(t, dir, "max_value=2MiB&max_line=16MiB") },
				Topic:   func(*testing.T) string { return fmt.Sprintf("out/%d%s", topics.Add(1), c.extension) },
				Can:     c.can,
			})
		})
	}
}

func connectTo(t testing.TB, dir, settings string) messaging.Connection {
	t.Helper()
	o := messaging.Options{Name: "files", URL: "file:?" + settings, Dir: dir, StateDir: filepath.Join(dir, ".state")}
	c, err := messaging.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

// readAll reads a topic to its end, without a group unless one is given.
func readAll(t *testing.T, c messaging.Connection, config messaging.SourceConfig) []messaging.Record {
	t.Helper()
	s, err := c.Source(context.Background(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(context.Background())
	var all []messaging.Record
	for {
		some, err := s.Read(context.Background(), messaging.Limit{Events: 3, Bytes: 1 << 20})
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, some...)
	}
}

func put(t *testing.T, dir, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// wants compares values; a value that begins with ! is the code of a fault, with a part of its reason behind a blank.
func wants(t *testing.T, got []messaging.Record, want ...string) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got) || i >= len(want):
			t.Fatalf("got %d records, want %d", len(got), len(want))
		case got[i].Offset != int64(i):
			t.Errorf("record %d has offset %d", i, got[i].Offset)
		case strings.HasPrefix(want[i], "!"):
			code, reason, _ := strings.Cut(want[i][1:], " ")
			if f := got[i].Fault; f == nil || f.Code != code || !strings.Contains(f.Reason, reason) {
				t.Errorf("record %d: got fault %+v and %.60q, want %s", i, f, got[i].Value, want[i])
			}
		case got[i].Fault != nil || string(got[i].Value) != want[i]:
			t.Errorf("record %d: got %.120q (fault %v), want %q", i, got[i].Value, got[i].Fault, want[i])
		}
	}
}

func TestLines(t *testing.T) {
	long := `"` + strings.Repeat("x", 300<<10) + `"`
	for _, c := range []struct {
		name, content string
		want          []string
	}{
		{"no last line end", "1\n2", []string{"1", "2"}},
		{"blank lines and carriage returns", "\n1\r\n  \r\n\r\n2\r\n\n", []string{"1", "2"}},
		{"a byte order mark", "\xef\xbb\xbf{\"a\":1}\n2\n", []string{`{"a":1}`, "2"}},
		{"an empty file", "", nil},
		{"longer than the buffer", "1\n" + long + "\r\n2\n", []string{"1", long, "2"}},
		{"over the limit", "1\n\n" + strings.Repeat("x", 1<<20+7) + "\n2\n",
			[]string{"1", "!line_too_long line 3 of", "2"}},
		{"over the limit at the end", "1\n" + strings.Repeat("x", 3<<20), []string{"1", "!line_too_long 3145728 bytes"}},
		{"at the limit", strings.Repeat("x", 1<<20) + "\r\n2\n", []string{strings.Repeat("x", 1<<20), "2"}},
		{"one over the limit", strings.Repeat("x", 1<<20+1) + "\n2\n", []string{"!line_too_long 1048577 bytes", "2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			put(t, dir, "a.jsonl", c.content)
			wants(t, readAll(t, connectTo(t, dir, "max_line=1MiB"), messaging.SourceConfig{Topic: "a.jsonl"}), c.want...)
		})
	}
}

func TestASmallLimitCutsLinesToo(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "a.jsonl", "12345678\n123456789\r\n1\n")
	wants(t, readAll(t, connectTo(t, dir, "max_line=8"), messaging.SourceConfig{Topic: "a.jsonl"}),
		"12345678", "!line_too_long line 2", "1")
}

func TestResumeBehindLongAndBlankLines(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "a.jsonl", "0\n\n"+strings.Repeat("x", 100)+"\n2\n\n3\n")
	ctx := context.Background()
	config := messaging.SourceConfig{Topic: "a.jsonl", Group: "g"}
	for done := int64(0); done < 4; done++ {
		c := connectTo(t, dir, "max_line=50")
		s, err := c.Source(ctx, config)
		if err != nil {
			t.Fatal(err)
		}
		all, err := s.Read(ctx, messaging.Limit{Events: 10, Bytes: 1 << 20})
		if err != nil || all[0].Offset != done || len(all) != int(4-done) || (done == 1) != (all[0].Fault != nil) {
			t.Fatalf("after %d: %+v, %v", done, all, err)
		}
		if err := s.Commit(ctx, []messaging.Position{{Offset: done}}); err != nil {
			t.Fatal(err)
		}
		c.Close(ctx)
	}
}

func TestAReplacedFileIsReadFromTheStart(t *testing.T) {
	for name, content := range map[string]string{"other": "7\n8\n9\n", "shorter": "0\n"} {
		t.Run(name, func(t *testing.T) {
			dir, ctx := t.TempDir(), context.Background()
			put(t, dir, "a.jsonl", "0\n1\n2\n")
			config := messaging.SourceConfig{Topic: "a.jsonl", Group: "g"}
			c := connectTo(t, dir, "")
			s, _ := c.Source(ctx, config)
			s.Read(ctx, messaging.Limit{Events: 10, Bytes: 100})
			if err := s.Commit(ctx, []messaging.Position{{Offset: 1}}); err != nil {
				t.Fatal(err)
			}
			s.Close(ctx)
			put(t, dir, "a.jsonl", content)
			wants(t, readAll(t, c, config), strings.Fields(content)...)
		})
	}
}

func TestADamagedGzipIsAnErrorAfterWhatCouldBeRead(t *testing.T) {
	dir, ctx := t.TempDir(), context.Background()
	packed := member([]byte("1\n2\n"))
	put(t, dir, "a.jsonl.gz", string(packed)+string(member([]byte("3\n")))[:12])
	s, err := connectTo(t, dir, "").Source(ctx, messaging.SourceConfig{Topic: "a.jsonl.gz"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Read(ctx, messaging.Limit{Events: 10, Bytes: 100})
	if err != nil {
		t.Fatal(err)
	}
	wants(t, got, "1", "2")
	if _, err = s.Read(ctx, messaging.Limit{Events: 10, Bytes: 100}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("got %v", err)
	}
}

func TestTopicsThatCannotBeAreExplained(t *testing.T) {
	c := connectTo(t, t.TempDir(), "")
	for topic, want := range map[string]string{"a.json": "jq -c", "a.parquet": ".csv", "none.jsonl": "no such topic"} {
		if _, err := c.Source(context.Background(), messaging.SourceConfig{Topic: topic}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v does not say %q", topic, err, want)
		}
	}
}

func FuzzLines(f *testing.F) {
	f.Add("1\n2\r\n\n\xef\xbb\xbf3", 3)
	f.Add(strings.Repeat("x", 300<<10)+"\r\n1", 262144)
	f.Fuzz(func(t *testing.T, content string, limit int) {
		limit = max(limit, 1)
		l := newLines(strings.NewReader(content), limit)
		want := strings.SplitAfter(content, "\n")
		for i, whole := range want {
			if whole == "" {
				break
			}
			got, err := l.next()
			if err != nil || got.number != int64(i+1) || len(got.text) > limit {
				t.Fatalf("line %d: %+v, %v", i+1, got, err)
			}
			text := string(trimEnd([]byte(whole)))
			if len(text) <= limit && (got.cut() || string(got.text) != text) {
				t.Fatalf("line %d: got %q, want %q", i+1, got.text, text)
			}
			if len(text) > limit && (!got.cut() || !strings.HasPrefix(text, string(got.text))) {
				t.Fatalf("line %d of %d bytes was not cut", i+1, len(text))
			}
		}
		if _, err := l.next(); err != io.EOF || l.at != int64(len(content)) {
			t.Fatalf("at %d of %d: %v", l.at, len(content), err)
		}
	})
}
