package main

import (
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// wakeSlack is by how much the kernel may wake a thread later than it asked, in nanoseconds; every thread begins with usualSlack.
const (
	usualSlack = 50_000
	wakeSlack  = 250_000
)

// The first thread is kept for main until sleepLonger has run: what a parent asked for by PR_SET_PDEATHSIG, to end with it, belongs to
// that thread, and a process that another thread begins anew has lost it.
func init() { runtime.LockOSThread() }

// anew is in the environment of a process that has begun anew: where the slack does not survive that, it does so once all the same.
const anew = "_DS_BRIDGE_ANEW"

// sleepLonger lets the kernel wake this process's threads a quarter of a millisecond late. Go's sysmon thread looks around every 20 us
// while anything runs, with the usual slack 14,000 times a second, which was a tenth of what a bridge costs under load; nothing turns it off, but with
// this slack it wakes 4,000 times. All else that waits by the clock here waits for half a millisecond or more.
//
// sysmon runs before main does, and a thread's slack is its own: only those that are started later inherit it. So this process begins
// anew, in place, as what it is; the slack survives that. Where that cannot be it goes on as it is.
//
// It is called once, by main.
func sleepLonger() {
	defer runtime.UnlockOSThread()
	if os.Getenv(anew) != "" {
		return
	}
	now, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil || now != usualSlack {
		return // somebody else has decided
	}
	self, err := os.Executable()
	if err != nil {
		return
	}
	if unix.Prctl(unix.PR_SET_TIMERSLACK, wakeSlack, 0, 0, 0) == nil {
		_ = syscall.Exec(self, os.Args, append(os.Environ(), anew+"=1"))
	}
}
