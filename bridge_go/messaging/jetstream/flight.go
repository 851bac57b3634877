package jetstream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// Records on their way to a stream at a time. The server holds 10,000 messages or 128 MiB of a stream before it refuses.
const (
	flightEvents = 1024
	flightBytes  = 16 << 20
)

// A flight is one write: what is on its way and what came of it. What it counts is acknowledgements that are awaited.
type flight struct {
	p       *Publisher
	prefix  string // of the subjects that its acknowledgements come to
	count   int    // on their way
	batches int    // of several messages among them
	bytes   int
	size    []int // of each, 0 when it is not on its way, negative for batches
	failed  []messaging.WriteFailure
	stale   *time.Timer
	stopped bool   // something is to be sent again
	dialled uint64 // how often the server had been dialled when it began
	settled func(i int, a ack, err error)
}

func (p *Publisher) flight(n int) *flight {
	p.writes++
	f := &flight{
		p: p, size: make([]int, n), stale: time.NewTimer(p.api.Patience),
		prefix: p.inbox + "." + strconv.Itoa(p.writes) + "-",
	}
	f.dialled = f.dials()
	return f
}

func (f *flight) dials() uint64 { return f.p.api.Conn.Stats().Reconnects }

func (f *flight) end() { f.stale.Stop() }

// reply is where the acknowledgement of number i is to come.
func (f *flight) reply(i int) string { return f.prefix + strconv.Itoa(i) }

// errBehind is said of what was not sent, since something in front of it may have to be sent again.
var errBehind = errors.New("a record in front of it was not stored")

// send publishes the messages of number i when there is room. One of them says where its acknowledgement is to go. Behind one that
// is to be sent again nothing is sent, nor on another connection than what went before: records would overtake each other.
func (f *flight) send(ctx context.Context, i, size int, messages ...*nats.Msg) error {
	batch := len(messages) > 1
	if !f.room(size, batch) {
		if err := f.await(ctx, func() bool { return f.room(size, batch) }); err != nil {
			return err
		}
	}
	if f.stopped || f.dials() != f.dialled {
		f.fail(i, false, errBehind)
		return nil
	}
	for _, m := range messages {
		err := f.p.api.Conn.PublishMsg(m)
		if errors.Is(err, nats.ErrMaxPayload) {
			f.fail(i, true, fmt.Errorf("value, key and headers take %d bytes, the server takes %d: %w", m.Size(), f.p.api.Conn.MaxPayload(), err))
			return nil
		}
		if err != nil {
			return f.p.Explain(err)
		}
	}
	f.count++
	f.bytes += size
	f.size[i] = size
	if batch {
		f.batches++
		f.size[i] = -size
	}
	return nil
}

func (f *flight) room(size int, batch bool) bool {
	return f.count == 0 || f.count < flightEvents && f.bytes+size <= flightBytes && (!batch || f.batches < batchesAtOnce)
}

// await takes acknowledgements until it is enough. None for a while fails all that is on its way.
func (f *flight) await(ctx context.Context, enough func() bool) error {
	for !enough() {
		select {
		case m := <-f.p.acks:
			f.settle(m)
		case <-f.stale.C:
			f.giveUp()
		case <-f.p.api.Closed:
			return messaging.ErrClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (f *flight) settle(m *nats.Msg) {
	number, ours := strings.CutPrefix(m.Subject, f.prefix)
	i, err := strconv.Atoi(number)
	if !ours || err != nil || i < 0 || i >= len(f.size) || f.size[i] == 0 {
		return // of a write that was given up
	}
	f.stale.Reset(f.p.api.Patience)
	f.landed(i)
	a, err := readAck(m)
	f.settled(i, a, err)
}

func (f *flight) landed(i int) {
	size := f.size[i]
	f.size[i] = 0
	f.count--
	if size < 0 {
		size = -size
		f.batches--
	}
	f.bytes -= size
}

func (f *flight) giveUp() {
	for i, size := range f.size {
		if size != 0 {
			f.landed(i)
			f.fail(i, false, f.p.Explain(fmt.Errorf("not acknowledged within %s", f.p.api.Patience)))
		}
	}
	f.stale.Reset(f.p.api.Patience)
}

func (f *flight) fail(i int, permanent bool, err error) {
	f.failed = append(f.failed, messaging.WriteFailure{Index: i, Permanent: permanent, Err: err})
	f.stopped = f.stopped || !permanent
}

// hopeless says that something in it can never be stored.
func (f *flight) hopeless() bool {
	return slices.ContainsFunc(f.failed, func(x messaging.WriteFailure) bool { return x.Permanent })
}

// outcome is what came of all, once nothing is on its way.
func (f *flight) outcome() error {
	if f.failed == nil {
		return nil
	}
	slices.SortFunc(f.failed, func(a, b messaging.WriteFailure) int { return a.Index - b.Index })
	return &messaging.WriteError{Failed: f.failed}
}
