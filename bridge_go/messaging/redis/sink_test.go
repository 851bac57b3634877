package redis

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/providers"
)

func (c *connection) write(t *testing.T, topic string, records ...messaging.Outgoing) error {
	t.Helper()
	s, err := c.Sink(t.Context(), messaging.SinkConfig{Topic: topic})
	if err != nil {
		t.Fatal(err)
	}
	return s.Write(t.Context(), records)
}

func outgoing(n int) []messaging.Outgoing {
	all := make([]messaging.Outgoing, n)
	for i := range all {
		all[i].Value, all[i].ID = fmt.Append(nil, i), fmt.Sprint("id-", i)
	}
	return all
}

func TestStreamsAreTrimmedAsTheSettingsSay(t *testing.T) {
	url, topic := providers.URL(t, "redis"), newTopic(t)
	if err := open(t, url, "", map[string]string{"max_length": "500"}).write(t, topic, outgoing(3000)...); err != nil {
		t.Fatal(err)
	}
	c := server(t)
	if got, err := c.stream(t.Context(), topic); err != nil || got.length < 500 || got.length > 700 {
		t.Fatalf("%d entries are left, %v", got.length, err)
	}
	time.Sleep(5 * time.Millisecond)
	if err := open(t, url, "", map[string]string{"max_age": "1ms"}).write(t, topic, outgoing(3)...); err != nil {
		t.Fatal(err)
	}
	if got, err := c.stream(t.Context(), topic); err != nil || got.length > 300 {
		t.Fatalf("%d entries are left, %v", got.length, err)
	}
}

func TestWritesThatTooFewReplicasHaveAreErrors(t *testing.T) {
	c := open(t, providers.URL(t, "redis"), "", map[string]string{"wait_replicas": "1", "timeout": "1500ms"})
	err := c.write(t, newTopic(t), outgoing(2)...)
	var some *messaging.WriteError
	if err == nil || errors.As(err, &some) || !strings.Contains(err.Error(), "wait_replicas") {
		t.Fatalf("got %v", err)
	}
}

func TestAWriteThatIsRefusedByTheServerMayBeTriedAgain(t *testing.T) {
	for _, settings := range []map[string]string{nil, {"dedup": "1m"}} {
		c, topic := open(t, providers.URL(t, "redis"), "", settings), newTopic(t)
		server(t).run(t, "SET", topic, "no stream")
		err := c.write(t, topic, outgoing(3)...)
		var some *messaging.WriteError
		if !errors.As(err, &some) || len(some.Failed) != 3 || some.Failed[0].Permanent || !strings.Contains(err.Error(), "WRONGTYPE") {
			t.Fatalf("got %v", err)
		}
		server(t).run(t, "DEL", topic)
		if err := c.write(t, topic, outgoing(3)...); err != nil {
			t.Fatal(err)
		}
		if got, err := c.stream(t.Context(), topic); err != nil || got.length != 3 {
			t.Fatalf("%d entries, %v: an id that was refused must not be remembered", got.length, err)
		}
	}
}

func TestIDsAreForgottenAfterTheirTime(t *testing.T) {
	c, topic := open(t, providers.URL(t, "redis"), "", map[string]string{"dedup": "2s"}), newTopic(t)
	for range 2 {
		if err := c.write(t, topic, outgoing(3)...); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(2100 * time.Millisecond)
	if err := c.write(t, topic, outgoing(3)...); err != nil {
		t.Fatal(err)
	}
	if got, err := c.stream(t.Context(), topic); err != nil || got.length != 6 {
		t.Fatalf("%d entries, want 6, %v", got.length, err)
	}
}

func TestAStreamWhoseClockWentBackIsMovedOnBeforeItsNumbersRunOut(t *testing.T) {
	c, topic := server(t), newTopic(t)
	future := time.Now().Add(time.Hour).UnixMilli() // the last id was given before the clock went back an hour
	c.run(t, "XADD", topic, fmt.Sprintf("%d-%d", future, maxSeq/2), "a", "b")
	if err := c.write(t, topic, outgoing(5)...); err != nil {
		t.Fatal(err)
	}
	if err := c.write(t, topic, outgoing(5)...); err != nil {
		t.Fatal(err)
	}
	got, _, err := c.Browse(t.Context(), topic, messaging.Oldest, 20)
	if err != nil || len(got) != 11 {
		t.Fatal(len(got), err)
	}
	if last := idOf(got[10].Offset); last.ms != uint64(future)+1 || last.seq > 10 {
		t.Fatalf("the last id is %s", last)
	}
}

func TestSettingsThatCannotBeAreNamed(t *testing.T) {
	for setting, value := range map[string]string{
		"takeover": "1ms", "gap": "maybe", "max_value": "1GiB", "dedup": "-1s", "wait_replicas": "-1", "nonsense": "1", "timeout": "soon",
		"tls_ca": "ca.pem",
	} {
		_, err := messaging.Open(t.Context(), messaging.Options{Name: "events", URL: "redis://127.0.0.1:1", Settings: map[string]string{setting: value}})
		if err == nil || !strings.Contains(err.Error(), setting) || !strings.Contains(err.Error(), "connection events") {
			t.Errorf("%s=%s: %v", setting, value, err)
		}
	}
	_, err := messaging.Open(t.Context(), messaging.Options{Name: "events", URL: "redis://127.0.0.1:1?max_age=1h&max_length=3"})
	if err == nil || !strings.Contains(err.Error(), "one of them") {
		t.Errorf("got %v", err)
	}
}

func TestErrorsOfConnectingShowNoSecret(t *testing.T) {
	for _, url := range []string{"redis://user:hunter2@127.0.0.1:1", "redis://user:hunter2@127.0.0.1:1/x", "redis://user:hunter2@%zz", "rediss://user:hunter2@127.0.0.1:1"} {
		_, err := messaging.Open(t.Context(), messaging.Options{Name: "events", URL: url})
		if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "connection events") {
			t.Errorf("%v", err)
		}
	}
	wrong := strings.Replace(providers.URL(t, "redis"), "redis://", "redis://user:hunter2@", 1)
	if _, err := messaging.Open(t.Context(), messaging.Options{Name: "events", URL: wrong}); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%v", err)
	}
}
