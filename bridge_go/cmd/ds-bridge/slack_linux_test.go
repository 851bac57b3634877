package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// asBridge has this very binary begin as a bridge does, and say what came of it.
const asBridge = "DS_TEST_AS_BRIDGE"

func TestMain(m *testing.M) {
	if os.Getenv(asBridge) == "" {
		os.Exit(m.Run())
	}
	if os.Getenv(anew) == "" {
		wander()
	}
	sleepLonger()
	slack, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	var death int32
	_ = unix.Prctl(unix.PR_GET_PDEATHSIG, uintptr(unsafe.Pointer(&death)), 0, 0, 0)
	fmt.Println(slack, err, os.Getpid(), syscall.Signal(death), os.Args[1:])
}

// wander gives main every occasion to go on in another thread than the first, as a busy machine does.
func wander() {
	for range 200 {
		busy := make(chan struct{})
		go func() {
			for range 100_000 {
			}
			close(busy)
		}()
		<-busy
	}
}

func TestABridgeBeginsAnewWithMoreSlackAsTheSameProcessAndStillEndsWithItsParent(t *testing.T) {
	c := exec.Command(os.Args[0], "run", "--program", "p.yaml")
	c.Env = append(os.Environ(), asBridge+"=1")
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	runtime.LockOSThread() // it is the end of this thread that the signal tells of
	defer runtime.UnlockOSThread()
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("%d <nil> %d terminated [run --program p.yaml]", wakeSlack, c.Process.Pid)
	if got := strings.TrimSpace(string(out)); got != want {
		t.Errorf("said %q, want %q", got, want)
	}
}

func TestOneWhoseSlackSomebodyHasSetGoesOnAsItIs(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil {
		t.Skip(err)
	}
	defer func() { _ = unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(before), 0, 0, 0) }()
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, usualSlack+1, 0, 0, 0)
	runtime.LockOSThread() // which sleepLonger takes back
	sleepLonger()          // or this test would begin anew for ever
}
