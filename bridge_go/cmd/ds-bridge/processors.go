package main

import (
	"os"
	"runtime"
)

// takeShare leaves processors to the workers. The bridge costs at most half of what Python does, so a third of a machine is
// enough for it; more of them only wake each other: with one of two a stream costs it a seventh less. A container's own
// limit, and GOMAXPROCS in the environment, stand.
func takeShare() {
	n := runtime.NumCPU()
	if os.Getenv("GOMAXPROCS") != "" || runtime.GOMAXPROCS(0) < n {
		return
	}
	runtime.GOMAXPROCS(share(n))
}

// share is a third, rounded up.
func share(processors int) int { return (processors + 2) / 3 }
