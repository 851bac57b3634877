package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/delivery"
	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/fleet"
	"ds-runner.dev/ds-runner/bridge_go/front"
	"ds-runner.dev/ds-runner/bridge_go/program"
	"ds-runner.dev/ds-runner/bridge_go/shadow"
)

// Kinds of commands that need a bridge.
const (
	scoreStream = "score-stream"
	serveAPI    = "serve-api"
)

// A route is one command at work.
type route struct {
	engine
	stream  *dispatch.Route // the engine, where it is one
	command program.Command
	outlet  *dispatch.StreamOutlet // nil where there is no stream to write
	front   *front.Front           // of serve-api
	fleet   *fleet.Fleet           // of serve-api: the versions behind the front
	guests  []guest                // of serve-api: further models, each with versions of its own
	address string                 // where it listens
	grpc    string                 // and for gRPC, nothing where it does not
}

func (r *route) run(ctx context.Context) error {
	if err := r.Run(ctx); err != nil {
		return fmt.Errorf("%s: %w", r.command.Name, err)
	}
	return nil
}

// drain lets the front answer what it has accepted before the workers are told to go.
func (r *route) drain(ctx context.Context) error {
	if r.front != nil {
		if err := seededDrain(r.front)(ctx); err != nil {
			return err
		}
	}
	return r.Drain(ctx)
}

// openRoutes makes a route for each command that was asked for, or for all that need a bridge.
func (b *bridge) openRoutes(ctx context.Context) error {
	commands, err := b.chosen()
	if err != nil {
		return err
	}
	for _, c := range commands {
		open := b.openStream
		switch {
		case b.Tape != "":
			open = b.openPlayer
		case c.Kind == serveAPI:
			open = b.openFront
		}
		if b.routes[c.Name], err = open(ctx, c); err != nil {
			delete(b.routes, c.Name)
			return fmt.Errorf("%s: %w", c.Name, err)
		}
	}
	return nil
}

func (b *bridge) chosen() (chosen []program.Command, err error) {
	if b.DataOnly {
		if len(b.Command) > 0 || b.Input != "" || b.Output != "" || b.Ledger != "" || b.Tape != "" {
			return nil, fmt.Errorf("%w: --data-only serves no command: leave --command, --input, --output, --ledger and --tape out", ErrMistake)
		}
		return nil, nil
	}
	var served []string
	for _, c := range b.program.Spec.Commands {
		if c.Kind == scoreStream || c.Kind == serveAPI {
			served = append(served, c.Name)
		}
	}
	names := b.Command
	if len(names) == 0 {
		names = served
	}
	for _, name := range names {
		c, ok := b.program.Command(name)
		if !ok || (c.Kind != scoreStream && c.Kind != serveAPI) {
			return nil, fmt.Errorf("%w: --command %s: %s serves %s", ErrMistake, name, b.program.Name(), strings.Join(served, ", "))
		}
		chosen = append(chosen, c)
	}
	if (b.Input != "" || b.Output != "" || b.Ledger != "" || b.Tape != "") && (len(chosen) != 1 || chosen[0].Kind != scoreStream) {
		return nil, fmt.Errorf("%w: --input, --output, --ledger and --tape need one --command that scores a stream", ErrMistake)
	}
	return chosen, nil
}

func (b *bridge) openStream(ctx context.Context, c program.Command) (*route, error) {
	b.counts[c.Name] = &dispatch.SinkCounts{}
	b.reach(ctx, c)
	outlet, err := b.outlet(ctx, c)
	if err != nil {
		return nil, err
	}
	r := &route{command: c}
	r.outlet, _ = outlet.(*dispatch.StreamOutlet)
	config := b.config(c)
	config.Stream, config.Outlet, config.Sinks = c.Input, seededOutlet(outlet), b.counts[c.Name]
	if config.Decode, err = b.decoder(c); err != nil {
		return nil, err
	}
	config.Open = b.opener(c, func(partitions []int32) { r.stream.Revoke(partitions) })
	config.Bounded = b.ExitAtEnd
	if b.operable(c) {
		if config.Paused, err = b.pausedBefore(c); err != nil {
			return nil, err
		}
	}
	if config.Transaction, err = b.transaction(c, outlet); err != nil {
		return nil, err
	}
	config.Sequenced = b.wholes[c.Name]
	if err := b.noteStored(c, outlet, &config); err != nil {
		return nil, err
	}
	if err := b.openShadow(c, &config); err != nil {
		return nil, err
	}
	r.stream = dispatch.New(config)
	r.engine = r.stream
	return r, nil
}

func (b *bridge) openFront(ctx context.Context, c program.Command) (*route, error) {
	cert, key := b.certificate(c)
	log, err := b.requestLog(ctx, c)
	if err != nil {
		return nil, err
	}
	rows, bytes := c.Batch.Bounds()
	f, err := front.New(front.Config{
		Program: b.program.Name(), Command: c.Name, Rows: c.Queue.Rows, Bytes: int(c.Queue.Bytes), MaxBody: int(c.MaxBody),
		RequestTimeout: c.RequestTimeout.Std(), DrainDelay: b.drainDelay(c), Batch: rows, BatchBytes: bytes,
		RouteHeader: c.RouteHeader, Cert: cert, Key: key, Tokens: b.beside(c.Tokens), RequestLog: log,
		Log: b.Log.With("command", c.Name), Registerer: b.metrics, Gatherer: b.metrics,
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMistake, err)
	}
	versions, err := b.openFleet(c, f)
	if err != nil {
		f.Close()
		return nil, err
	}
	guests, err := b.openGuests(c, f)
	if err != nil {
		f.Close()
		return nil, err
	}
	address, err := f.Listen(b.httpAddress(c))
	if err != nil {
		f.Close()
		return nil, b.portTaken(c, err)
	}
	r := &route{engine: side{Fleet: versions, guests: guests}, command: c, front: f, fleet: versions, guests: guests, address: address.String()}
	if r.grpc, err = b.listenGRPC(c, f); err != nil {
		f.Close()
		return nil, err
	}
	return r, nil
}

// listenGRPC serves gRPC where the command has a port for it, on the host of HTTP.
func (b *bridge) listenGRPC(c program.Command, f *front.Front) (address string, err error) {
	if c.GRPCPort == nil {
		return "", nil
	}
	host, _, err := net.SplitHostPort(b.httpAddress(c))
	if err != nil {
		return "", err
	}
	bound, err := f.ListenGRPC(net.JoinHostPort(host, strconv.Itoa(*c.GRPCPort)))
	if errors.Is(err, syscall.EADDRINUSE) {
		return "", fmt.Errorf("%w. Stop what listens there, or set another port: commands.%s.grpc_port in program.yaml (0 is any free one)", err, c.Name)
	}
	if err != nil {
		return "", err
	}
	return bound.String(), nil
}

// portTaken adds to the error of a port that somebody else has where another one is set.
func (b *bridge) portTaken(c program.Command, err error) error {
	if !errors.Is(err, syscall.EADDRINUSE) {
		return err
	}
	where := "commands." + c.Name + ".port in program.yaml"
	if b.HTTP != "" {
		where = "--http"
	}
	return fmt.Errorf("%w. Stop what listens there, or set another port: %s (0 is any free one)", err, where)
}

// httpAddress is --http, or else the command's own host and port.
func (b *bridge) httpAddress(c program.Command) string {
	if b.HTTP != "" {
		return b.HTTP
	}
	return net.JoinHostPort(c.Host, strconv.Itoa(c.Port))
}

// drainDelay is the command's; none of it is negative to the front, whose zero is its default. On loopback nobody routes
// to us who would have to notice, so that Ctrl-C on a laptop waits for nothing.
func (b *bridge) drainDelay(c program.Command) time.Duration {
	if c.DrainDelay == 0 || loopback(b.httpAddress(c)) {
		return -1
	}
	return c.DrainDelay.Std()
}

func loopback(address string) bool {
	host, _, _ := net.SplitHostPort(address)
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

// config is what both kinds of routes take from program.yaml.
func (b *bridge) config(c program.Command) dispatch.Config {
	return dispatch.Config{
		Program: b.program.Name(), Command: c.Name, Nonce: b.nonce, Order: orders[c.Order],
		Batch:       batchOf(c),
		Concurrency: c.Concurrency,
		Deadline:    c.Deadline.Std(), Attempts: c.Attempts, Breaker: dispatch.Breaker{Run: c.Breaker.Run, Hold: c.Breaker.Hold.Std()},
		Log: b.Log, Registerer: b.metrics,
	}
}

// batchOf is how large batches are. Only those of streams grow: what waits for HTTP is cut into batches by the front.
func batchOf(c program.Command) dispatch.Batch {
	b := dispatch.Batch{Linger: c.Batch.Linger.Std()}
	b.Events, b.Bytes = c.Batch.Bounds()
	if c.Kind != "serve-api" {
		b.Most.Events, b.Most.Bytes = c.Batch.Most()
	}
	return b
}

var orders = map[string]delivery.Order{
	"none": delivery.Unordered, "partition": delivery.ByPartition, "key": delivery.ByKey,
}

// pool finds the route that a worker's HELLO names.
func (b *bridge) pool(programName, command string) (dispatch.Pool, error) {
	if programName != b.program.Name() {
		return nil, fmt.Errorf("this bridge serves program %s, not %s", b.program.Name(), programName)
	}
	if shadowed, ok := shadow.Of(command); ok {
		return b.shadowPool(shadowed)
	}
	if r, err := b.versionPool(command); r != nil || err != nil {
		return r, err
	}
	if r, ok := b.routes[command]; ok {
		return r, nil
	}
	return nil, fmt.Errorf("this bridge does not serve command %s of %s", command, programName)
}
