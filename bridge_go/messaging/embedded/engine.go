package embedded

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/messaging/jetstream"
	"ds-runner.dev/ds-runner/bridge_go/messaging/positions"
)

// An engine is one store: a server without a listener, and the one connection to it. Connections with the same store share it.
type engine struct {
	dir       string
	settings  settings
	server    *server.Server
	conn      *nats.Conn
	js        natsjs.JetStream
	api       *jetstream.API
	positions positions.Store
	readers   positions.Readers
	closed    chan struct{}
	log       *slog.Logger

	mu     sync.Mutex
	topics map[string]*topic
}

// engines are the open stores by folder, with the connections that hold each.
var engines = struct {
	sync.Mutex
	open    map[string]*engine
	holders map[*connection]*engine
}{open: map[string]*engine{}, holders: map[*connection]*engine{}}

func acquire(ctx context.Context, c *connection) (*engine, error) {
	o, s := c.options, c.settings
	dir, err := filepath.Abs(filepath.Join(o.StateDir, "embedded", storeName(o.URL)))
	if err != nil {
		return nil, err
	}
	engines.Lock()
	defer engines.Unlock()
	e := engines.open[dir]
	if e == nil {
		if e, err = startEngine(ctx, dir, o, s); err != nil {
			return nil, fmt.Errorf("embedded: %s: %w", dir, err)
		}
		engines.open[dir] = e
	}
	if e.settings.sync != s.sync || e.settings.maxValue < s.maxValue {
		return nil, fmt.Errorf("embedded: %s is open already, with another sync or a smaller max_value", dir)
	}
	engines.holders[c] = e
	return e, nil
}

func (e *engine) holds(c *connection) bool {
	engines.Lock()
	defer engines.Unlock()
	return engines.holders[c] == e
}

// release gives the engine back; the last holder stops it and waits until all is on its way to the disk.
func (e *engine) release(c *connection) {
	engines.Lock()
	defer engines.Unlock()
	if engines.holders[c] != e {
		return
	}
	delete(engines.holders, c)
	for _, other := range engines.holders {
		if other == e {
			return
		}
	}
	delete(engines.open, e.dir)
	e.stop()
}

// Limits of the server. What a topic may hold is bounded by its own settings, and a full disk says so itself.
const (
	startPatience = 60 * time.Second // opening a store of many GiB reads its blocks when it was killed
	headerRoom    = 1 << 20
	noLimit       = 1 << 60
	maxPending    = 128 << 20 // for a client that reads slowly; one fetch is at most fetchBytes and a record
)

func startEngine(ctx context.Context, dir string, o messaging.Options, s settings) (*engine, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	srv, err := server.NewServer(&server.Options{
		ServerName: "ds-bridge", DontListen: true, NoSigs: true,
		JetStream: true, StoreDir: dir, JetStreamMaxStore: noLimit, JetStreamMaxMemory: 1, // without both it goes by the free disk
		SyncAlways: s.sync, MaxPayload: int32(s.maxValue + headerRoom), MaxPending: maxPending,
	})
	if err != nil {
		return nil, err
	}
	srv.SetLoggerV2(serverLog{o.Log.With("part", "nats-server")}, false, false, false)
	srv.Start()
	e := &engine{
		dir: dir, settings: s, server: srv, log: o.Log, topics: map[string]*topic{}, closed: make(chan struct{}),
		positions: positions.Store{Dir: filepath.Join(dir, "positions"), Sync: s.sync},
	}
	if err := e.dial(ctx); err != nil {
		srv.Shutdown()
		srv.WaitForShutdown()
		return nil, err
	}
	return e, nil
}

func (e *engine) dial(ctx context.Context) error {
	patience := startPatience
	if deadline, ok := ctx.Deadline(); ok {
		patience = time.Until(deadline)
	}
	if !e.server.ReadyForConnections(patience) {
		return fmt.Errorf("the store did not open within %s", patience.Round(time.Second))
	}
	if !e.server.JetStreamEnabled() {
		return fmt.Errorf("the store could not be opened; the log says why")
	}
	var err error
	e.conn, err = nats.Connect("", nats.InProcessServer(e.server), nats.MaxReconnects(-1),
		nats.ReconnectWait(50*time.Millisecond), nats.NoCallbacksAfterClientClose())
	if err != nil {
		return err
	}
	e.api = &jetstream.API{Conn: e.conn, Closed: e.closed, Patience: answerPatience}
	e.js, err = natsjs.New(e.conn)
	return err
}

func (e *engine) stop() {
	for _, t := range e.topics {
		if err := t.close(); err != nil { // then the next opening knows an earlier end
			e.log.Warn("the end of a topic was not noted", "topic", t.name, "error", err)
		}
	}
	close(e.closed)
	e.conn.Close()
	e.server.Shutdown()
	e.server.WaitForShutdown()
}

// serverLog hands what the server says to ours. Its notices are news of a server that nobody sees.
type serverLog struct{ log *slog.Logger }

func (l serverLog) Noticef(format string, v ...any) { l.put(slog.LevelDebug, format, v) }
func (l serverLog) Warnf(format string, v ...any)   { l.put(slog.LevelWarn, format, v) }
func (l serverLog) Errorf(format string, v ...any)  { l.put(slog.LevelError, format, v) }
func (l serverLog) Fatalf(format string, v ...any)  { l.put(slog.LevelError, format, v) }
func (l serverLog) Debugf(string, ...any)           {}
func (l serverLog) Tracef(string, ...any)           {}

func (l serverLog) put(level slog.Level, format string, v []any) {
	l.log.Log(context.Background(), level, strings.TrimSpace(fmt.Sprintf(format, v...)))
}
