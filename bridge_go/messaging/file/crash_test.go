package file

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// TestMain lets the test binary play the process that is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("FILE_TEST_COPY"); dir != "" {
		if err := copyAll(dir, os.Getenv("FILE_TEST_OUT")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// copyAll is the smallest bridge: source to sink, then commit. It dawdles, so that it can be killed anywhere.
func copyAll(dir, out string) error {
	ctx := context.Background()
	o := messaging.Options{Name: "files", URL: "file:", Dir: dir, StateDir: filepath.Join(dir, ".state")}
	c, err := messaging.Open(ctx, o)
	if err != nil {
		return err
	}
	src, err := c.Source(ctx, messaging.SourceConfig{Topic: "in.jsonl", Group: "p/copy"})
	if err != nil {
		return err
	}
	snk, err := c.Sink(ctx, messaging.SinkConfig{Topic: out, Group: "p/copy"})
	if err != nil {
		return err
	}
	for {
		got, err := src.Read(ctx, messaging.Limit{Events: 1 + rand.IntN(50), Bytes: 1 << 20})
		if err == io.EOF {
			return c.Close(ctx)
		}
		if err != nil {
			return err
		}
		var all []messaging.Outgoing
		for _, r := range got {
			all = append(all, messaging.Outgoing{Record: r, ID: fmt.Sprint("in/0/", r.Offset)})
		}
		if err := snk.Write(ctx, all); err != nil {
			return err
		}
		time.Sleep(time.Duration(rand.IntN(300)) * time.Microsecond)
		if err := src.Commit(ctx, []messaging.Position{{Offset: got[len(got)-1].Offset}}); err != nil {
			return err
		}
	}
}

func TestKilledAndStartedAgainEveryOutputIsThereOnce(t *testing.T) {
	const n, kills = 20_000, 15
	for _, out := range []string{"out.jsonl", "out.jsonl.gz"} {
		t.Run(out, func(t *testing.T) {
			dir := t.TempDir()
			var in strings.Builder
			for i := range n {
				fmt.Fprintf(&in, "{\"n\":%d}\n", i)
			}
			put(t, dir, "in.jsonl", in.String())
			done := 0
			for done < kills && !copyFor(t, dir, out, time.Duration(5+rand.IntN(25))*time.Millisecond) {
				done++
			}
			if !copyFor(t, dir, out, 5*time.Minute) {
				t.Fatal("the last run did not end")
			}
			got := readAll(t, connectTo(t, dir, ""), messaging.SourceConfig{Topic: out})
			for i, r := range got {
				if want := fmt.Sprintf(`{"n":%d}`, i); string(r.Value) != want {
					t.Fatalf("after %d kills record %d is %s", done, i, r.Value)
				}
			}
			if len(got) != n {
				t.Fatalf("after %d kills %d of %d records", done, len(got), n)
			}
			t.Logf("%d kills, %d records, lost 0, twice 0", done, n)
		})
	}
}

// copyFor runs the copy for some time and kills it; it tells whether the copy ended before.
func copyFor(t *testing.T, dir, out string, d time.Duration) bool {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), "FILE_TEST_COPY="+dir, "FILE_TEST_OUT="+out)
	var said strings.Builder
	c.Stderr = &said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	killer := time.AfterFunc(d, func() { c.Process.Kill() })
	err := c.Wait()
	killer.Stop()
	if err != nil && said.Len() > 0 {
		t.Fatalf("%v: %s", err, said.String())
	}
	return err == nil
}

type writer struct {
	*testing.T
	dir string
}

// write opens a sink, writes records whose IDs are their values, and closes it.
func (w writer) write(settings string, values ...string) {
	w.Helper()
	ctx := context.Background()
	c := connectTo(w.T, w.dir, settings)
	defer c.Close(ctx)
	s, err := c.Sink(ctx, messaging.SinkConfig{Topic: "out.jsonl", Group: "g"})
	if err != nil {
		w.Fatal(err)
	}
	for _, v := range values {
		if err := s.Write(ctx, []messaging.Outgoing{{Record: messaging.Record{Value: []byte(v)}, ID: v}}); err != nil {
			w.Fatal(err)
		}
	}
}

func (w writer) path() string { return filepath.Join(w.dir, "out.jsonl") }

func (w writer) wants(want string) {
	w.Helper()
	if got, _ := os.ReadFile(w.path()); string(got) != want {
		w.Fatalf("got %q, want %q", got, want)
	}
}

func TestWhatStandsInTheOutputBesideOurWrites(t *testing.T) {
	for _, c := range []struct {
		name   string
		meddle func(path string) error
		want   string
	}{
		{"nothing", func(string) error { return nil }, "1\n2\n3\n"},
		{"a write that was not finished is cut off, and comes again", func(p string) error { return os.Truncate(p, 3) }, "1\n2\n3\n"},
		{"a write that never began comes again", func(p string) error { return os.Truncate(p, 2) }, "1\n2\n3\n"},
		{"a line that somebody added stays", func(p string) error { return add(p, "9\n") }, "1\n2\n9\n3\n"},
		{"a line that somebody left open is ended", func(p string) error { return add(p, "9") }, "1\n2\n9\n3\n"},
		{"an output that was removed is written anew, nothing vanishes as a duplicate", os.Remove, "1\n2\n3\n"},
		{"an emptied output, too", func(p string) error { return os.Truncate(p, 0) }, "1\n2\n3\n"},
		{"another file in its place is added to", func(p string) error { return os.WriteFile(p, []byte("7\n8\n9\n"), 0o600) }, "7\n8\n9\n1\n2\n3\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := writer{t, t.TempDir()}
			w.write("", "1", "2")
			if err := c.meddle(w.path()); err != nil {
				t.Fatal(err)
			}
			w.write("", "1", "2", "3")
			w.wants(c.want)
		})
	}
}

func add(path, text string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(text)
	return err
}

func TestTheJournalForgetsBeyondItsWindowAndStaysSmall(t *testing.T) {
	w := writer{t, t.TempDir()}
	var values []string
	for i := range 100 {
		values = append(values, fmt.Sprint(i))
	}
	w.write("window=10", values...)
	w.write("window=10", "99", "90", "100")
	w.wants(strings.Join(values, "\n") + "\n100\n")
	journals, _ := filepath.Glob(filepath.Join(w.dir, ".state/files/*.journal"))
	if info, err := os.Stat(journals[0]); err != nil || info.Size() > 40*64 {
		t.Fatalf("%d bytes, %v", info.Size(), err)
	}
}

func TestAnExistingOutputIsMetAsTheSettingsSay(t *testing.T) {
	for setting, want := range map[string]string{"append": "7\n1\n", "replace": "1\n"} {
		w := writer{t, t.TempDir()}
		put(t, w.dir, "out.jsonl", "7\n")
		w.write("existing="+setting, "1")
		w.wants(want)
	}
	dir := t.TempDir()
	put(t, dir, "out.jsonl", "7\n")
	_, err := connectTo(t, dir, "existing=refuse").Sink(context.Background(), messaging.SinkConfig{Topic: "out.jsonl", Group: "g"})
	if err == nil || !strings.Contains(err.Error(), "exists already") {
		t.Fatalf("got %v", err)
	}
}

func TestAFailedWriteLeavesTheOutputAsItWas(t *testing.T) {
	dir, ctx := t.TempDir(), context.Background()
	s, err := connectTo(t, dir, "").Sink(ctx, messaging.SinkConfig{Topic: "out.jsonl", Group: "g"})
	if err != nil {
		t.Fatal(err)
	}
	write := func(v string) error {
		return s.Write(ctx, []messaging.Outgoing{{Record: messaging.Record{Value: []byte(v)}, ID: v}})
	}
	if err := write("1"); err != nil {
		t.Fatal(err)
	}
	real := s.(*sink).file
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	s.(*sink).file = full
	if err := write("2"); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Fatalf("got %v", err)
	}
	s.(*sink).file = real
	if err := write("2"); err != nil {
		t.Fatal(err)
	}
	writer{t, dir}.wants("1\n2\n")
}

func TestLinesThatWouldBreakTheFileAreCompactedOrRefused(t *testing.T) {
	dir, ctx := t.TempDir(), context.Background()
	s, _ := connectTo(t, dir, "").Sink(ctx, messaging.SinkConfig{Topic: "out.jsonl"})
	err := s.Write(ctx, []messaging.Outgoing{
		{Record: messaging.Record{Value: []byte("{\n \"a\": \"b c\"\n}")}},
		{Record: messaging.Record{Value: []byte("not\njson")}},
		{Record: messaging.Record{Value: []byte(" ")}},
		{Record: messaging.Record{Value: nil}},
	})
	refused, ok := err.(*messaging.WriteError)
	if !ok || len(refused.Failed) != 2 || refused.Failed[0].Index != 1 || refused.Failed[1].Index != 2 {
		t.Fatalf("got %v", err)
	}
	writer{t, dir}.wants("{\"a\":\"b c\"}\nnull\n")
}
