// Package calls answers what a model asks for while it works: SQL, values by key, objects, events to publish. METHODS.md lists the
// methods.
//
//	calls.go     which methods there are, under which rules; leases; errors
//	parameters.go, sql.go, cursors.go     queries, page by page
//	kv.go, objects.go, uploads.go         values and objects
//	stage.go, outlets.go                  what predict writes, done with its batch or never
//
// Each call comes on a goroutine of its own, so none waits for another. What outlives a call, a cursor or an upload, belongs to
// its connection and ends with it.
package calls

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/arguments"
	"ds-runner.dev/ds-runner/bridge_go/data/kv"
	"ds-runner.dev/ds-runner/bridge_go/data/objects"
	"ds-runner.dev/ds-runner/bridge_go/data/sql"
	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/program"
	"ds-runner.dev/ds-runner/bridge_go/server"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// Data is what calls need to know of a program. Its methods are safe from any goroutine; each connection is opened once, and one
// that is slow to open delays those alone who want it. Errors name no secrets.
type Data interface {
	// Connections are the names of all, with the schemes of their URLs.
	Connections() map[string]string
	Database(ctx context.Context, name string) (sql.Database, error)
	Store(ctx context.Context, name string) (kv.Store, error)
	Bucket(ctx context.Context, name string) (objects.Bucket, error)
	// Streams are the names of all; Stream is the connection and topic of one.
	Streams() []string
	Stream(ctx context.Context, name string) (messaging.Connection, string, error)
	// Mask takes the secrets of a connection out of a text.
	Mask(name, text string) string
}

// Leases are those of one command: its route.
type Leases interface {
	Alive(l wire.Lease) bool
	Stage(l wire.Lease, writes []dispatch.Staged) error
	// Called tells of a call before it is answered; failed is nil when it succeeded.
	Called(l wire.Lease, method string, args, value []byte, failed *wire.CallError)
}

// A Replay is Leases whose calls were answered once before: nothing is asked of any system again.
type Replay interface {
	Answer(l wire.Lease, call *wire.Call) ([]byte, error)
}

// Config is what a Handler works on.
type Config struct {
	Data Data
	// Leases are the leases of a worker's command, nil where the bridge does not serve it.
	Leases func(programName, command string) Leases
	// Publish answers the method of that name outside of a lease.
	Publish server.Handler
	Log     *slog.Logger

	MaxCursors int           // of a connection; 16
	CursorIdle time.Duration // how long a cursor waits to be asked; 60 s
	MaxUploads int           // of a connection; 16
}

// A Handler answers calls. It is safe from any goroutine.
type Handler struct {
	c       Config
	methods map[string]method
	connections
	outlets outlets
}

// New makes a Handler. [Handler.Close] closes what it keeps open.
func New(c Config) *Handler {
	if c.MaxCursors == 0 {
		c.MaxCursors = 16
	}
	if c.CursorIdle == 0 {
		c.CursorIdle = time.Minute
	}
	if c.MaxUploads == 0 {
		c.MaxUploads = 16
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	h := &Handler{c: c, connections: connections{open: map[context.Context]*connection{}}}
	h.outlets.data = c.Data
	h.methods = map[string]method{
		"sql.open":       {anywhere, h.sqlOpen},
		"sql.next":       {anywhere, h.sqlNext},
		"sql.close":      {anywhere, h.sqlClose},
		"sql.execute":    {outside, h.sqlExecute},
		"sql.write":      {outside, h.sqlWrite},
		"kv.get":         {anywhere, h.kvGet},
		"kv.put":         {outside, h.kvPut},
		"kv.delete":      {outside, h.kvDelete},
		"objects.head":   {anywhere, h.objectsHead},
		"objects.get":    {anywhere, h.objectsGet},
		"objects.list":   {anywhere, h.objectsList},
		"objects.delete": {outside, h.objectsDelete},
		"objects.begin":  {outside, h.objectsBegin},
		"objects.part":   {outside, h.objectsPart},
		"objects.finish": {outside, h.objectsFinish},
		"objects.abort":  {outside, h.objectsAbort},
		"publish":        {outside, nil},
		"clock":          {within, h.clock},
		"stage":          {within, h.stage},
	}
	return h
}

// A rule says where a method may be called.
type rule uint8

const (
	anywhere rule = iota
	outside       // never under a lease: what it does cannot be taken back
	within        // only under a lease
)

// A method decodes its arguments and returns one msgpack value, nil for nil.
type method struct {
	rule rule
	run  func(ctx context.Context, r *request) ([]byte, error)
}

// A request is one call while it is worked on.
type request struct {
	*arguments.Arguments
	lease  *wire.Lease
	leases Leases // of the lease
}

// Has says whether there is a method of that name.
func (h *Handler) Has(name string) bool { _, ok := h.methods[name]; return ok }

// Writes says whether a method changes something there and then, for good.
func (h *Handler) Writes(name string) bool { return h.methods[name].rule == outside }

// Close ends cursors and uploads, and closes what staged writes are written by.
func (h *Handler) Close(ctx context.Context) error {
	h.endAll()
	return h.outlets.close(ctx)
}

// Handle answers one call. An error that is a *wire.CallError has a code of METHODS.md. A lease is asked for before the call is
// done, and again before it is answered: what was read for a batch that is another worker's by now is not given.
func (h *Handler) Handle(ctx context.Context, hello *wire.Hello, call *wire.Call) ([]byte, error) {
	m, ok := h.methods[call.Method]
	if !ok {
		return nil, refusef("unknown_method", "%s", program.Unknown("no method", call.Method, slices.Sorted(maps.Keys(h.methods)), "Known"))
	}
	r, err := h.request(ctx, hello, call, m.rule)
	if err != nil {
		return nil, err
	}
	if m.run == nil {
		return h.c.Publish(ctx, hello, call)
	}
	if again, ok := r.leases.(Replay); ok {
		return again.Answer(*r.lease, call)
	}
	value, err := h.run(ctx, m, r, call.Method)
	if r.lease != nil {
		var failed *wire.CallError
		errors.As(err, &failed)
		r.leases.Called(*r.lease, call.Method, call.Args, value, failed)
	}
	return value, err
}

func (h *Handler) run(ctx context.Context, m method, r *request, name string) ([]byte, error) {
	value, err := m.run(ctx, r)
	switch {
	case r.Err != nil:
		return nil, refusef("bad_arguments", "%s: %v", name, r.Err)
	case err != nil:
		return nil, told(err)
	case !r.alive():
		h.of(ctx).closeStale(r)
		return nil, told(dispatch.ErrStale)
	}
	return value, nil
}

// request checks what is common to all methods.
func (h *Handler) request(ctx context.Context, hello *wire.Hello, call *wire.Call, rule rule) (*request, error) {
	args, err := arguments.Of(call.Args)
	if err != nil {
		return nil, refusef("bad_arguments", "%s: %v", call.Method, err)
	}
	r := &request{Arguments: args, lease: call.Lease}
	switch {
	case r.lease == nil && rule == within:
		return nil, refusef("needs_lease", "%s is for what a model writes while it predicts", call.Method)
	case r.lease == nil:
		return r, nil
	case rule == outside:
		return nil, refusef("under_lease", "%s is not for predict: its batch may be scored again. What predict writes is staged with its result", call.Method)
	}
	if r.leases = h.c.Leases(hello.Program, hello.Command); r.leases == nil {
		return nil, told(dispatch.ErrStale)
	}
	h.of(ctx).closeStale(r)
	if !r.alive() {
		return nil, told(dispatch.ErrStale)
	}
	return r, nil
}

func (r *request) alive() bool { return r.lease == nil || r.leases.Alive(*r.lease) }

// same says whether a request comes under a lease, or both under none.
func (r *request) same(lease *wire.Lease) bool {
	return r.lease == lease || r.lease != nil && lease != nil && *r.lease == *lease
}

func refusef(code, format string, args ...any) *wire.CallError {
	return &wire.CallError{Code: code, Reason: fmt.Sprintf(format, args...)}
}

// told gives an error its code.
func told(err error) error {
	var call *wire.CallError
	var known *sql.Error
	var limit *kv.LimitError
	var object *objects.Error
	switch {
	case errors.As(err, &call):
		return err
	case errors.As(err, &known):
		return &wire.CallError{Code: known.Code, Reason: known.Reason, Retry: known.Retry}
	case errors.As(err, &limit):
		return refusef("bad_value", "%s", limit.Reason)
	case errors.As(err, &object):
		return &wire.CallError{Code: object.Code, Reason: object.Reason, Retry: object.Retry()}
	case errors.Is(err, dispatch.ErrStale):
		return refusef("stale_lease", "%v", err)
	case errors.Is(err, dispatch.ErrRefused):
		return refusef("refused", "%v", err)
	case errors.Is(err, objects.ErrNotFound):
		return refusef("not_found", "%v", err)
	case errors.Is(err, objects.ErrDamaged):
		return refusef("damaged", "%v", err)
	case errors.Is(err, messaging.ErrNotSupported):
		return refusef("not_supported", "%v", err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return &wire.CallError{Code: "deadline", Reason: err.Error(), Retry: true}
	case messaging.Away(err):
		return &wire.CallError{Code: sql.Unavailable, Reason: err.Error(), Retry: true}
	}
	return refusef("failed", "%v", err)
}

// A seam is one of the kinds of systems that a connection may be.
type seam struct {
	does    string // what those that are not of it cannot do
	schemes func() []string
}

var (
	databases = seam{"answers no SQL", sql.Schemes}
	stores    = seam{"keeps no values by key", kv.Schemes}
	buckets   = seam{"keeps no objects", objects.Schemes}
)

// connectionOf reads the name of a connection and asks that it is of the seam, before anything is opened.
func (h *Handler) connectionOf(r *request, s seam) (string, error) {
	name := r.Text("con")
	if r.Err != nil {
		return "", r.Err
	}
	return name, h.knows(name, s)
}

func (h *Handler) knows(name string, s seam) error {
	all := h.c.Data.Connections()
	scheme, ok := all[name]
	if !ok {
		return refusef("unknown_connection", "%s", program.Unknown("no connection", name, slices.Sorted(maps.Keys(all)), "Declared"))
	}
	if scheme == "" || slices.Contains(s.schemes(), scheme) { // without a scheme, opening it tells why
		return nil
	}
	var can []string
	for other, scheme := range all {
		if slices.Contains(s.schemes(), scheme) {
			can = append(can, other)
		}
	}
	slices.Sort(can)
	fitting := "None of the program's connections does"
	if len(can) > 0 {
		fitting = "These do: " + strings.Join(can, ", ")
	}
	return refusef("not_supported", "connection %s (%s:) %s. %s; of systems: %s", name, scheme, s.does, fitting, strings.Join(s.schemes(), ", "))
}

// masked takes what is secret out of an error's words.
func (h *Handler) masked(name string, err error) error {
	if err == nil {
		return nil
	}
	var call *wire.CallError
	if !errors.As(told(err), &call) {
		return err
	}
	return &wire.CallError{Code: call.Code, Reason: h.c.Data.Mask(name, call.Reason), Retry: call.Retry}
}
