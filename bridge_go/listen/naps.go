package listen

import (
	"sync"
	"time"
)

// Behind each body net/http reads one byte more, to notice a client that leaves, and interrupts that read when the answer is ready: a
// system call that finds nothing, a deadline told to the runtime to wake the reader, and another to go on. Most answers are ready
// within milliseconds. So a read of one byte sleeps first, until it is interrupted or the next bell rings, and only then asks the
// connection. A client that leaves is noticed as much later; nobody else reads single bytes.

// bellEvery is how long a read sleeps at most.
const bellEvery = 50 * time.Millisecond

// A bell wakes all who sleep at once. It costs nothing while nobody does.
type bell struct {
	every time.Duration
	mu    sync.Mutex
	rings chan struct{} // closed when it rings; nil while nobody waits for it
}

var bells = bell{every: bellEvery} // of all connections

func (b *bell) next() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rings == nil {
		b.rings = make(chan struct{})
		time.AfterFunc(b.every, b.ring)
	}
	return b.rings
}

func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.rings)
	b.rings = nil
}

// A nap is the sleep of the one reader of a connection; its deadline's lock guards it.
type nap struct {
	asleep bool
	roused chan struct{} // one token, for a sleeper that is interrupted
	bell   *bell         // nil for that of all connections
}

// rings is closed when the bell rings next.
func (n *nap) rings() <-chan struct{} {
	if n.bell != nil {
		return n.bell.next()
	}
	return bells.next()
}

// rouse interrupts whoever sleeps; false when nobody does.
func (n *nap) rouse() bool {
	if !n.asleep {
		return false
	}
	n.asleep = false
	n.roused <- struct{}{}
	return true
}

// sleep is called before a read of one byte; false when that was interrupted. An interruption that comes as the bell rings finds the
// sleeper asleep, and is heard here, or awake, and is told to the connection, which is then about to be read.
func (d *deadline) sleep() bool {
	d.mu.Lock()
	if past(d.want) {
		d.mu.Unlock()
		return false
	}
	if d.naps.roused == nil {
		d.naps.roused = make(chan struct{}, 1)
	}
	d.naps.asleep = true
	d.mu.Unlock()
	select {
	case <-d.naps.roused:
		return false
	case <-d.naps.rings():
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.naps.asleep {
		d.naps.asleep = false
		return true
	}
	<-d.naps.roused
	return false
}
