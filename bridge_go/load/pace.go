package load

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// A ticket is a request that is due. calm: somebody was free to send it, so that it is the sender's fault if it is late.
type ticket struct {
	due  time.Time
	calm bool
}

// A counter gives tickets to clients: to the one that was free last, so that no more connections are used than are needed. Tickets that
// nobody is free for wait in line, and their latency tells.
type counter struct {
	mu     sync.Mutex
	free   []chan ticket
	line   []ticket
	late   []time.Duration // of tickets that nobody was free for: how late they were given out, which is no client's doing
	unsent int64           // for which the line had no room
}

func (c *counter) give(due, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.free); n > 0 {
		c.free[n-1] <- ticket{due, true} // it has room for one
		c.free = c.free[:n-1]
		return
	}
	c.late = append(c.late, now.Sub(due))
	if len(c.line) == waiting {
		c.unsent++
		return
	}
	c.line = append(c.line, ticket{due, false})
}

// left is what the counter itself knows when all clients have ended: its lateness, and how many requests nobody has sent.
func (c *counter) left() (late []time.Duration, unsent int64) {
	return c.late, c.unsent + int64(len(c.line))
}

// take is for a client that is free: a ticket from the line, or else the one that will be put into its own channel.
func (c *counter) take(own chan ticket) (ticket, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.line) > 0 {
		t := c.line[0]
		c.line = c.line[1:]
		return t, true
	}
	c.free = append(c.free, own)
	return ticket{}, false
}

// schedule gives out tickets when they are due, at times that are independent of each other, as those of many people are (a Poisson
// process). It sleeps in the kernel on a thread of its own: the runtime's timers may be a millisecond late.
func schedule(to *counter, rate float64, seed uint64, over <-chan struct{}) {
	runtime.LockOSThread()
	random := rand.New(rand.NewPCG(seed, 0))
	due := time.Now()
	for {
		due = due.Add(time.Duration(random.ExpFloat64() / rate * float64(time.Second)))
		if !sleepUntil(due, over) {
			return
		}
		to.give(due, time.Now())
	}
}

// sleepUntil is false when it is over before.
func sleepUntil(due time.Time, over <-chan struct{}) bool {
	const look = 50 * time.Millisecond
	for {
		select {
		case <-over:
			return false
		default:
		}
		left := time.Until(due)
		if left <= 0 {
			return true
		}
		at := syscall.NsecToTimespec(int64(min(left, look)))
		_ = syscall.Nanosleep(&at, nil)
	}
}
