package redis

import (
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/providers"
)

// A link stands between a connection and the server. It may stand still, as with a server that was stopped (SIGSTOP) or a
// network that swallows packets: connections are there and nothing comes.
type link struct {
	listener net.Listener
	to       string
	mu       sync.Mutex
	still    chan struct{} // closed when it moves
	conns    []net.Conn
}

func newLink(t *testing.T) *link {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	moving := make(chan struct{})
	close(moving)
	l := &link{listener: listener, to: strings.TrimPrefix(providers.URL(t, "redis"), "redis://"), still: moving}
	go l.serve()
	t.Cleanup(func() { listener.Close(); l.move(); l.cut() })
	return l
}

func (l *link) url() string { return "redis://" + l.listener.Addr().String() }

func (l *link) serve() {
	for {
		near, err := l.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", l.to)
		if err != nil {
			near.Close()
			continue
		}
		l.mu.Lock()
		l.conns = append(l.conns, near, far)
		l.mu.Unlock()
		go l.copy(near, far)
		go l.copy(far, near)
	}
}

func (l *link) copy(to io.Writer, from io.Reader) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		l.mu.Lock()
		still := l.still
		l.mu.Unlock()
		<-still
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func (l *link) stop() { l.mu.Lock(); defer l.mu.Unlock(); l.still = make(chan struct{}) }

func (l *link) move() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.still:
	default:
		close(l.still)
	}
}

func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		c.Close()
	}
	l.conns = nil
}

const deadline = time.Second

// within wants that a call fails, and soon.
func within(t *testing.T, what string, call func() error) {
	t.Helper()
	begun := time.Now()
	err := call()
	if took := time.Since(begun); err == nil || took > 5*deadline {
		t.Errorf("%s: %v after %s, want an error within about %s", what, err, took, deadline)
	}
}

func TestAStoppedServerHoldsNoCall(t *testing.T) {
	l, topic := newLink(t), newTopic(t)
	c := open(t, l.url(), "", map[string]string{"timeout": deadline.String()})
	sink, err := c.Sink(t.Context(), messaging.SinkConfig{Topic: topic})
	if err != nil {
		t.Fatal(err)
	}
	one := []messaging.Outgoing{{Record: messaging.Record{Value: []byte("0")}}}
	if err := sink.Write(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	src, err := c.Source(t.Context(), messaging.SourceConfig{Topic: topic, Group: group})
	if err != nil {
		t.Fatal(err)
	}
	got, err := src.Read(t.Context(), messaging.Limit{Events: 1, Bytes: 1})
	if err != nil {
		t.Fatal(err)
	}
	l.stop()
	ctx := context.Background()
	within(t, "write", func() error { return sink.Write(ctx, one) })
	within(t, "read", func() error { _, err := src.Read(ctx, messaging.Limit{Events: 1, Bytes: 1}); return err })
	within(t, "commit", func() error { return src.Commit(ctx, []messaging.Position{{Offset: got[0].Offset}}) })
	within(t, "browse", func() error { _, _, err := c.Browse(ctx, topic, messaging.Oldest, 1); return err })
	within(t, "delete", func() error { return c.Delete(ctx, topic, []messaging.Position{{Offset: 1}}) })
	within(t, "incarnation", func() error { _, err := c.Incarnation(ctx, topic); return err })
	within(t, "seek", func() error {
		_, err := c.Seek(ctx, topic, group, messaging.Target{Kind: messaging.TargetOldest}, true)
		return err
	})
	within(t, "source", func() error {
		_, err := c.Source(ctx, messaging.SourceConfig{Topic: topic, Group: "other"})
		return err
	})
	within(t, "open", func() error {
		_, err := messaging.Open(ctx, messaging.Options{Name: "c", URL: l.url(), Settings: map[string]string{"timeout": deadline.String()}})
		return err
	})
	if lag := src.Lag(ctx); lag != -1 {
		t.Errorf("lag %d of a server that does not answer", lag)
	}
	l.move()
	if !eventually(func() bool { return sink.Write(ctx, one) == nil }) {
		t.Fatal("it does not write again when the server goes on")
	}
	if !eventually(func() bool { return src.Commit(ctx, []messaging.Position{{Offset: got[0].Offset}}) == nil }) {
		t.Fatal("it does not commit again")
	}
	l.stop()
	within(t, "close", func() error { return src.Close(ctx) })
}

func TestACancelledReadEndsAtOnceThoughTheServerDoesNotAnswer(t *testing.T) {
	l, topic := newLink(t), newTopic(t)
	c := open(t, l.url(), "", nil)
	src, err := c.Source(t.Context(), messaging.SourceConfig{Topic: topic, Group: group})
	if err != nil {
		t.Fatal(err)
	}
	l.stop()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	begun := time.Now()
	if _, err := src.Read(ctx, messaging.Limit{Events: 1, Bytes: 1}); err == nil || time.Since(begun) > 4*time.Second { // its timeout is 5 s
		t.Fatalf("%v after %s", err, time.Since(begun))
	}
	l.move()
}

// TestEntriesGivenOutByAnAnswerThatWasLostComeAll cuts the link again and again while a reader reads: entries that the
// server has given out and of which the reader never heard are pending with it, and have to come.
func TestEntriesGivenOutByAnAnswerThatWasLostComeAll(t *testing.T) {
	const n = 4000
	l, topic := newLink(t), newTopic(t)
	write(t, topic, 0, n)
	c := open(t, l.url(), "", map[string]string{"timeout": "2s", "takeover": "10m"})
	src, err := c.Source(t.Context(), messaging.SourceConfig{Topic: topic, Group: group})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var cutting sync.WaitGroup
	var inVain atomic.Int32 // reads since one that brought something
	cutting.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(2 * time.Millisecond << min(inVain.Load(), 10)): // or a slow machine would never get to the answer
				l.cut()
			}
		}
	})
	defer cutting.Wait()
	defer close(done)
	var all []messaging.Record
	failed := 0
	for end := time.Now().Add(5 * time.Minute); len(all) < n; {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		got, err := src.Read(ctx, messaging.Limit{Events: 10, Bytes: 1 << 20})
		cancel()
		if err != nil {
			failed++
		}
		all = append(all, got...)
		if inVain.Add(1); len(got) > 0 {
			inVain.Store(0)
			src.Commit(t.Context(), []messaging.Position{{Offset: got[0].Offset, Epoch: got[0].Epoch}})
		}
		if time.Now().After(end) {
			t.Fatalf("%d of %d after %d failures, last %v", len(all), n, failed, err)
		}
	}
	wantValues(t, all, 0, n)
	t.Logf("%d reads failed", failed)
}
