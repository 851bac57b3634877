// Package control answers the command line: publish, tail, dead letters, pause, seek, record, status, drain. METHODS.md lists the calls.
//
// A call comes from the server with its arguments as msgpack, is decoded strictly, and works on the same connections as the
// routes do: one embedded store belongs to one process, so a second terminal asks that process.
package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"github.com/tinylib/msgp/msgp"

	"ds-runner.dev/ds-runner/bridge_go/arguments"
	"ds-runner.dev/ds-runner/bridge_go/fleet"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/plainjson"
	"ds-runner.dev/ds-runner/bridge_go/program"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// Streams is what control needs to know of a program. Its methods are safe from any goroutine.
type Streams interface {
	// Names are all streams, those of dead letters included, in the order of program.yaml.
	Names() []string
	// Open is the connection and topic of a stream.
	Open(ctx context.Context, name string) (conn messaging.Connection, topic string, err error)
	// OpenJSON is Open, but what is written and looked at is JSON, whatever the stream carries.
	OpenJSON(ctx context.Context, name string) (conn messaging.Connection, topic string, err error)
	// DeadLetters tells for each stream of dead letters of which input they are. Of several inputs it may name any.
	DeadLetters() map[string]string
}

// Config is what a Control works on.
type Config struct {
	Streams Streams
	Routes  func() []Route                 // the commands at work that read streams
	Shadows func() any                     // what shadow answers, likewise
	Fleets  func() map[string]*fleet.Fleet // versions of the model, by command that serves HTTP; nil: none
	Status  func() any                     // anything that encoding/json takes; what status answers
	Drain   func()                         // begins to drain, and returns at once; it may be called again
	Version string                         // of the bridge, for tapes
	Log     *slog.Logger
}

// A Control answers calls. It is safe from any goroutine.
type Control struct {
	c          Config
	methods    map[string]method
	recordings recordings
}

// A method decodes its arguments and returns one msgpack value, nil for nil.
type method func(ctx context.Context, call *request) ([]byte, error)

// New makes a Control.
func New(c Config) *Control {
	k := &Control{c: c}
	k.methods = map[string]method{
		"publish":     k.publish,
		"tail":        k.tail,
		"dead.list":   k.deadList,
		"dead.show":   k.deadShow,
		"dead.replay": k.deadReplay,
		"dead.drop":   k.deadDrop,
		"pause":       k.pause,
		"resume":      k.resume,
		"seek":        k.seek,
		"record.open": k.recordOpen,
		"record.next": k.recordNext,
		"record.stop": k.recordStop,
		"status":      k.status,
		"shadow":      k.shadow,
		"drain":       k.drain,

		"audit.remove": k.auditRemove,
	}
	maps.Copy(k.methods, k.versionMethods())
	return k
}

// A request is one call while it is worked on.
type request struct {
	*arguments.Arguments
	hello *wire.Hello
}

// Handle answers one call. An error that is a *wire.CallError has a code of METHODS.md.
func (k *Control) Handle(ctx context.Context, hello *wire.Hello, call *wire.Call) ([]byte, error) {
	m := k.methods[call.Method]
	if m == nil {
		known := slices.Sorted(maps.Keys(k.methods))
		return nil, &wire.CallError{Code: "unknown_method", Reason: program.Unknown("no method", call.Method, known, "Known")}
	}
	args, err := arguments.Of(call.Args)
	if err != nil {
		return nil, badArguments(call.Method, err)
	}
	value, err := m(ctx, &request{args, hello})
	if args.Err != nil {
		return nil, badArguments(call.Method, args.Err)
	}
	return value, told(err)
}

func badArguments(method string, err error) error {
	return &wire.CallError{Code: "bad_arguments", Reason: fmt.Sprintf("%s: %v", method, err)}
}

// told gives the errors of connectors their codes.
func told(err error) error {
	var call *wire.CallError
	switch {
	case err == nil, errors.As(err, &call):
		return err
	case errors.Is(err, messaging.ErrNotSupported):
		return &wire.CallError{Code: "not_supported", Reason: err.Error()}
	case errors.Is(err, messaging.ErrBusy):
		return &wire.CallError{Code: "busy", Reason: err.Error(), Retry: true}
	case errors.Is(err, messaging.ErrClosed):
		return &wire.CallError{Code: "draining", Reason: err.Error()}
	case errors.Is(err, context.DeadlineExceeded):
		return &wire.CallError{Code: "deadline", Reason: err.Error(), Retry: true}
	}
	return &wire.CallError{Code: "failed", Reason: err.Error()}
}

// A stream is one that a call names.
type stream struct {
	name  string
	conn  messaging.Connection
	topic string
}

func (k *Control) stream(ctx context.Context, name string) (*stream, error) {
	return k.opened(ctx, name, k.c.Streams.Open)
}

// spoken is a stream for those who write and look at JSON.
func (k *Control) spoken(ctx context.Context, name string) (*stream, error) {
	return k.opened(ctx, name, k.c.Streams.OpenJSON)
}

func (k *Control) opened(ctx context.Context, name string, open func(context.Context, string) (messaging.Connection, string, error)) (*stream, error) {
	if names := k.c.Streams.Names(); !slices.Contains(names, name) {
		return nil, &wire.CallError{Code: "unknown_stream", Reason: program.Unknown("no stream", name, names, "Declared")}
	}
	conn, topic, err := open(ctx, name)
	return &stream{name, conn, topic}, err
}

func (k *Control) status(_ context.Context, r *request) ([]byte, error) {
	if r.End(); r.Err != nil {
		return nil, r.Err
	}
	data, err := plainjson.Marshal(k.c.Status())
	return msgp.AppendBytes(nil, data), err
}

func (k *Control) shadow(_ context.Context, r *request) ([]byte, error) {
	if r.End(); r.Err != nil {
		return nil, r.Err
	}
	data, err := plainjson.Marshal(k.c.Shadows())
	return msgp.AppendBytes(nil, data), err
}

func (k *Control) drain(_ context.Context, r *request) ([]byte, error) {
	if r.End(); r.Err != nil {
		return nil, r.Err
	}
	k.c.Log.Info("asked to drain by the command line")
	k.c.Drain()
	return nil, nil
}
