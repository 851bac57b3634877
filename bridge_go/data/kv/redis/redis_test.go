package redis

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/data/kv"
	"ds-runner.dev/ds-runner/bridge_go/data/kv/kvtest"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/providers"
)

// A test's keys begin with its name and the time at which the run began: the server may hold those of others.
func TestRedis(t *testing.T) {
	began := time.Now().UnixNano()
	kvtest.Run(t, kvtest.Harness{Persistent: true, Open: func(t *testing.T, settings map[string]string) kv.Store {
		t.Helper()
		given := map[string]string{}
		for name, value := range settings {
			given[name] = value
		}
		given["prefix"] = fmt.Sprintf("%d:%s:%s", began, t.Name(), settings["prefix"])
		s, err := kv.Open(t.Context(), messaging.Options{Name: "cache", URL: providers.URL(t, "redis"), Settings: given})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}})
}

func TestAConnectionMayServeStreamsAsWell(t *testing.T) {
	s, err := kv.Open(t.Context(), messaging.Options{Name: "both", URL: providers.URL(t, "redis"),
		Settings: map[string]string{"takeover": "10s", "dedup": "1m", "prefix": "p:"}})
	if err != nil {
		t.Fatal(err)
	}
	s.Close(t.Context())
}

func TestAServerThatIsNotThereFailsAtOnceAndIsFoundAgain(t *testing.T) {
	p := forward(t, providers.URL(t, "redis"))
	s, err := kv.Open(t.Context(), messaging.Options{Name: "cache", URL: p.url, Settings: map[string]string{"prefix": fmt.Sprint(time.Now().UnixNano(), ":")}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(context.Background())
	calls := map[string]func(ctx context.Context) error{
		"get one": func(ctx context.Context) error { _, err := s.Get(ctx, []string{"a"}); return err },
		"get":     func(ctx context.Context) error { _, err := s.Get(ctx, []string{"a", "b"}); return err },
		"put":     func(ctx context.Context) error { return s.Put(ctx, []kv.Entry{{Key: "a", Value: []byte("1")}}) },
		"delete":  func(ctx context.Context) error { return s.Delete(ctx, []string{"a"}) },
	}
	for name, call := range calls {
		if err := call(t.Context()); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	p.cut()
	began := time.Now()
	for range 3 {
		for name, call := range calls {
			if err := call(t.Context()); !messaging.Away(err) {
				t.Errorf("%s of a server that refuses connections: %v", name, err)
			}
		}
	}
	if took := time.Since(began); took > 4500*time.Millisecond { // one of them alone would use up its 5 s
		t.Errorf("12 calls that cannot be made took %v", took)
	}
	p.listen()
	for name, call := range calls {
		for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
			if err = call(t.Context()); err == nil || time.Now().After(end) {
				break
			}
		}
		if err != nil {
			t.Errorf("%s when the server is back: %v", name, err)
		}
	}
}

// A proxy stands in front of a server that others use, too.
type proxy struct {
	*testing.T
	url, own, server string // addresses

	mu       sync.Mutex
	listener net.Listener
	conns    []net.Conn
}

func forward(t *testing.T, server string) *proxy {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{T: t, own: fmt.Sprint("127.0.0.1:", providers.FreePort(t)), server: u.Host}
	p.listen()
	u.Host = p.own
	p.url = u.String()
	t.Cleanup(p.cut)
	return p
}

// listen takes connections, on the same address again.
func (p *proxy) listen() {
	l, err := net.Listen("tcp", p.own)
	if err != nil {
		p.Fatal(err)
	}
	p.listener, p.own = l, l.Addr().String()
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", p.server)
			if err != nil {
				client.Close()
				continue
			}
			p.mu.Lock()
			p.conns = append(p.conns, client, server)
			p.mu.Unlock()
			go func() { _, _ = io.Copy(server, client); server.Close() }()
			go func() { _, _ = io.Copy(client, server); client.Close() }()
		}
	}()
}

// cut ends all connections and refuses further ones.
func (p *proxy) cut() {
	p.listener.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}
