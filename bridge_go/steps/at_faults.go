//go:build faults

package steps

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

var (
	wanted string
	left   atomic.Int64 // passes, the last of which is the end
)

func init() {
	name, count, _ := strings.Cut(os.Getenv("DS_STEP"), ":")
	if name == "" {
		return
	}
	n, err := strconv.ParseInt(count, 10, 64)
	if err != nil || n < 1 || !slices.Contains(Names(), name) {
		fmt.Fprintf(os.Stderr, "DS_STEP=%s is not NAME:N with N from 1 on and NAME one of: %s\n",
			os.Getenv("DS_STEP"), strings.Join(Names(), ", "))
		os.Exit(2)
	}
	wanted = name
	left.Store(n)
}

// At says that the process has come to a step, and ends it when that is the one wanted, for the n-th time.
func At(name string) {
	if name == wanted && left.Add(-1) == 0 {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // the signal is on its way: nothing more is done here
	}
}

// Wanted says whether the process is to end at a step: for code that has to get there first.
func Wanted(name string) bool { return name == wanted }
