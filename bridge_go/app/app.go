// Package app assembles a bridge: program.yaml becomes connections, routes and listeners, which run until they are asked to
// stop, and are closed in the order in which nothing is lost.
//
//	program.Load -> state folder, token -> streams (connections, opened on first use)
//	             -> one route a command: score-stream (source -> workers -> sinks), serve-api (HTTP -> workers -> HTTP)
//	             -> calls: databases, stores and buckets for models (connections, opened on first use)
//	             -> server (the wire), admin (/metrics, /livez) -> bridge.json: ready
//
// Nothing is decided here: the packages named decide. What is here is who knows whom, and in which order they end.
package app

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"ds-runner.dev/ds-runner/bridge_go/calls"
	"ds-runner.dev/ds-runner/bridge_go/control"
	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/program"
	"ds-runner.dev/ds-runner/bridge_go/server"
	"ds-runner.dev/ds-runner/bridge_go/shadow"
	"ds-runner.dev/ds-runner/bridge_go/state"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// drainTime bounds the whole end: a pod's grace period is 30 s by default, and Python needs its share.
const drainTime = 20 * time.Second

type bridge struct {
	Options
	program   *program.Program
	state     *state.Dir
	token     string
	tokenFile string
	nonce     uint64
	metrics   *prometheus.Registry
	streams   *streams
	data      *data
	calls     *calls.Handler
	controls  *control.Control
	routes    map[string]*route
	shadows   map[string]*shadow.Shadow // by the command that each looks at
	counts    map[string]*dispatch.SinkCounts
	pauses    *pauses
	keepers   map[string]messaging.PositionKeeper // sinks that keep their command's positions
	wholes    map[string]bool                     // commands whose fates are stored whole
	server    *server.Server
	admin     *admin
	started   time.Time
	told      chan struct{} // closed when the command line asks for a drain
	tell      sync.Once
}

// Run serves a program until asked closes, a route fails, or, with ExitAtEnd, every input has been settled to its end.
func Run(asked <-chan struct{}, o Options) error {
	b := &bridge{
		Options: o, started: time.Now(), told: make(chan struct{}), metrics: prometheus.NewRegistry(),
		routes: map[string]*route{}, shadows: map[string]*shadow.Shadow{}, counts: map[string]*dispatch.SinkCounts{},
		keepers: map[string]messaging.PositionKeeper{}, wholes: map[string]bool{},
	}
	b.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if err := b.openUnless(asked); err == errAsked {
		return b.close()
	} else if err != nil {
		return errors.Join(err, b.close())
	}
	ended := b.serve()
	err := b.wait(asked, ended)
	b.drain()
	return errors.Join(err, b.close(), b.summarise())
}

var errAsked = errors.New("asked to end before it was ready")

// openUnless opens the bridge, and gives that up with errAsked when it is asked to end: it may be waiting for a server.
func (b *bridge) openUnless(asked <-chan struct{}) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	opened := make(chan error, 1)
	go func() { opened <- b.open(ctx) }()
	select {
	case err := <-opened:
		return err
	case <-asked:
		cancel()
		if <-opened != nil { // because of that, or it does not matter any more
			return errAsked
		}
		return nil
	}
}

// open brings up everything that can fail, and announces the bridge when all of it stands.
func (b *bridge) open(ctx context.Context) (err error) {
	b.program, err = program.Load(b.Program, program.Options{Env: b.Env, Params: b.Param})
	if err != nil {
		return err
	}
	if b.state, err = state.Open(b.stateDir()); err != nil {
		return err
	}
	if err := b.readToken(); err != nil {
		return err
	}
	b.pauses = &pauses{path: b.state.Path("paused.json")}
	var nonce [8]byte
	rand.Read(nonce[:])
	b.nonce = binary.BigEndian.Uint64(nonce[:]) >> 1 // a uint of the wire has 63 bits
	b.streams = &streams{
		program: b.program, stateDir: b.state.Path(), sync: b.Fsync, log: b.Log, metrics: b.metrics,
		open: map[string]*slot[messaging.Connection]{},
	}
	if err := b.openRoutes(ctx); err != nil {
		return err
	}
	b.controls = b.control()
	b.data = newData(b.streams)
	b.calls = calls.New(calls.Config{Data: b.data, Leases: b.leases, Publish: b.controls.Handle, Log: b.Log})
	if b.server, err = b.listen(); err != nil {
		return err
	}
	repository, err := b.repository()
	if err != nil {
		return err
	}
	if b.admin, err = serveAdmin(b.Metrics, b.metrics, repository, b.Log); err != nil {
		return err
	}
	return b.announce()
}

func (b *bridge) readToken() (err error) {
	if b.TokenFile == "" {
		b.token, b.tokenFile, err = b.state.Token()
		return err
	}
	b.tokenFile = b.TokenFile
	if b.token, err = state.ReadToken(b.TokenFile); err != nil {
		return fmt.Errorf("--token-file: %w", err)
	}
	return nil
}

func (b *bridge) listen() (*server.Server, error) {
	return server.Listen(server.Config{
		Listen:   []string{b.Listen},
		Token:    wire.Token(b.token),
		Pool:     b.pool,
		Calls:    b.called,
		Control:  b.answer,
		Bridge:   "ds-bridge " + b.Version,
		Nonce:    b.nonce,
		Deadline: b.longestDeadline(),
		Log:      b.Log,
		Register: b.metrics,
	})
}

// longestDeadline is what parents of workers are told: how long a worker may be silent with a batch, whatever its command.
func (b *bridge) longestDeadline() (longest time.Duration) {
	for _, r := range b.routes {
		longest = max(longest, r.command.Deadline.Std())
	}
	return longest
}

func (b *bridge) control() *control.Control {
	return control.New(control.Config{
		Streams: b.streams,
		Routes:  b.operatedRoutes,
		Status:  func() any { return b.status() },
		Shadows: b.shadowReports,
		Fleets:  b.fleets,
		Drain:   func() { b.tell.Do(func() { close(b.told) }) },
		Version: b.Version,
		Log:     b.Log,
	})
}

func (b *bridge) announce() error {
	found := state.Discovery{
		PID: os.Getpid(), Wire: b.server.Addresses()[0], TokenFile: b.tokenFile, Metrics: b.admin.address(), Version: b.Version,
	}
	for _, r := range b.routes {
		if r.front != nil {
			found.HTTP, found.GRPC = r.address, r.grpc
		}
	}
	b.Log.Info("bridge is ready", "program", b.program.Name(), "wire", found.Wire, "http", found.HTTP, "metrics", found.Metrics)
	return b.state.Announce(found)
}

// serve runs every route in a goroutine of its own; each sends its end.
func (b *bridge) serve() <-chan error {
	b.runShadows()
	ended := make(chan error, len(b.routes))
	for _, r := range b.routes {
		go func() { ended <- r.run(context.Background()) }()
	}
	return ended
}

// wait returns when there is a reason to end: asked, a failure, or the end of all inputs.
func (b *bridge) wait(asked <-chan struct{}, ended <-chan error) error {
	for left := len(b.routes); left > 0; {
		select {
		case <-asked:
			return nil
		case <-b.told:
			return nil
		case err := <-ended:
			if err != nil {
				return err
			}
			left--
		}
	}
	if b.ExitAtEnd {
		return nil
	}
	select { // a bounded input has ended, but the bridge was not told to end with it
	case <-asked:
	case <-b.told:
	}
	return nil
}

// drain ends intake, lets what is out be answered and stored, and says goodbye to the workers.
func (b *bridge) drain() {
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	b.server.Drain()
	done := make(chan struct{}, len(b.routes))
	for _, r := range b.routes {
		go func() {
			if err := r.drain(ctx); err != nil {
				b.Log.Warn("not all was finished: what is left comes again", "command", r.command.Name, "error", err)
			}
			done <- struct{}{}
		}()
	}
	for range b.routes {
		<-done
	}
	b.drainShadows()
	if err := b.server.Shutdown(ctx); err != nil {
		b.Log.Warn("connections were cut", "error", err)
	}
}

// close closes what open opened, in the opposite order; what was not opened is nil.
func (b *bridge) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var errs []error
	if b.admin != nil {
		errs = append(errs, b.admin.close(ctx))
	}
	if b.calls != nil {
		errs = append(errs, b.calls.Close(ctx), b.data.close(ctx))
	}
	if b.streams != nil {
		errs = append(errs, b.streams.close(ctx))
	}
	if b.state != nil {
		errs = append(errs, b.state.Close())
	}
	b.Log.LogAttrs(ctx, slog.LevelInfo, "bridge has ended")
	return errors.Join(errs...)
}
