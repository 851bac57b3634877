package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// A worker reads and settles a little later, as the bridge does.
type worker struct {
	source  messaging.Source
	stop    context.CancelFunc
	done    sync.WaitGroup
	revoked chan []int32
}

func startWorker(t *testing.T, c *connection, topic string, seen func(messaging.Record)) *worker {
	w := &worker{revoked: make(chan []int32, 100)}
	w.source = sourceOf(t, c, messaging.SourceConfig{Topic: topic, Group: group, OnRevoke: func(p []int32) { w.revoked <- p }})
	ctx, stop := context.WithCancel(context.Background())
	w.stop = stop
	batches := make(chan []messaging.Record, 100)
	w.done.Go(func() {
		defer close(batches)
		for {
			records, err := w.source.Read(ctx, messaging.Limit{Events: 10, Bytes: 1 << 20})
			if err != nil {
				if !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				return
			}
			batches <- records
		}
	})
	w.done.Go(func() {
		for records := range batches {
			time.Sleep(3 * time.Millisecond) // the time of scoring
			for _, r := range records {
				seen(r)
			}
			if err := w.source.Commit(context.Background(), positionsOf(records)); err != nil {
				t.Error(err)
			}
		}
	})
	return w
}

// end is a planned stop: nothing more is read, what was read is settled, the group is left.
func (w *worker) end(t *testing.T) {
	w.stop()
	w.done.Wait()
	must(t, w.source.Close(context.Background()))
}

func TestT14ProcessesComeAndGoWithoutLossOrRepetition(t *testing.T) {
	const records = 3000
	c := connectTo(t, settingsOf{"partitions": "4"})
	topic := topicOf(t, c)
	publish(t, c, topic, numbered(0, records)...)
	var mu sync.Mutex
	times, count := map[string]int{}, 0
	seen := func(r messaging.Record) {
		mu.Lock()
		defer mu.Unlock()
		times[string(r.Value)]++
		count++
	}
	reached := func(n int) {
		t.Helper()
		for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
			mu.Lock()
			now := count
			mu.Unlock()
			if now >= n {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d of %d records after %s", now, n, patience)
			}
		}
	}
	first := startWorker(t, connectTo(t, nil), topic, seen)
	reached(300)
	second := startWorker(t, connectTo(t, nil), topic, seen)
	select {
	case taken := <-first.revoked:
		if len(taken) == 0 || len(taken) > 3 {
			t.Errorf("partitions %v of 4 were taken for the second", taken)
		}
	case <-time.After(patience):
		t.Fatal("the first process kept everything")
	}
	reached(1500)
	first.end(t)
	reached(records)
	second.end(t)
	for n := range records {
		if times[fmt.Sprint(n)] != 1 {
			t.Fatalf("record %d was read %d times", n, times[fmt.Sprint(n)])
		}
	}
}

// throwOut has the group give all its members up, as it does with those that are silent for too long.
func throwOut(t *testing.T, c *connection) {
	t.Helper()
	groups, err := c.admin.DescribeGroups(within(t), group)
	must(t, err)
	for _, m := range groups[group].Members {
		leave := kmsg.NewPtrLeaveGroupRequest()
		leave.Group = group
		leave.Members = []kmsg.LeaveGroupRequestMember{{MemberID: m.MemberID}}
		_, err := leave.RequestWith(within(t), c.client)
		must(t, err)
	}
}

func TestT6WhatAZombieCommitsIsRefused(t *testing.T) {
	c := connectTo(t, nil)
	topic := topicOf(t, c)
	publish(t, c, topic, numbered(0, 10)...)
	s := sourceOf(t, c, messaging.SourceConfig{Topic: topic, Group: group})
	records := read(t, s, 10)
	must(t, s.Commit(within(t), positionsOf(records[:3])))
	throwOut(t, c)
	if err := s.Commit(within(t), positionsOf(records[:8])); err == nil {
		t.Error("a commit of a member that the group had given up was taken")
	}
	if have := position(t, c, topic)[0]; have != 3 {
		t.Errorf("the group is at %d, want 3", have)
	}
	must(t, s.Commit(within(t), positionsOf(records[:9]))) // not even if the client has joined again meanwhile
	if have := position(t, c, topic)[0]; have != 3 || counted(c.counts.stale) != 1 {
		t.Errorf("a position of an assignment that is over was taken: %d, counted %v", have, counted(c.counts.stale))
	}
	if err := failing(t, s); !errors.Is(err, errGivenUp) {
		t.Errorf("the source went on with %v", err)
	}
	must(t, s.Close(within(t)))
	if again := read(t, sourceOf(t, c, messaging.SourceConfig{Topic: topic, Group: group}), 7); again[0].Offset != 3 {
		t.Errorf("opened anew it began at %d", again[0].Offset)
	}
}

// A client whose heartbeat finds a rebalance, and then a group that has forgotten it, joins again under a new id with what it had.
func TestAMemberThatComesBackUnderAnotherIdKeepsNothing(t *testing.T) {
	c := connectTo(t, nil)
	topic := topicOf(t, c)
	publish(t, c, topic, numbered(0, 10)...)
	revoked := make(chan []int32, 1)
	s := sourceOf(t, c, messaging.SourceConfig{Topic: topic, Group: group, OnRevoke: func(p []int32) { revoked <- p }}).(*source)
	records := read(t, s, 10)
	throwOut(t, c)
	s.client.ForceRebalance()
	for member, _ := s.client.GroupMetadata(); len(s.held.others(member)) == 0 && len(s.held.all()) > 0; member, _ = s.client.GroupMetadata() {
		time.Sleep(time.Millisecond)
	}
	if err := s.Commit(within(t), positionsOf(records)); err == nil && counted(c.counts.stale) == 0 {
		t.Error("a commit under a new id was taken")
	}
	if have := position(t, c, topic); len(have) != 0 {
		t.Errorf("the group is at %v", have)
	}
	if taken := <-revoked; !slices.Equal(taken, []int32{0}) {
		t.Errorf("told of %v", taken)
	}
	failing(t, s)
}

func TestT35ATopicMadeAgainIsReadFromItsStart(t *testing.T) {
	c := connectTo(t, nil)
	topic := topicOf(t, c)
	publish(t, c, topic, numbered(0, 5)...)
	before, err := c.Incarnation(within(t), topic)
	must(t, err)
	s := sourceOf(t, c, messaging.SourceConfig{Topic: topic, Group: group})
	must(t, s.Commit(within(t), positionsOf(read(t, s, 5))))
	remake(t, c, topic)
	if err := failing(t, s); err == nil {
		t.Fatal("the source did not notice")
	}
	must(t, s.Close(within(t)))
	publish(t, c, topic, numbered(100, 9)...)
	s = sourceOf(t, c, messaging.SourceConfig{Topic: topic, Group: group})
	if got := read(t, s, 9); string(got[0].Value) != "100" {
		t.Errorf("reading began at %s", got[0].Value)
	}
	after, err := c.Incarnation(within(t), topic)
	must(t, err)
	if before == after || counted(c.counts.remade) == 0 && len(position(t, c, topic)) != 0 {
		t.Errorf("incarnation %q became %q, counted %v", before, after, counted(c.counts.remade))
	}
}

func remake(t *testing.T, c *connection, topic string) {
	t.Helper()
	_, err := c.admin.DeleteTopic(within(t), topic)
	must(t, err)
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if _, err := c.admin.CreateTopic(within(t), 1, 1, nil, topic); err == nil {
			return
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func TestT35WhatRetentionTookBeforeItWasReadIsTold(t *testing.T) {
	c := connectTo(t, nil)
	topic := topicOf(t, c)
	publish(t, c, topic, numbered(0, 10)...)
	s := sourceOf(t, c, messaging.SourceConfig{Topic: topic, Group: group})
	must(t, s.Commit(within(t), positionsOf(read(t, s, 10)[:4])))
	must(t, s.Close(within(t)))
	var upTo kadm.Offsets
	upTo.AddOffset(topic, 0, 7, -1)
	_, err := c.admin.DeleteRecords(within(t), upTo)
	must(t, err)
	var gap *messaging.GapError
	err = failing(t, sourceOf(t, c, messaging.SourceConfig{Topic: topic, Group: group}))
	if !errors.As(err, &gap) || gap.Want != 4 || gap.Have != 7 {
		t.Fatalf("got %v, want a gap from 4 to 7", err)
	}
	must(t, c.Close(within(t)))
	c = connectTo(t, settingsOf{"gap": "continue"})
	if got := read(t, sourceOf(t, c, messaging.SourceConfig{Topic: topic, Group: group}), 3); got[0].Offset != 7 {
		t.Errorf("went on at %d", got[0].Offset)
	}
	if n := counted(c.counts.gaps); n != 3 {
		t.Errorf("counted %v records", n)
	}
}

func TestT35NewPartitionsAreRead(t *testing.T) {
	c := connectTo(t, nil)
	topic := topicOf(t, c)
	s := sourceOf(t, c, messaging.SourceConfig{Topic: topic, Group: group})
	publish(t, c, topic, numbered(0, 1)...)
	read(t, s, 1)
	_, err := c.admin.UpdatePartitions(within(t), 3, topic)
	must(t, err)
	publish(t, connectTo(t, nil), topic, numbered(1, 50)...)
	partitions := map[int32]bool{}
	for _, r := range read(t, s, 50) {
		partitions[r.Partition] = true
	}
	if len(partitions) != 3 {
		t.Errorf("50 keys came from partitions %v", partitions)
	}
}

func TestASourceBeginsWhereItsSinkSays(t *testing.T) {
	c := connectTo(t, nil)
	topic := topicOf(t, c)
	publish(t, c, topic, numbered(0, 10)...)
	for _, name := range []string{group, ""} {
		s := sourceOf(t, c, messaging.SourceConfig{Topic: topic, Group: name, Start: func(_ context.Context, p []int32) (map[int32]int64, error) {
			if !slices.Equal(p, []int32{0}) {
				t.Errorf("asked for %v", p)
			}
			return map[int32]int64{0: 6}, nil
		}})
		if got := read(t, s, 3); got[0].Offset != 7 {
			t.Errorf("group %q: began at %d, want 7", name, got[0].Offset)
		}
		must(t, s.Close(within(t)))
	}
}
