package session

import (
	"fmt"

	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// leases are the unanswered batches of a connection, oldest first, and the window that they fill.
type leases struct {
	line   []lease
	events uint64 // unanswered
	bytes  uint64
	window wire.Ready // the largest granted so far: a smaller one may cross a batch that is under way

	anyOrder bool // the worker scores batches beside each other
}

// A lease is one batch of which the events before next are answered.
type lease struct {
	*wire.Batch
	next uint64
}

func (l lease) end() uint64 { return uint64(len(l.Payloads)) }

func (l *leases) empty() bool { return len(l.line) == 0 }

func (l *leases) grant(w *wire.Ready) {
	l.window.Events = max(l.window.Events, w.Events)
	l.window.Bytes = max(l.window.Bytes, w.Bytes)
}

// open adds a batch. It guards what the dispatcher has already counted: the other side closes a bridge that overruns.
func (l *leases) open(b *wire.Batch) error {
	for _, other := range l.line {
		if other.Lease == b.Lease {
			return fmt.Errorf("session: batch %d is leased already", b.Batch)
		}
	}
	events, bytes := uint64(len(b.Payloads)), uint64(b.Bytes())
	alone := events == 1 && l.empty()
	if l.events+events > l.window.Events || l.bytes+bytes > l.window.Bytes && !alone {
		return fmt.Errorf("session: batch %d of %d events, %d bytes overruns the window of %d events, %d bytes",
			b.Batch, events, bytes, l.window.Events, l.window.Bytes)
	}
	l.line = append(l.line, lease{Batch: b})
	l.events += events
	l.bytes += bytes
	return nil
}

// settle takes a result. A lease that is open is answered in turn, unless in any order, and without gaps, or the worker's bookkeeping cannot be
// trusted with the rest; found is false for one that is not open.
func (l *leases) settle(p part) (last, found bool, err error) {
	at, found, err := l.turn(p.lease, p.frame+".batch")
	if !found || err != nil {
		return false, found, err
	}
	head := &l.line[at]
	switch {
	case p.first != head.next:
		return false, true, &wire.Error{Code: wire.ByeOrder, At: p.frame + ".first", Why: fmt.Sprintf("%d, the next is %d", p.first, head.next)}
	case p.first+p.count > head.end():
		return false, true, &wire.Error{Code: wire.ByeOrder, At: p.frame + ".count",
			Why: fmt.Sprintf("events up to %d of a batch of %d", p.first+p.count, head.end())}
	}
	l.answered(head, p.count)
	return l.retire(at), true, nil
}

// A part is what a RESULT or an ANSWERS says of its batch.
type part struct {
	frame        string
	lease        wire.Lease
	first, count uint64
}

func (l *leases) giveBack(r *wire.Return) (found bool, err error) {
	at, found, err := l.turn(r.Lease, "RETURN.batch")
	if !found || err != nil {
		return found, err
	}
	head := &l.line[at]
	l.answered(head, head.end()-head.next)
	l.retire(at)
	return true, nil
}

// turn finds an open lease in the line, which must be the oldest where answers come in order.
func (l *leases) turn(name wire.Lease, at string) (place int, found bool, err error) {
	for i := range l.line {
		if l.line[i].Lease != name {
			continue
		}
		if i > 0 && !l.anyOrder {
			return 0, true, &wire.Error{Code: wire.ByeOrder, At: at,
				Why: fmt.Sprintf("%d is answered before %d", name.Batch, l.line[0].Lease.Batch)}
		}
		return i, true, nil
	}
	return 0, false, nil
}

func (l *leases) answered(head *lease, n uint64) {
	for _, p := range head.Payloads[head.next : head.next+n] {
		l.bytes -= uint64(len(p))
	}
	l.events -= n
	head.next += n
}

// retire takes the lease at this place off if all of it is answered.
func (l *leases) retire(at int) bool {
	if head := l.line[at]; head.next < head.end() {
		return false
	}
	copy(l.line[1:at+1], l.line[:at])
	l.line[0] = lease{} // the payloads are not kept alive by the line
	l.line = l.line[1:]
	return true
}

func (l *leases) all() []wire.Lease {
	names := make([]wire.Lease, 0, len(l.line))
	for _, open := range l.line {
		names = append(names, open.Lease)
	}
	l.line = nil
	return names
}
