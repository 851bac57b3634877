package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"ds-runner.dev/ds-runner/bridge_go/calls"
	"ds-runner.dev/ds-runner/bridge_go/data/kv"
	"ds-runner.dev/ds-runner/bridge_go/data/objects"
	"ds-runner.dev/ds-runner/bridge_go/data/sql"
	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/shadow"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// data finds databases, stores and buckets by the names of connections, for calls. Each is opened once, on first use.
type data struct {
	*streams
	databases *shared[sql.Database]
	stores    *shared[kv.Store]
	buckets   *shared[objects.Bucket]
}

var _ calls.Data = (*data)(nil)

func newData(s *streams) *data {
	return &data{s, newShared(s, sql.Open), newShared(s, kv.Open), newShared(s, objects.Open)}
}

// Connections implements [calls.Data]. A URL that is a secret as a whole is read for its scheme; one that cannot be has none here,
// and whoever opens it is told why.
func (d *data) Connections() map[string]string {
	schemes := map[string]string{}
	for name, c := range d.program.Spec.Connections {
		url := c.URL
		if strings.HasPrefix(url, "${") {
			url = ""
			if revealed, err := d.program.Reveal(name); err == nil {
				url = revealed.URL
			}
		}
		schemes[name], _, _ = strings.Cut(url, ":")
	}
	return schemes
}

// Streams implements [calls.Data].
func (d *data) Streams() []string { return d.Names() }

// Stream implements [calls.Data].
func (d *data) Stream(ctx context.Context, name string) (messaging.Connection, string, error) {
	return d.OpenJSON(ctx, name)
}

// Database implements [calls.Data].
func (d *data) Database(ctx context.Context, name string) (sql.Database, error) {
	return d.databases.get(ctx, name)
}

// Store implements [calls.Data].
func (d *data) Store(ctx context.Context, name string) (kv.Store, error) {
	return d.stores.get(ctx, name)
}

// Bucket implements [calls.Data].
func (d *data) Bucket(ctx context.Context, name string) (objects.Bucket, error) {
	return d.buckets.get(ctx, name)
}

// Mask implements [calls.Data]. What is no connection, such as a stream, was masked when it was opened.
func (d *data) Mask(name, text string) string {
	revealed, err := d.program.Reveal(name)
	if err != nil {
		return text
	}
	return revealed.Mask(text)
}

func (d *data) close(ctx context.Context) error {
	return errors.Join(d.databases.close(ctx), d.stores.close(ctx), d.buckets.close(ctx))
}

// A closer is what all seams open.
type closer interface {
	Close(ctx context.Context) error
}

// shared opens connections of one seam, each once. One that is slow to open keeps those alone waiting who ask for it.
type shared[T closer] struct {
	streams *streams
	connect func(context.Context, messaging.Options) (T, error)

	mu     sync.Mutex
	closed bool
	open   map[string]*slot[T]
}

// A slot is one connection; its turn is held by whoever opens it.
type slot[T closer] struct {
	turn  chan struct{}
	value T
	ready bool
}

func newShared[T closer](s *streams, connect func(context.Context, messaging.Options) (T, error)) *shared[T] {
	return &shared[T]{streams: s, connect: connect, open: map[string]*slot[T]{}}
}

func (s *shared[T]) slot(name string) (*slot[T], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, messaging.ErrClosed
	}
	if s.open[name] == nil {
		s.open[name] = &slot[T]{turn: make(chan struct{}, 1)}
	}
	return s.open[name], nil
}

// get opens a connection with its secrets in place, or gives the one that is open. What failed is tried again by the next who asks.
func (s *shared[T]) get(ctx context.Context, name string) (none T, err error) {
	found, err := s.slot(name)
	if err != nil {
		return none, err
	}
	select {
	case found.turn <- struct{}{}:
		defer func() { <-found.turn }()
	case <-ctx.Done():
		return none, fmt.Errorf("connection %s is being opened: %w", name, ctx.Err())
	}
	if found.ready {
		return found.value, nil
	}
	if found.value, err = s.dial(ctx, name); err != nil {
		return none, err
	}
	found.ready = true
	return found.value, nil
}

func (s *shared[T]) dial(ctx context.Context, name string) (none T, err error) {
	revealed, err := s.streams.program.Reveal(name)
	if err != nil {
		return none, err
	}
	conn, err := s.connect(ctx, s.streams.options(name, revealed.URL, revealed.Settings))
	if err == nil {
		return conn, nil
	}
	told := &wire.CallError{Code: "unavailable", Reason: revealed.Mask(err.Error())}
	var known *sql.Error
	switch {
	case ctx.Err() != nil:
		told.Code, told.Retry = "deadline", true
	case errors.As(err, &known):
		told.Code, told.Retry = known.Code, known.Retry
	}
	return none, told
}

func (s *shared[T]) close(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	var errs []error
	for _, found := range s.open {
		select {
		case found.turn <- struct{}{}:
			if found.ready {
				errs = append(errs, found.value.Close(ctx))
			}
		case <-ctx.Done():
			errs = append(errs, ctx.Err())
		}
	}
	return errors.Join(errs...)
}

// answer gives a call of the command line to control, or to calls where it is about data: there it has no lease.
func (b *bridge) answer(ctx context.Context, hello *wire.Hello, c *wire.Call) ([]byte, error) {
	if c.Method != "publish" && b.calls.Has(c.Method) {
		return b.calls.Handle(ctx, hello, c)
	}
	return b.controls.Handle(ctx, hello, c)
}

// leases are those of a worker's command.
func (b *bridge) leases(programName, command string) calls.Leases {
	if shadowed, ok := shadow.Of(command); ok && programName == b.program.Name() {
		return b.shadowLeases(shadowed)
	}
	if r, _ := b.versionPool(command); r != nil && programName == b.program.Name() {
		return r.(*dispatch.Route)
	}
	if r, ok := b.routes[command]; ok && programName == b.program.Name() {
		return r.engine
	}
	return nil
}
