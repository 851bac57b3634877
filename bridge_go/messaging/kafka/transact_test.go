package kafka

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// TestMain lets the test binary play the process that is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("KAFKA_TEST_DIR"); dir != "" {
		if err := copyInTransactions(dir, os.Getenv("KAFKA_TEST_IN"), os.Getenv("KAFKA_TEST_OUT"), os.Getenv("KAFKA_TEST_STOP") != ""); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// copyInTransactions copies a topic for ever, a few records at a time. When it is to stop, it says so after the third
// transaction's records and offsets have reached the broker, and stays like this.
func copyInTransactions(dir, in, out string, stops bool) error {
	settings := map[string]string{"session_timeout": "6s", "fetch_wait": "50ms", "write_timeout": "40s", "transaction_timeout": "60s"}
	opened, err := messaging.Open(context.Background(), messaging.Options{Name: "events", URL: os.Getenv("KAFKA_TEST_URL"), Settings: settings, StateDir: dir})
	if err != nil {
		return err
	}
	s, err := opened.Source(context.Background(), messaging.SourceConfig{Topic: in, Group: group, Transactional: true})
	if err != nil {
		return err
	}
	t := s.(*transactor)
	for n := 0; ; n++ {
		records, err := t.Read(context.Background(), messaging.Limit{Events: 10, Bytes: 1 << 20})
		if err != nil {
			return err
		}
		outputs := make([]messaging.Outgoing, len(records))
		for i, r := range records {
			outputs[i].Record = messaging.Record{Key: r.Key, Value: r.Value}
		}
		writes := []messaging.Write{{Topic: out, Records: outputs}}
		if stops && n == 3 {
			if err := t.reachTheMiddle(writes, positionsOf(records)); err != nil {
				return err
			}
			fmt.Println("in the middle")
			select {}
		}
		if err := t.Transact(context.Background(), writes, positionsOf(records)); err != nil {
			return err
		}
	}
}

// reachTheMiddle is transact without its end.
func (t *transactor) reachTheMiddle(writes []messaging.Write, upTo []messaging.Position) error {
	ctx := context.Background()
	if err := t.prepare(ctx, writes); err != nil {
		return err
	}
	if err := t.producer.BeginTransaction(); err != nil {
		return err
	}
	t.batch.fill(writes[0].Topic, writes[0].Records)
	t.batch.send(ctx, t.producer, nil)
	moves, _ := t.held.settlements(upTo)
	return errors.Join(t.refused(), t.addOffsets(ctx, moves))
}

// The transaction would be open for a minute. The process that follows has the id of the one before it, and ends it at once.
func TestT4AProcessKilledInATransactionLeavesEachOutputOnce(t *testing.T) {
	const records = 200
	c := connectTo(t, nil)
	in, out, dir := topicOf(t, c), topicOf(t, c), t.TempDir()
	publish(t, c, in, numbered(0, records)...)
	started := time.Now()
	first := play(t, dir, in, out, "KAFKA_TEST_STOP=1")
	if lines := bufio.NewScanner(first.out); !lines.Scan() || lines.Text() != "in the middle" {
		t.Fatalf("the process said %q", lines.Text())
	}
	must(t, first.Process.Kill())
	first.Wait()
	if got := stored(t, c, out); len(got) != 30 {
		t.Fatalf("a reader sees %d outputs, want those of three transactions", len(got))
	}
	play(t, dir, in, out)
	var got []string
	for deadline := time.Now().Add(patience); len(got) < records && time.Now().Before(deadline); {
		got = stored(t, c, out)
	}
	for i, value := range got {
		if value != fmt.Sprint(i) {
			t.Fatalf("output %d is %s: lost or doubled", i, value)
		}
	}
	if len(got) != records {
		t.Fatalf("%d outputs of %d", len(got), records)
	}
	t.Logf("all there after %s", time.Since(started).Round(time.Millisecond))
}

type played struct {
	*exec.Cmd
	out interface{ Read([]byte) (int, error) }
}

func play(t *testing.T, dir, in, out string, more ...string) played {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(append(os.Environ(), "KAFKA_TEST_DIR="+dir, "KAFKA_TEST_IN="+in, "KAFKA_TEST_OUT="+out, "KAFKA_TEST_URL="+brokers(t)), more...)
	c.Stderr = os.Stderr
	stdout, err := c.StdoutPipe()
	must(t, err)
	must(t, c.Start())
	t.Cleanup(func() { c.Process.Kill(); c.Wait() })
	return played{c, stdout}
}

func transactorOf(t *testing.T, c *connection, topic string) *transactor {
	t.Helper()
	return sourceOf(t, c, messaging.SourceConfig{Topic: topic, Group: group, Transactional: true}).(*transactor)
}

func TestT6ATransactionOfAZombieStoresNothing(t *testing.T) {
	c := connectTo(t, nil)
	in, out := topicOf(t, c), topicOf(t, c)
	publish(t, c, in, numbered(0, 4)...)
	s := transactorOf(t, c, in)
	records := read(t, s, 4)
	throwOut(t, c)
	err := s.Transact(within(t), []messaging.Write{{Topic: out, Records: numbered(0, 4)}}, positionsOf(records))
	var revoked *messaging.RevokedError
	if !errors.As(err, &revoked) {
		t.Errorf("got %v, want a RevokedError", err)
	}
	if got := stored(t, c, out); len(got) != 0 || len(position(t, c, in)) != 0 {
		t.Errorf("stored %v, position %v", got, position(t, c, in))
	}
	must(t, s.Close(within(t)))
	s = transactorOf(t, c, in)
	records = read(t, s, 4)
	must(t, s.Transact(within(t), []messaging.Write{{Topic: out, Records: numbered(0, 4)}}, positionsOf(records)))
	if got := stored(t, c, out); !slices.Equal(got, []string{"0", "1", "2", "3"}) {
		t.Errorf("stored %v", got)
	}
}

func TestT10ARecordThatTheBrokerRefusesForItsSizeEndsItsTransaction(t *testing.T) {
	c := connectTo(t, nil)
	in, out := topicOf(t, c), topicOf(t, c)
	publish(t, c, in, numbered(0, 2)...)
	s := transactorOf(t, c, in)
	records := read(t, s, 2)
	must(t, s.Transact(within(t), []messaging.Write{{Topic: out, Records: numbered(0, 1)}}, positionsOf(records[:1])))
	shrink(t, c, out, "1000")
	large := messaging.Outgoing{Record: messaging.Record{Value: make([]byte, 5000)}}
	err := s.Transact(within(t), []messaging.Write{{Topic: out, Records: []messaging.Outgoing{large}}}, positionsOf(records))
	var refused *messaging.WriteError
	if !errors.As(err, &refused) || !refused.Failed[0].Permanent {
		t.Fatalf("got %v, want a permanent refusal", err)
	}
	must(t, s.Transact(within(t), []messaging.Write{{Topic: out, Records: numbered(1, 1)}}, positionsOf(records)))
	if got := without(stored(t, c, out), probe); !slices.Equal(got, []string{"0", "1"}) {
		t.Errorf("stored %q", got)
	}
}

func TestT3ATransactionWhosePartitionsWereAssignedAnewMeanwhileStoresNothing(t *testing.T) {
	c := connectTo(t, nil)
	in, out := topicOf(t, c), topicOf(t, c)
	publish(t, c, in, numbered(0, 2)...)
	s := transactorOf(t, c, in)
	records := read(t, s, 2)
	writes := []messaging.Write{{Topic: out, Records: numbered(0, 2)}}
	moves, _ := s.held.settlements(positionsOf(records))

	// A broker that comes back lets the same member join again, with the offsets from before this transaction.
	member, _ := s.client.GroupMetadata()
	partitions := s.held.all()
	s.over(partitions)
	for _, n := range partitions {
		s.held.add(n, member, note{}, 0, -1, 2)
	}

	err := s.transact(within(t), writes, moves)
	var revoked *messaging.RevokedError
	if !errors.As(err, &revoked) || len(revoked.Partitions) != len(moves) {
		t.Fatalf("got %v, want all partitions to be revoked", err)
	}
	if got := stored(t, c, out); len(got) != 0 {
		t.Errorf("stored %q, which is going to be stored again", got)
	}
	for i := range records {
		records[i].Epoch = s.held.parts[records[i].Partition].epoch
	}
	must(t, s.Transact(within(t), writes, positionsOf(records)))
	if got := stored(t, c, out); !slices.Equal(got, []string{"0", "1"}) {
		t.Errorf("stored %q", got)
	}
}

func TestTheSecondOfTwoWithOneIdentityFencesTheFirst(t *testing.T) {
	c := connectTo(t, settingsOf{"instance_id": "runner-0"})
	in, out := topicOf(t, c), topicOf(t, c)
	publish(t, c, in, numbered(0, 2)...)
	first := transactorOf(t, c, in)
	records := read(t, first, 2)
	transactorOf(t, connectTo(t, settingsOf{"instance_id": "runner-0"}), in)
	if err := first.Transact(within(t), []messaging.Write{{Topic: out, Records: numbered(0, 2)}}, positionsOf(records)); !errors.Is(err, messaging.ErrFenced) {
		t.Errorf("got %v, want ErrFenced", err)
	}
	if got := stored(t, c, out); len(got) != 0 {
		t.Errorf("stored %v", got)
	}
}

func TestTwoProcessesOnOneStateFolderHaveTwoIdentities(t *testing.T) {
	o := messaging.Options{Name: "events", StateDir: t.TempDir()}
	first, err := identify(o, group, "in", "")
	must(t, err)
	second, err := identify(o, group, "in", "")
	must(t, err)
	if first.name == second.name {
		t.Fatal("both are the same")
	}
	first.release()
	again, err := identify(o, group, "in", "")
	must(t, err)
	defer again.release()
	if again.name != first.name {
		t.Errorf("came back as %s, was %s", again.name, first.name)
	}
}

// shrink lowers what a record of the topic may have, and waits until the broker refuses more: it describes the new limit a
// moment before it applies it. What the broker took until then is in the topic, see without.
func shrink(t *testing.T, c *connection, topic, to string) {
	t.Helper()
	_, err := c.admin.AlterTopicConfigs(within(t), []kadm.AlterConfig{{Name: "max.message.bytes", Value: &to}}, topic)
	must(t, err)
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		err := c.client.ProduceSync(within(t), &kgo.Record{Topic: topic, Value: []byte(probe)}).FirstErr()
		if errors.Is(err, kerr.MessageTooLarge) {
			return
		}
		must(t, err)
		if time.Now().After(deadline) {
			t.Fatal("the limit does not change")
		}
	}
}

// A probe is no smaller compressed than the limits that tests set.
var probe = func() string {
	b := make([]byte, 5000)
	rand.NewChaCha8([32]byte{}).Read(b)
	return string(b)
}()

func without(values []string, one string) []string {
	return slices.DeleteFunc(values, func(v string) bool { return v == one })
}
