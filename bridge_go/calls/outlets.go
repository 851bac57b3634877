package calls

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// outletIdle is how long the sink of a stream stays open when nothing is written: opening one is a client's handshake, and keeping
// it keeps others out of a file, which has one writer.
const outletIdle = 5 * time.Second

// outlets are the sinks by which staged records are written, one a stream.
type outlets struct {
	data Data

	mu     sync.Mutex
	closed bool
	open   map[string]*outlet
}

// An outlet is the sink of one stream, open while it is used.
type outlet struct {
	mu   sync.Mutex
	sink messaging.Sink
	idle *time.Timer
}

// write stores records at the end of a stream. They are durable when it returns nil; otherwise left are those that may be tried
// again. A record that is refused for good is told of by the error, and not among these.
func (o *outlets) write(ctx context.Context, stream string, records []messaging.Outgoing) (left []messaging.Outgoing, err error) {
	to, err := o.of(stream)
	if err != nil {
		return records, err
	}
	to.mu.Lock()
	defer to.mu.Unlock()
	if err := to.begin(ctx, o.data, stream); err != nil {
		return records, err
	}
	err = to.sink.Write(ctx, records)
	var refused *messaging.WriteError
	if err != nil && !errors.As(err, &refused) {
		return records, errors.Join(err, to.end(ctx)) // nothing is known of it: the next try has another sink
	}
	to.idle = time.AfterFunc(outletIdle, to.rest)
	if refused == nil {
		return nil, nil
	}
	for _, f := range refused.Failed {
		if !f.Permanent {
			left = append(left, records[f.Index])
		}
	}
	return left, &wire.CallError{Code: "write_refused", Reason: fmt.Sprintf("stream %s: %v", stream, refused), Retry: len(left) > 0}
}

// begin opens the sink, if it is not.
func (o *outlet) begin(ctx context.Context, data Data, stream string) error {
	if o.idle != nil {
		o.idle.Stop()
	}
	if o.sink != nil {
		return nil
	}
	conn, topic, err := data.Stream(ctx, stream)
	if err != nil {
		return err
	}
	o.sink, err = conn.Sink(ctx, messaging.SinkConfig{Topic: topic})
	return err
}

func (o *outlets) of(stream string) (*outlet, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return nil, messaging.ErrClosed
	}
	if o.open == nil {
		o.open = map[string]*outlet{}
	}
	if o.open[stream] == nil {
		o.open[stream] = &outlet{}
	}
	return o.open[stream], nil
}

// rest closes a sink that is not used.
func (o *outlet) rest() {
	o.mu.Lock()
	defer o.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), dropTime)
	defer cancel()
	o.end(ctx) //nolint:errcheck // all that it has written is durable
}

func (o *outlet) end(ctx context.Context) error {
	if o.sink == nil {
		return nil
	}
	err := o.sink.Close(ctx)
	o.sink = nil
	return err
}

func (o *outlets) close(ctx context.Context) error {
	o.mu.Lock()
	o.closed = true
	open := o.open
	o.open = nil
	o.mu.Unlock()
	var errs []error
	for _, to := range open {
		to.mu.Lock()
		errs = append(errs, to.end(ctx))
		to.mu.Unlock()
	}
	return errors.Join(errs...)
}
