package main

import "os"

// ballast is never touched, so it takes addresses and no memory. The collector runs when the heap has doubled: without it, after every four
// or five megabytes, since little of what a bridge makes lives on. Requests over HTTP leave 5 kB each, and so it ran thirty times a second,
// for a tenth of what they cost; with it the bridge takes up to 16 MiB more and collects a quarter as often. GOGC in the environment stands.
//
//lint:ignore U1000 it is held, and never read
var ballast []byte

const ballastSize = 16 << 20

func leaveGarbage() {
	if os.Getenv("GOGC") == "" {
		ballast = make([]byte, ballastSize)
	}
}
