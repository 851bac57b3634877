package load

import (
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
)

// A ticket is a request that is due. calm: somebody was free to send it, so that it is the sender's fault if it is late.
type ticket struct {
	due  time.Time
	calm bool
}

// schedule gives out tickets when they are due, at times that are independent of each other, as those of many people are (a Poisson
// process). It sleeps in the kernel on a thread of its own: the runtime's timers may be a millisecond late. A full channel means that
// nobody is left to send: then the times go by, and latency tells.
func schedule(to chan<- ticket, free *atomic.Int64, rate float64, seed uint64, over <-chan struct{}) {
	runtime.LockOSThread()
	random := rand.New(rand.NewPCG(seed, 0))
	due := time.Now()
	for {
		due = due.Add(time.Duration(random.ExpFloat64() / rate * float64(time.Second)))
		if !sleepUntil(due, over) {
			return
		}
		select {
		case <-over:
			return
		case to <- ticket{due, free.Load() > 0}:
		}
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
