package nats

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	metrics "github.com/prometheus/client_model/go"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

func numbered(from, n int) []messaging.Outgoing {
	all := make([]messaging.Outgoing, n)
	for i := range all {
		all[i] = messaging.Outgoing{Record: messaging.Record{Value: fmt.Append(nil, from+i)}, ID: fmt.Sprint("id-", from+i)}
	}
	return all
}

func write(t testing.TB, c *connection, topic string, records ...messaging.Outgoing) {
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

func readerOf(t testing.TB, c *connection, topic, group string) messaging.Source {
	t.Helper()
	s, err := c.Source(ctx, messaging.SourceConfig{Topic: topic, Group: group})
	for deadline := time.Now().Add(time.Minute); away(err) && time.Now().Before(deadline); { // a server that was just started
		time.Sleep(20 * time.Millisecond)
		s, err = c.Source(ctx, messaging.SourceConfig{Topic: topic, Group: group})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(ctx) })
	return s
}

func read(t testing.TB, s messaging.Source, n int) (all []messaging.Record) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	for len(all) < n {
		some, err := s.Read(ctx, messaging.Limit{Events: n - len(all), Bytes: 1 << 20})
		if err != nil {
			t.Fatalf("after %d of %d records: %v", len(all), n, err)
		}
		all = append(all, some...)
	}
	return all
}

func commit(t testing.TB, s messaging.Source, r messaging.Record) {
	t.Helper()
	if err := s.Commit(ctx, []messaging.Position{{Partition: r.Partition, Offset: r.Offset, Epoch: r.Epoch}}); err != nil {
		t.Fatal(err)
	}
}

func wants(t testing.TB, got []messaging.Record, from, n int) {
	t.Helper()
	for i, r := range got {
		if string(r.Value) != fmt.Sprint(from+i) {
			t.Fatalf("record %d of %d is %s, want %d", i, len(got), r.Value, from+i)
		}
	}
	if len(got) != n {
		t.Fatalf("%d records, want %d", len(got), n)
	}
}

// endOf is where a topic ends, as soon as its server, which may have been started just now, says so.
func endOf(t testing.TB, c *connection, topic string) messaging.Cursor {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		_, end, err := c.Browse(ctx, topic, messaging.Newest, 0)
		if err == nil {
			return end
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func counted(c prometheus.Counter) float64 {
	var m metrics.Metric
	c.Write(&m)
	return m.GetCounter().GetValue()
}

func refuses(t *testing.T, err error, words ...string) {
	t.Helper()
	for _, w := range words {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Fatalf("got %v, want %q in it", err, w)
		}
	}
}

func consumerOf(t *testing.T, c *connection, topic, group string) *natsjs.ConsumerInfo {
	t.Helper()
	found, err := c.topic(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	k, err := c.js.Consumer(ctx, found.stream, found.consumerName(group, 0))
	if err != nil {
		t.Fatal(err)
	}
	return k.CachedInfo()
}

// writeAll writes until all is acknowledged, as the dispatcher does: what failed again, with the same ids.
func writeAll(t *testing.T, s messaging.Sink, records []messaging.Outgoing) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; {
		err := s.Write(ctx, records)
		var failed *messaging.WriteError
		switch {
		case err == nil:
			return
		case errors.As(err, &failed):
			var again []messaging.Outgoing
			for _, f := range failed.Failed {
				if f.Permanent {
					t.Fatal(f.Err)
				}
				again = append(again, records[f.Index])
			}
			records = again
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestT3WhatWasAcknowledgedSurvivesAServerThatIsKilledWhileItIsWritten(t *testing.T) {
	const kills, each = 5, 4000
	s := startServer(t)
	c := connectTo(t, s, "", "timeout=3s")
	name := topicName()
	sink, err := c.Sink(ctx, messaging.SinkConfig{Topic: name})
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close(ctx)
	for k := range kills {
		killed := make(chan struct{})
		go func() {
			defer close(killed)
			time.Sleep(time.Duration(rand.IntN(100)) * time.Millisecond) // some moment of the write
			s.restart()
		}()
		for i := 0; i < each; i += 500 {
			writeAll(t, sink, numbered(k*each+i, 500))
		}
		<-killed
	}
	got := read(t, readerOf(t, c, name, "g"), kills*each)
	seen := map[string]bool{}
	for _, r := range got {
		seen[string(r.Value)] = true
	}
	if end := endOf(t, c, name); len(seen) != kills*each || end != messaging.CursorAt(kills*each+1) {
		t.Fatalf("%d different of %d, the stream ends at %s", len(seen), kills*each, end)
	}
}

func TestT3AReaderGoesOnWhenTheServerWasKilled(t *testing.T) {
	s := startServer(t)
	c := connectTo(t, s, t.TempDir(), "timeout=3s&takeover=2s&ack_wait=3s")
	name := topicName()
	write(t, c, name, numbered(0, 1000)...)
	src := readerOf(t, c, name, "g")
	seen := map[string]bool{}
	kills := []int{200, 600}
	for reads := 0; len(seen) < 1000; reads++ {
		if len(kills) > 0 && len(seen) >= kills[0] {
			s.restart()
			kills = kills[1:]
		}
		if reads > 100 {
			t.Fatalf("%d of 1000 after %d reads", len(seen), reads)
		}
		got := read(t, src, 100)
		for _, r := range got {
			seen[string(r.Value)] = true
		}
		src.Commit(ctx, []messaging.Position{{Offset: got[len(got)-1].Offset}}) // which may fail: the server was just started
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		src.Read(short, messaging.Limit{Events: 1000, Bytes: 1 << 20})
		cancel()
		if err := src.Commit(ctx, []messaging.Position{{Offset: 1000}}); err == nil && consumerOf(t, c, name, "g").AckFloor.Stream == 1000 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the position stays at %d", consumerOf(t, c, name, "g").AckFloor.Stream)
		}
	}
}

func TestT12NothingIsDeliveredAgainToAModelSlowerThanTheAckWait(t *testing.T) {
	for _, settings := range []string{"ack_wait=2s", "ack_wait=2s&shared=true"} {
		c := connectTo(t, startServer(t), "", settings)
		name := topicName()
		write(t, c, name, numbered(0, 50)...)
		s := readerOf(t, c, name, "g")
		got := read(t, s, 50)
		slow, cancel := context.WithTimeout(ctx, 5*time.Second)
		more, err := s.Read(slow, messaging.Limit{Events: 10, Bytes: 1 << 20})
		cancel()
		if len(more) > 0 || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("%d records and %v while the model worked", len(more), err)
		}
		info := consumerOf(t, c, name, "g")
		if info.NumRedelivered > 0 || counted(c.redelivered) > 0 || info.NumAckPending != 50 {
			t.Fatalf("%s: redelivered %d, counted %v, unsettled %d", settings, info.NumRedelivered, counted(c.redelivered), info.NumAckPending)
		}
		commit(t, s, got[49])
		if info := consumerOf(t, c, name, "g"); info.NumAckPending != 0 || info.AckFloor.Stream != 50 {
			t.Fatalf("%s: after the commit %+v", settings, info.AckFloor)
		}
	}
}

func TestNothingIsFetchedBeyondWhatIsAskedFor(t *testing.T) {
	c := connectTo(t, startServer(t), "", "")
	name := topicName()
	write(t, c, name, numbered(0, 100)...)
	s := readerOf(t, c, name, "g")
	read(t, s, 3)
	read(t, s, 4)
	if info := consumerOf(t, c, name, "g"); info.NumAckPending != 7 || info.NumPending != 93 {
		t.Fatalf("7 were read, %d delivered and %d left", info.NumAckPending, info.NumPending)
	}
}

func TestAConsumerThatWouldLoseMessagesIsRefused(t *testing.T) {
	c := connectTo(t, startServer(t), "", "")
	for change, want := range map[string]func(*natsjs.ConsumerConfig){
		"MaxDeliver 3": func(k *natsjs.ConsumerConfig) { k.MaxDeliver = 3 },
		"back-off":     func(k *natsjs.ConsumerConfig) { k.BackOff = []time.Duration{time.Second} },
		"acknowledges": func(k *natsjs.ConsumerConfig) { k.AckPolicy = natsjs.AckExplicitPolicy },
		"pin": func(k *natsjs.ConsumerConfig) {
			k.PriorityPolicy, k.PriorityGroups, k.PinnedTTL = natsjs.PriorityPolicyNone, nil, 0
		},
		"reads": func(k *natsjs.ConsumerConfig) { k.FilterSubject = "" },
	} {
		found, err := c.topic(ctx, topicName())
		if err != nil {
			t.Fatal(err)
		}
		config := found.wanted("p/c", 0, 0, 0)
		want(&config)
		if _, err := c.js.CreateConsumer(ctx, found.stream, config); err != nil {
			t.Fatal(change, err)
		}
		_, err = c.Source(ctx, messaging.SourceConfig{Topic: found.name, Group: "p/c"})
		refuses(t, err, change, config.Name)
	}
}

func TestT33DuplicatesWithinTheWindowAreCountedAndOutsideTheyAreNotKnown(t *testing.T) {
	s := startServer(t)
	c := connectTo(t, s, "", "duplicates=10s")
	name := topicName()
	write(t, c, name, numbered(0, 100)...)
	s.restart()
	c = connectTo(t, s, "", "duplicates=10s")
	write(t, c, name, numbered(50, 100)...)
	if n := counted(c.duplicates); n != 50 {
		t.Fatalf("counted %v", n)
	}
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) { // T34
		write(t, c, name, numbered(0, 1)...)
		if end := endOf(t, c, name); end != messaging.CursorAt(151) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the window never ends")
		}
	}
}

func TestT35AStreamThatIsDeletedAndMadeAgainIsReadFromItsStart(t *testing.T) {
	c := connectTo(t, startServer(t), "", "")
	name := topicName()
	write(t, c, name, numbered(0, 10)...)
	before, _ := c.Incarnation(ctx, name)
	s := readerOf(t, c, name, "g")
	commit(t, s, read(t, s, 10)[4])
	found, _ := c.topic(ctx, name)
	if err := c.js.DeleteStream(ctx, found.stream); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if _, err := s.Read(short, messaging.Limit{Events: 1, Bytes: 1}); !errors.Is(err, messaging.ErrNoTopic) {
		t.Fatalf("reading a stream that is gone: %v", err)
	}
	s.Close(ctx)
	write(t, c, name, numbered(0, 10)...) // the same ids: they were forgotten with the stream
	if after, _ := c.Incarnation(ctx, name); after == before || counted(c.remade) != 1 {
		t.Fatalf("incarnation %q, then %q; counted %v", before, after, counted(c.remade))
	}
	wants(t, read(t, readerOf(t, c, name, "g"), 10), 0, 10)
}

func TestT35WhatRetentionDroppedUnreadIsAGap(t *testing.T) {
	server := startServer(t)
	for _, settings := range []string{"gap=stop", "gap=continue"} {
		c := connectTo(t, server, "", settings)
		name := topicName()
		k := stream(t, c, natsjs.StreamConfig{Name: strings.ReplaceAll(name, ".", "-"), Subjects: []string{name}, MaxMsgs: 20, AllowDirect: true})
		write(t, c, name, numbered(0, 10)...)
		s := readerOf(t, c, name, "g")
		commit(t, s, read(t, s, 5)[4])
		write(t, c, name, numbered(10, 50)...) // 6 to 40 are gone, and the reader is open
		short, cancel := context.WithTimeout(ctx, time.Minute)
		got, err := s.Read(short, messaging.Limit{Events: 100, Bytes: 1 << 20})
		cancel()
		var gap *messaging.GapError
		switch settings {
		case "gap=stop":
			if !errors.As(err, &gap) || gap.Want != 6 || gap.Have != 41 {
				t.Fatalf("got %d records, %v", len(got), err)
			}
			s.Close(ctx)
			if _, err := c.Source(ctx, messaging.SourceConfig{Topic: name, Group: "g"}); !errors.As(err, &gap) {
				t.Fatalf("opened again: %v", err)
			}
		default:
			if err != nil || got[0].Offset != 41 || counted(c.gaps) != 35 {
				t.Fatalf("got %d records, %v, counted %v", len(got), err, counted(c.gaps))
			}
		}
		_ = k
	}
}

// die ends a connection as its process dies: nothing is said.
func (c *connection) die() {
	c.conn.Close()
	pins.Clear()
}

func TestAReaderOnStandbyTakesOverInOrderFromTheCommit(t *testing.T) {
	server := startServer(t)
	one, two := connectTo(t, server, t.TempDir(), "takeover=3s"), connectTo(t, server, t.TempDir(), "takeover=3s")
	name := topicName()
	write(t, one, name, numbered(0, 100)...)
	first, second := readerOf(t, one, name, "g"), readerOf(t, two, name, "g")
	commit(t, first, read(t, first, 60)[29])
	short, cancel := context.WithTimeout(ctx, 4*time.Second)
	defer cancel()
	if got, err := second.Read(short, messaging.Limit{Events: 10, Bytes: 1 << 20}); len(got) > 0 {
		t.Fatalf("the standby got %d records, %v", len(got), err)
	}
	one.die()
	began := time.Now()
	wants(t, read(t, second, 70), 30, 70)
	if took := time.Since(began); took > 30*time.Second {
		t.Fatalf("after %s: it waited for more than takeover", took)
	}
	if commit(t, second, messaging.Record{Offset: 100, Epoch: 0}); consumerOf(t, two, name, "g").AckFloor.Stream != 100 {
		t.Fatal("the position did not move")
	}
}

func TestABridgeThatWasKilledTakesItsPartitionBackAtOnce(t *testing.T) {
	server := startServer(t)
	state := t.TempDir()
	name := topicName()
	c := connectTo(t, server, state, "takeover=1m")
	write(t, c, name, numbered(0, 20)...)
	s := readerOf(t, c, name, "g")
	commit(t, s, read(t, s, 20)[9])
	c.die()
	began := time.Now()
	wants(t, read(t, readerOf(t, connectTo(t, server, state, "takeover=1m"), name, "g"), 10), 10, 10)
	if took := time.Since(began); took > 30*time.Second {
		t.Fatalf("it took %s", took)
	}
}

func TestT14ReadersThatShareLoseNothingWhenOneDies(t *testing.T) {
	server := startServer(t)
	one, two := connectTo(t, server, "", "shared=true&ack_wait=1s"), connectTo(t, server, "", "shared=true&ack_wait=1s")
	name := topicName()
	write(t, one, name, numbered(0, 100)...)
	first, second := readerOf(t, one, name, "g"), readerOf(t, two, name, "g")
	mine := read(t, first, 40)
	commit(t, first, mine[19])
	one.die() // with 20 unsettled
	got := read(t, second, 80)
	want := map[string]bool{}
	for i := range 100 {
		want[fmt.Sprint(i)] = true
	}
	for _, r := range slices.Concat(mine[:20], got) {
		if !want[string(r.Value)] {
			t.Fatalf("%s was settled or came twice", r.Value)
		}
		delete(want, string(r.Value))
	}
	if commit(t, second, got[79]); consumerOf(t, two, name, "g").NumAckPending != 0 {
		t.Fatalf("%d unsettled", consumerOf(t, two, name, "g").NumAckPending)
	}
}

func TestWhatAReaderThatSharesGivesBackComesAtOnce(t *testing.T) {
	server := startServer(t)
	one, two := connectTo(t, server, "", "shared=true&ack_wait=1m"), connectTo(t, server, "", "shared=true&ack_wait=1m")
	name := topicName()
	write(t, one, name, numbered(0, 10)...)
	first := readerOf(t, one, name, "g")
	read(t, first, 10)
	first.Close(ctx)
	wants(t, read(t, readerOf(t, two, name, "g"), 10), 0, 10)
}

func TestAStreamThatForgetsIdsIsNotReliedOn(t *testing.T) {
	c := connectTo(t, startServer(t), "", "")
	name := topicName()
	stream(t, c, natsjs.StreamConfig{Name: "W", Subjects: []string{name}, Retention: natsjs.WorkQueuePolicy})
	s, err := c.Sink(ctx, messaging.SinkConfig{Topic: name})
	if err != nil || s.Info().Deduplicates {
		t.Fatalf("%+v, %v", s.Info(), err)
	}
	_, err = c.Fates(ctx, []string{name})
	refuses(t, err, "W", "retention by limits")
	_, err = c.Fates(ctx, []string{topicName(), topicName()})
	refuses(t, err, "stream=NAME")
	stream(t, c, natsjs.StreamConfig{Name: "N", Subjects: []string{"quiet"}, NoAck: true})
	_, err = c.Sink(ctx, messaging.SinkConfig{Topic: "quiet"})
	refuses(t, err, "no_ack")
}

func TestAFateThatAKilledServerStoredInPartIsCompleted(t *testing.T) {
	c := connectTo(t, startServer(t), "", "stream=S")
	w, err := c.Fates(ctx, []string{"a", "b"})
	if err != nil {
		t.Fatal(err)
	}
	m := natsgo.NewMsg("a")
	m.Data = []byte("0")
	m.Header.Set("Nats-Msg-Id", "e:0")
	m.Header.Set("Ds-Fate", "3")
	if _, err := c.js.PublishMsg(ctx, m); err != nil {
		t.Fatal(err)
	}
	fate := messaging.FateWrite{ID: "e", Records: []messaging.FateRecord{
		{Topic: "a", Record: messaging.Record{Value: []byte("0")}},
		{Topic: "b", Record: messaging.Record{Value: []byte("dead")}},
		{Topic: "a", Record: messaging.Record{Value: []byte("1")}},
	}}
	for range 2 {
		if err := w.WriteFates(ctx, []messaging.FateWrite{fate}); err != nil {
			t.Fatal(err)
		}
	}
	a, _, _ := c.Browse(ctx, "a", messaging.Oldest, 10)
	b, _, _ := c.Browse(ctx, "b", messaging.Oldest, 10)
	if wants(t, a, 0, 2); len(b) != 1 || string(b[0].Value) != "dead" {
		t.Fatalf("%d dead letters", len(b))
	}
}

func TestT10ARecordAboveTheServersLimitIsRefusedForGood(t *testing.T) {
	c := connectTo(t, startServer(t), "", "")
	name := topicName()
	stream(t, c, natsjs.StreamConfig{Name: "SMALL", Subjects: []string{name}, MaxMsgSize: 1000})
	s, err := c.Sink(ctx, messaging.SinkConfig{Topic: name})
	if err != nil {
		t.Fatal(err)
	}
	wide := messaging.Outgoing{Record: messaging.Record{Value: make([]byte, 990), Key: make([]byte, 300)}} // the value alone would fit
	err = s.Write(ctx, []messaging.Outgoing{numbered(0, 1)[0], wide, numbered(1, 1)[0], {Record: messaging.Record{Value: make([]byte, 2000)}}})
	var refused *messaging.WriteError
	if !errors.As(err, &refused) || len(refused.Failed) != 2 || refused.Failed[0].Index != 1 || refused.Failed[1].Index != 3 ||
		!refused.Failed[0].Permanent || !refused.Failed[1].Permanent {
		t.Fatalf("got %v", err)
	}
	wants(t, read(t, readerOf(t, c, name, ""), 2), 0, 2)
}

func TestAWriteToAServerThatIsAwayFailsInTime(t *testing.T) {
	server := startServer(t)
	c := connectTo(t, server, "", "timeout=2s")
	s, err := c.Sink(ctx, messaging.SinkConfig{Topic: topicName()})
	if err != nil {
		t.Fatal(err)
	}
	server.kill()
	began := time.Now()
	if err := s.Write(ctx, numbered(0, 10)); err == nil || time.Since(began) > 20*time.Second {
		t.Fatalf("%v after %s", err, time.Since(began))
	}
	server.start()
	writeAll(t, s, numbered(0, 10))
}

func TestTheServerIsToldWhoWeAre(t *testing.T) {
	server := startServer(t, "--user", "u", "--pass", "p")
	dial := func(url, settings string) error {
		c, err := messaging.Open(ctx, messaging.Options{Name: "events", URL: url + "?" + settings})
		if err == nil {
			c.Close(ctx)
		}
		return err
	}
	if err := dial(server.url(), "user=u&password=p"); err != nil {
		t.Fatal(err)
	}
	refuses(t, dial(server.url(), "user=u&password=wrong"), "connection events", "does not let us in")
	refuses(t, dial(server.url(), ""), "does not let us in")
	if err := dial(server.url(), "user=u&password=secret-word"); err == nil || strings.Contains(err.Error(), "secret-word") {
		t.Fatalf("got %v", err)
	}
	refuses(t, dial(server.url(), "nkey=/nowhere"), "nkey: open /nowhere")
	refuses(t, dial(server.url(), "token=a&user=u&password=p"), "one of")
	refuses(t, dial(server.url(), "user=u"), "belong together")
	refuses(t, dial("nats://127.0.0.1:1", ""), "nobody answers")
	refuses(t, dial(server.url(), "partitions=3&shared=true"), "partitions")
	refuses(t, dial(server.url(), "partition=3"), "Known: ", "partitions")
	if err := dial(startServer(t, "--auth", "word").url(), "token=word"); err != nil {
		t.Fatal(err)
	}
}

func TestTopicsThatCannotBeAreExplained(t *testing.T) {
	c := connectTo(t, startServer(t), "", "create=false")
	for name, want := range map[string]string{"": "words", "a..b": "words", "a.*": "wildcards", "a b": "blanks", "$JS.x": "server's", "missing": "create=false"} {
		_, err := c.Sink(ctx, messaging.SinkConfig{Topic: name})
		refuses(t, err, want)
	}
	if _, err := c.Sink(ctx, messaging.SinkConfig{Topic: "missing"}); !errors.Is(err, messaging.ErrNoTopic) {
		t.Fatalf("got %v", err)
	}
}
