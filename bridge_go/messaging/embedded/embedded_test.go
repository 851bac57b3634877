package embedded

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metrics "github.com/prometheus/client_model/go"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/messaging/jetstream"
	"ds-runner.dev/ds-runner/bridge_go/messaging/messagingtest"
)

func TestConformance(t *testing.T) {
	var topics atomic.Int64
	dir := t.TempDir()
	messagingtest.Run(t, messagingtest.Harness{
		Connect: func(t *testing.T) messaging.Connection { return connectTo(t, dir, "") },
		Topic:   func(*testing.T) string { return fmt.Sprintf("Topic %d.dead/ключ*>", topics.Add(1)) },
		Can: messagingtest.Capabilities{
			Persistent: true, Keys: true, Headers: true, Nulls: true, Empty: true, Binary: true, Times: true,
			Deduplicates: true, Deletes: true, Seeks: true, MaxBytes: 1 << 20,
		},
	})
}

func TestConformanceOfTopicsThatShareAStream(t *testing.T) {
	var topics atomic.Int64
	dir := t.TempDir()
	messagingtest.Run(t, messagingtest.Harness{
		Connect: func(t *testing.T) messaging.Connection { return connectTo(t, dir, "stream=one") },
		Topic:   func(*testing.T) string { return fmt.Sprintf("Topic %d.dead/ключ*>", topics.Add(1)) },
		Can: messagingtest.Capabilities{
			Persistent: true, Keys: true, Headers: true, Nulls: true, Empty: true, Binary: true, Times: true,
			Deduplicates: true, Deletes: true, Seeks: true, Fates: true, MaxBytes: 1 << 20,
		},
	})
}

func connectTo(t testing.TB, dir, settings string) messaging.Connection {
	t.Helper()
	o := messaging.Options{Name: "events", URL: "embedded:?" + settings, StateDir: dir}
	c, err := messaging.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

var ctx = context.Background()

func numbered(from, n int) []messaging.Outgoing {
	all := make([]messaging.Outgoing, n)
	for i := range all {
		all[i] = messaging.Outgoing{
			Record: messaging.Record{Key: fmt.Append(nil, "k", from+i), Value: fmt.Appendf(nil, `{"n":%d}`, from+i)},
			ID:     fmt.Sprint("id-", from+i),
		}
	}
	return all
}

func write(t testing.TB, c messaging.Connection, topic string, records ...messaging.Outgoing) {
	t.Helper()
	s, err := c.Sink(ctx, messaging.SinkConfig{Topic: topic})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(ctx)
	if err := s.Write(ctx, records); err != nil {
		t.Fatal(err)
	}
}

func counted(c prometheus.Counter) float64 {
	var m metrics.Metric
	c.Write(&m)
	return m.GetCounter().GetValue()
}

func readerOf(t testing.TB, c messaging.Connection, topic, group string) messaging.Source {
	t.Helper()
	s, err := c.Source(ctx, messaging.SourceConfig{Topic: topic, Group: group})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestNamesAreWrittenReversiblyAndStayApart(t *testing.T) {
	seen := map[string]bool{}
	for _, topic := range []string{"departures", "departures.dead", "Departures", "a/b", "a%2Fb", "a b", "*", ">", "ключ", "..", "a\\b", "CON"} {
		name := streamName(topic)
		back, err := jetstream.Unescaped(name)
		if err != nil || back != topic || seen[name] {
			t.Errorf("%q: %q, back %q, %v", topic, name, back, err)
		}
		seen[name] = true
	}
	c := connectTo(t, t.TempDir(), "")
	for _, bad := range []string{"", strings.Repeat("x", 256), strings.Repeat("X", 100)} {
		if _, err := c.Sink(ctx, messaging.SinkConfig{Topic: bad}); err == nil || !strings.Contains(err.Error(), "the name is") {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
}

func TestT35ARecordDroppedUnreadIsAGapAndNeverSilent(t *testing.T) {
	dir := t.TempDir()
	value := make([]byte, 100_000)
	fill := func(c messaging.Connection, n int) {
		t.Helper()
		for range n {
			write(t, c, "a", messaging.Outgoing{Record: messaging.Record{Value: value}})
		}
	}
	c := connectTo(t, dir, "max_bytes=1MiB")
	fill(c, 5)
	s := readerOf(t, c, "a", "g")
	if _, err := s.Read(ctx, messaging.Limit{Events: 2, Bytes: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(ctx, []messaging.Position{{Offset: 2}}); err != nil {
		t.Fatal(err)
	}
	s.Close(ctx)
	fill(c, 20)
	_, err := c.Source(ctx, messaging.SourceConfig{Topic: "a", Group: "g"})
	var gap *messaging.GapError
	if !errors.As(err, &gap) || gap.Want != 3 || gap.Have < 10 {
		t.Fatalf("got %v", err)
	}
	c.Close(ctx)
	c = connectTo(t, dir, "max_bytes=1MiB&gap=continue")
	s = readerOf(t, c, "a", "g")
	got, err := s.Read(ctx, messaging.Limit{Events: 1, Bytes: 1})
	if err != nil || got[0].Offset != gap.Have {
		t.Fatalf("%d records, %v", len(got), err)
	}
	if n := counted(c.(*connection).gaps); n != float64(gap.Have-gap.Want) {
		t.Fatalf("%v records counted", n)
	}
}

func TestT35AReaderIsPassedByRetentionWhileItReads(t *testing.T) {
	c := connectTo(t, t.TempDir(), "max_bytes=1MiB")
	value := make([]byte, 100_000)
	s := readerOf(t, c, "a", "g")
	for range 30 {
		write(t, c, "a", messaging.Outgoing{Record: messaging.Record{Value: value}})
	}
	_, err := s.Read(ctx, messaging.Limit{Events: 1, Bytes: 1})
	var gap *messaging.GapError
	if !errors.As(err, &gap) || gap.Want != 1 {
		t.Fatalf("got %v", err)
	}
}

func places(offsets ...int64) (all []messaging.Position) {
	for _, offset := range offsets {
		all = append(all, messaging.Position{Offset: offset})
	}
	return all
}

func TestRecordsDeletedOnPurposeAreNoGap(t *testing.T) {
	dir := t.TempDir()
	c := connectTo(t, dir, "")
	write(t, c, "a", numbered(1, 10)...)
	s := readerOf(t, c, "a", "g")
	s.Read(ctx, messaging.Limit{Events: 1, Bytes: 1})
	s.Commit(ctx, []messaging.Position{{Offset: 1}})
	s.Close(ctx)
	if err := c.Delete(ctx, "a", places(1, 2, 3, 7, 9, 10, 11, -1, 0)); err != nil {
		t.Fatal(err)
	}
	c.Close(ctx)
	c = connectTo(t, dir, "")
	s = readerOf(t, c, "a", "g")
	var offsets []int64
	for len(offsets) < 4 {
		got, err := s.Read(ctx, messaging.Limit{Events: 10, Bytes: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range got {
			offsets = append(offsets, r.Offset)
		}
	}
	if !slices.Equal(offsets, []int64{4, 5, 6, 8}) {
		t.Fatalf("got %v", offsets)
	}
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if _, err := s.Read(short, messaging.Limit{Events: 1, Bytes: 1}); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("behind deleted records at the end: %v", err)
	}
	write(t, c, "a", numbered(11, 1)...)
	if got, err := s.Read(ctx, messaging.Limit{Events: 1, Bytes: 1}); err != nil || got[0].Offset != 11 {
		t.Fatalf("%v, %v", got, err)
	}
}

func TestT35T46ATopicThatWasMadeAgainIsReadFromTheStart(t *testing.T) {
	c := connectTo(t, t.TempDir(), "")
	write(t, c, "a", numbered(1, 10)...)
	before, _ := c.Incarnation(ctx, "a")
	s := readerOf(t, c, "a", "g")
	s.Read(ctx, messaging.Limit{Events: 10, Bytes: 1 << 20})
	s.Commit(ctx, []messaging.Position{{Offset: 5}})
	s.Close(ctx)
	e := c.(*connection).engine
	if err := e.js.DeleteStream(ctx, streamName("a")); err != nil {
		t.Fatal(err)
	}
	delete(e.topics, "a")
	write(t, c, "a", numbered(1, 10)...) // the same ids: they were forgotten with the topic
	if after, _ := c.Incarnation(ctx, "a"); after == before {
		t.Fatal("the incarnation stayed")
	}
	s = readerOf(t, c, "a", "g")
	if got, err := s.Read(ctx, messaging.Limit{Events: 1, Bytes: 1}); err != nil || got[0].Offset != 1 {
		t.Fatalf("%v, %v", got, err)
	}
	if n := counted(c.(*connection).remade); n != 1 {
		t.Fatalf("counted %v", n)
	}
}

func TestT35ATopicThatVanishesUnderItsReaderIsAnError(t *testing.T) {
	c := connectTo(t, t.TempDir(), "")
	write(t, c, "a", numbered(1, 1)...)
	s := readerOf(t, c, "a", "g")
	s.Read(ctx, messaging.Limit{Events: 1, Bytes: 1})
	if err := c.(*connection).engine.js.DeleteStream(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(ctx, messaging.Limit{Events: 1, Bytes: 1}); !errors.Is(err, messaging.ErrNoTopic) {
		t.Fatalf("got %v", err)
	}
}

func TestAPositionBehindTheEndOfTheStoreIsToldAndReadingGoesOnAtTheEnd(t *testing.T) {
	dir := t.TempDir()
	c := connectTo(t, dir, "")
	write(t, c, "a", numbered(1, 3)...)
	e := c.(*connection).engine
	life, _ := c.Incarnation(ctx, "a")
	if err := e.positions.Save("a", "g", position{Incarnation: life, Offset: 9}); err != nil {
		t.Fatal(err)
	}
	s := readerOf(t, c, "a", "g")
	write(t, c, "a", numbered(4, 1)...)
	if got, err := s.Read(ctx, messaging.Limit{Events: 1, Bytes: 1}); err != nil || got[0].Offset != 4 {
		t.Fatalf("%v, %v", got, err)
	}
	if n := counted(c.(*connection).lost); n != 6 {
		t.Fatalf("counted %v", n)
	}
}

func TestT33DuplicatesAreKnownAfterARestartAndCounted(t *testing.T) {
	dir := t.TempDir()
	c := connectTo(t, dir, "")
	write(t, c, "a", numbered(1, 100)...)
	c.Close(ctx)
	c = connectTo(t, dir, "")
	write(t, c, "a", numbered(51, 100)...)
	if _, end, err := c.Browse(ctx, "a", messaging.Newest, 0); err != nil || end != "0:151" {
		t.Fatalf("end %s, %v", end, err)
	}
	if n := counted(c.(*connection).duplicates); n != 50 {
		t.Fatalf("counted %v", n)
	}
}

func TestT34OutsideTheWindowAnIdIsForgotten(t *testing.T) {
	c := connectTo(t, t.TempDir(), "duplicates=100ms")
	write(t, c, "a", numbered(1, 1)...)
	for deadline := time.Now().Add(20 * time.Second); ; {
		write(t, c, "a", numbered(1, 1)...)
		if _, end, _ := c.Browse(ctx, "a", messaging.Newest, 0); end == "0:3" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the window never ends")
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestOneStoreIsSharedByItsConnections(t *testing.T) {
	dir := t.TempDir()
	one, two := connectTo(t, dir, ""), connectTo(t, dir, "")
	write(t, one, "a", numbered(1, 1)...)
	one.Close(ctx)
	if got, err := readerOf(t, two, "a", "g").Read(ctx, messaging.Limit{Events: 1, Bytes: 1}); err != nil || len(got) != 1 {
		t.Fatalf("%v, %v", got, err)
	}
	if _, err := messaging.Open(ctx, messaging.Options{URL: "embedded:?sync=always", StateDir: dir}); err == nil {
		t.Fatal("a second connection with another sync was let in")
	}
}

func TestKeysThatNoHeaderCanHoldAreRefused(t *testing.T) {
	c := connectTo(t, t.TempDir(), "")
	s, _ := c.Sink(ctx, messaging.SinkConfig{Topic: "a"})
	err := s.Write(ctx, []messaging.Outgoing{{Record: messaging.Record{Key: make([]byte, 1<<20), Value: []byte("1")}}, numbered(1, 1)[0]})
	var refused *messaging.WriteError
	if !errors.As(err, &refused) || len(refused.Failed) != 1 || refused.Failed[0].Index != 0 || !refused.Failed[0].Permanent {
		t.Fatalf("got %v", err)
	}
}

func TestSettingsThatCannotBeAreExplained(t *testing.T) {
	for settings, want := range map[string]string{"max_value=1GiB": "at most 32MiB", "max_byte=1": "max_bytes", "sync=never": "interval, always"} {
		_, err := messaging.Open(ctx, messaging.Options{URL: "embedded:?" + settings, StateDir: t.TempDir()})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", settings, err)
		}
	}
	if _, err := messaging.Open(ctx, messaging.Options{URL: "embedded:"}); err == nil {
		t.Error("no state folder, no error")
	}
}

func BenchmarkWrite(b *testing.B) {
	c := connectTo(b, b.TempDir(), "")
	s, _ := c.Sink(ctx, messaging.SinkConfig{Topic: "a"})
	for i := 0; i < b.N; i += 256 {
		if err := s.Write(ctx, numbered(i, 256)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	c := connectTo(b, b.TempDir(), "")
	for i := 0; i < b.N; i += 1024 {
		write(b, c, "a", numbered(i, 1024)...)
	}
	s := readerOf(b, c, "a", "g")
	b.ResetTimer()
	for i := 0; i < b.N; {
		got, err := s.Read(ctx, messaging.Limit{Events: 256, Bytes: 1 << 20})
		if err != nil {
			b.Fatal(err)
		}
		i += len(got)
	}
}
