//go:build faults

package steps

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// TestMain lets the test binary play the process that ends.
func TestMain(m *testing.M) {
	if os.Getenv("STEPS_TEST_PLAY") != "" {
		for pass := range 3 {
			At(AfterSend)
			At(AfterPoll)
			fmt.Println("passed", pass+1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func play(step string) (string, error) {
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), "STEPS_TEST_PLAY=1", "DS_STEP="+step)
	out, err := c.CombinedOutput()
	return string(out), err
}

func TestAProcessEndsAtTheNthPassOfItsStepAndSaysNothing(t *testing.T) {
	out, err := play("after-poll:3")
	var ended *exec.ExitError
	if !errors.As(err, &ended) || ended.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("ended by %v, want SIGKILL", err)
	}
	if out != "passed 1\npassed 2\n" {
		t.Errorf("said %q", out)
	}
}

func TestAProcessThatNeverComesToItsStepGoesOn(t *testing.T) {
	for _, step := range []string{"", "after-poll:4", "draining:1"} {
		if out, err := play(step); err != nil || !strings.HasSuffix(out, "passed 3\n") {
			t.Errorf("DS_STEP=%s: %v, said %q", step, err, out)
		}
	}
}

func TestAStepThatIsNoneIsRefused(t *testing.T) {
	for _, step := range []string{"after-pol:1", "after-poll", "after-poll:0", "after-poll:x"} {
		out, err := play(step)
		var ended *exec.ExitError
		if !errors.As(err, &ended) || ended.ExitCode() != 2 || !strings.Contains(out, "after-poll, after-send") {
			t.Errorf("DS_STEP=%s: %v, said %q", step, err, out)
		}
	}
}
