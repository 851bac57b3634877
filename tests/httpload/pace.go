package main

import (
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"
)

// beLight keeps the loader itself from being late. The thread that sleeps until the next request is due keeps one of the runtime's
// processors for as long, with the client that it has just woken in that one's queue: with one more there is always another to take
// it from there. And with a small heap garbage would be collected every few hundred answers, beside the clients.
func beLight() {
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
	debug.SetGCPercent(800)
}

// arrivals are the times of an open loop: independent of each other, as those of many people are (a Poisson process).
type arrivals struct {
	random *rand.Rand
	mean   float64 // nanoseconds from one to the next
}

func newArrivals(rate float64, seed uint64) *arrivals {
	return &arrivals{rand.New(rand.NewPCG(seed, 0)), float64(time.Second) / rate}
}

func (a *arrivals) gap() time.Duration { return time.Duration(a.random.ExpFloat64() * a.mean) }

// schedule gives out tickets when they are due. It sleeps in the kernel on a thread of its own: the timers of the runtime may be
// a millisecond late. A full channel means that nobody is left to send: then the times go by, and latency tells.
func schedule(tickets chan<- time.Time, a *arrivals, over <-chan struct{}) {
	runtime.LockOSThread()
	due := time.Now()
	for {
		due = due.Add(a.gap())
		sleepUntil(due)
		select {
		case <-over:
			return
		case tickets <- due:
		}
	}
}

func sleepUntil(due time.Time) {
	for {
		left := time.Until(due)
		if left <= 0 {
			return
		}
		at := syscall.NsecToTimespec(int64(left))
		_ = syscall.Nanosleep(&at, nil)
	}
}
