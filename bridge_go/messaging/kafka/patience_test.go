package kafka

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/providers"
)

// opened is a connection to a stand-in.
func opened(t *testing.T, at string, log *slog.Logger, settings settingsOf) *connection {
	t.Helper()
	c, err := messaging.Open(context.Background(), messaging.Options{Name: "events", URL: "kafka://" + at, Settings: settings, Log: log})
	must(t, err)
	t.Cleanup(func() { c.Close(context.Background()) })
	return c.(*connection)
}

// failingFor has requests of a kind answered by an error for some time: longer than the client tries by itself.
func failingFor(c *kfake.Cluster, key kmsg.Key, answer func(kmsg.Request) kmsg.Response) {
	until := time.Now().Add(betweenLogs + 2*time.Second)
	c.ControlKey(int16(key), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if time.Now().After(until) {
			return nil, nil, false
		}
		return answer(r), nil, true
	})
}

// coordinatorless answers that there is no coordinator, as a broker does for seconds after its start.
func coordinatorless(code int16) func(kmsg.Request) kmsg.Response {
	return func(r kmsg.Request) kmsg.Response {
		answer := r.ResponseKind().(*kmsg.FindCoordinatorResponse)
		answer.ErrorCode = code
		for _, key := range r.(*kmsg.FindCoordinatorRequest).CoordinatorKeys {
			one := kmsg.NewFindCoordinatorResponseCoordinator()
			one.Key, one.ErrorCode, one.NodeID = key, code, -1
			answer.Coordinators = append(answer.Coordinators, one)
		}
		return answer
	}
}

func TestACoordinatorThatIsNotThereYetIsWaitedFor(t *testing.T) {
	for _, code := range []*kerr.Error{kerr.CoordinatorNotAvailable, kerr.CoordinatorLoadInProgress} {
		t.Run(code.Message, func(t *testing.T) {
			t.Parallel()
			fake := cluster(t)
			failingFor(fake, kmsg.FindCoordinator, coordinatorless(code.Code))
			impatient := opened(t, fake.ListenAddrs()[0], nil, settingsOf{"start_wait": "0s"})
			c := opened(t, fake.ListenAddrs()[0], nil, nil)
			if _, err := impatient.Generation(within(t), "here", group); !errors.Is(err, code) {
				t.Errorf("the error was not met: %v", err)
			}
			if n, err := c.Generation(within(t), "here", group); err != nil || n != 0 {
				t.Errorf("generation %d, %v", n, err)
			}
		})
	}
}

func TestASeekWaitsForItsCoordinator(t *testing.T) {
	t.Parallel()
	fake := cluster(t)
	failingFor(fake, kmsg.FindCoordinator, coordinatorless(kerr.CoordinatorNotAvailable.Code))
	c := opened(t, fake.ListenAddrs()[0], nil, nil)
	if _, err := c.Seek(within(t), "here", group, messaging.Target{Kind: messaging.TargetOldest}, false); err != nil {
		t.Fatal(err)
	}
}

func TestABrokerThatStartsLaterIsWaitedForAndToldOf(t *testing.T) {
	t.Parallel()
	port := providers.FreePort(t)
	at := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	var log lockedBuffer
	c := opened(t, at, slog.New(slog.NewTextHandler(&log, nil)), nil)
	type result struct {
		sink messaging.Sink
		err  error
	}
	done := make(chan result, 1)
	go func() {
		s, err := c.Sink(within(t), messaging.SinkConfig{Topic: "here"})
		done <- result{s, err}
	}()
	time.Sleep(betweenLogs + lastPause) // the outage, long enough to be told
	select {
	case r := <-done:
		t.Fatalf("it did not wait: %v", r.err)
	default:
	}
	cluster(t, kfake.Ports(port))
	r := <-done
	must(t, r.err)
	must(t, r.sink.Write(within(t), numbered(0, 1)))
	if said := log.String(); !strings.Contains(said, "waiting for the brokers") || !strings.Contains(said, at) {
		t.Errorf("the log does not tell of it: %s", said)
	}
}

func TestWaitingEndsAsTheSettingSays(t *testing.T) {
	c := opened(t, net.JoinHostPort("127.0.0.1", strconv.Itoa(providers.FreePort(t))), nil, settingsOf{"start_wait": "300ms"})
	began := time.Now()
	_, err := c.Source(within(t), messaging.SourceConfig{Topic: "here", Group: group})
	if passed := time.Since(began); err == nil || passed < 200*time.Millisecond || passed > patience/2 {
		t.Fatalf("after %s: %v", passed, err)
	}
}

func TestAMissingTopicIsNotWaitedFor(t *testing.T) {
	c := opened(t, cluster(t).ListenAddrs()[0], nil, settingsOf{"create": "false"})
	began := time.Now()
	if _, err := c.Sink(within(t), messaging.SinkConfig{Topic: "nowhere"}); err == nil || time.Since(began) > patience/2 {
		t.Fatalf("after %s: %v", time.Since(began), err)
	}
}

// A lockedBuffer is written by a logger while a test reads it.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
