//go:build faults

package main

import (
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"ds-runner.dev/ds-runner/bridge_go/steps"
)

// A bridge built for tests has one verb more: `ds-bridge steps` prints where DS_STEP can end it, a name a line. And it takes a file
// that may not grow any more (RLIMIT_FSIZE) as what the test means by it, a full disk: by default that is a signal which ends it.
func init() {
	signal.Ignore(syscall.SIGXFSZ)
	if slices.Equal(os.Args[1:], []string{"steps"}) {
		fmt.Println(strings.Join(steps.Names(), "\n"))
		os.Exit(0)
	}
}
