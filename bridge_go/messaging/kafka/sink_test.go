package kafka

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

func to(t testing.TB, c *kfake.Cluster, settings map[string]string) *connection {
	t.Helper()
	opened, err := messaging.Open(context.Background(), messaging.Options{Name: "events", URL: "kafka://" + c.ListenAddrs()[0], Settings: settings})
	must(t, err)
	t.Cleanup(func() { opened.Close(context.Background()) })
	return opened.(*connection)
}

func TestAWriteToABrokerThatDoesNotAnswerEnds(t *testing.T) {
	stand := cluster(t)
	c := to(t, stand, map[string]string{"write_timeout": "2s"})
	s, err := c.Sink(within(t), messaging.SinkConfig{Topic: "here"})
	must(t, err)
	must(t, s.Write(within(t), numbered(0, 1)))
	stand.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		stand.KeepControl()
		return nil, errors.New("the connection is cut"), true
	})
	began := time.Now()
	err = s.Write(within(t), numbered(1, 3))
	var failed *messaging.WriteError
	if !errors.As(err, &failed) || len(failed.Failed) != 3 || failed.Failed[0].Permanent {
		t.Errorf("got %v, want three failures that may be tried again", err)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("that took %s", took)
	}
}

func TestAWriteGoesOnWhenTheBrokerDoes(t *testing.T) {
	stand := cluster(t)
	c := to(t, stand, map[string]string{"write_timeout": "1s"})
	s, err := c.Sink(within(t), messaging.SinkConfig{Topic: "here"})
	must(t, err)
	cut := true
	stand.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		stand.KeepControl()
		return nil, errors.New("the connection is cut"), cut
	})
	if err := s.Write(within(t), numbered(0, 2)); err == nil {
		t.Fatal("was written nowhere")
	}
	stand.Control(func(kmsg.Request) (kmsg.Response, error, bool) { cut = false; return nil, nil, false })
	for deadline := time.Now().Add(patience); ; {
		if err = s.Write(within(t), numbered(0, 2)); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	if got := stored(t, c, "here"); len(got) < 2 || got[len(got)-2] != "0" || got[len(got)-1] != "1" {
		t.Errorf("stored %v", got)
	}
}

func TestT10ALimitThatWasLoweredIsFoundRecordByRecord(t *testing.T) {
	c := connectTo(t, nil)
	topic := topicOf(t, c)
	s, err := c.Sink(within(t), messaging.SinkConfig{Topic: topic})
	must(t, err)
	shrink(t, c, topic, "1000")
	large := messaging.Outgoing{Record: messaging.Record{Value: []byte(strings.Repeat("x", 5000))}}
	err = s.Write(within(t), []messaging.Outgoing{{Record: messaging.Record{Value: []byte("0")}}, large, {Record: messaging.Record{Value: []byte("1")}}})
	var refused *messaging.WriteError
	if !errors.As(err, &refused) || len(refused.Failed) != 1 || refused.Failed[0].Index != 1 || !refused.Failed[0].Permanent {
		t.Fatalf("got %v, want the second record refused for good", err)
	}
	if got := without(stored(t, c, topic), probe); fmt.Sprint(got) != "[0 1]" {
		t.Errorf("stored %v", got)
	}
}

func TestWhatIsBehindAFailureInItsPartitionIsWrittenAgainToo(t *testing.T) {
	records := numbered(0, 4)
	b := &batch{}
	b.fill("a", records)
	for i, partition := range []int32{0, 1, 0, 1} {
		b.records[i].Partition = partition
	}
	b.done.Add(1)
	b.settled(&b.records[0], kerr.NotLeaderForPartition)
	c := connection{dials: &dials{}}
	var failed *messaging.WriteError
	if err := c.outcome(b, records, 100); !errors.As(err, &failed) || len(failed.Failed) != 2 || failed.Failed[1].Index != 2 {
		t.Errorf("got %v, want the first and the third", err)
	}
}

func TestKeysGoWhereJavaSendsThem(t *testing.T) {
	stand := cluster(t, kfake.SeedTopics(10, "ten"))
	c := to(t, stand, nil)
	var records []messaging.Outgoing
	// murmur2 of Java's client (the values of its own test, UtilsTest), with its sign bit cleared, modulo ten
	want := map[string]int32{
		"21": 0, "foobar": 6, "a-little-bit-long-string": 2, "a-little-bit-longer-string": 9, "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": 7, "abc": 7,
	}
	for key := range want {
		records = append(records, messaging.Outgoing{Record: messaging.Record{Key: []byte(key), Value: []byte("1")}})
	}
	publish(t, c, "ten", records...)
	for _, r := range read(t, sourceOf(t, c, messaging.SourceConfig{Topic: "ten"}), len(want)) {
		if r.Partition != want[string(r.Key)] {
			t.Errorf("%s is in %d, want %d", r.Key, r.Partition, want[string(r.Key)])
		}
	}
}

func TestAClusterThatIsGoneHoldsNobodyUp(t *testing.T) {
	stand := cluster(t)
	c := to(t, stand, map[string]string{"write_timeout": "2s"})
	publish(t, c, "here", numbered(0, 3)...)
	s := sourceOf(t, c, messaging.SourceConfig{Topic: "here", Group: group})
	records := read(t, s, 3)
	sink, err := c.Sink(within(t), messaging.SinkConfig{Topic: "here"})
	must(t, err)
	stand.Close()
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	if s.Commit(ctx, positionsOf(records)) == nil || sink.Write(ctx, numbered(0, 1)) == nil {
		t.Error("something was stored nowhere")
	}
	s.Close(context.Background())
	c.Close(context.Background())
	if took := time.Since(began); took > 40*time.Second {
		t.Errorf("that took %s", took)
	}
}
