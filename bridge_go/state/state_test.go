package state

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func open(t *testing.T, path string) *Dir {
	t.Helper()
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// TestMain lets the test binary play the other process: it holds the lock of the folder that it is given, until killed.
func TestMain(m *testing.M) {
	if path := os.Getenv("STATE_TEST_HOLD"); path != "" {
		d, err := Open(path)
		if err == nil {
			err = d.Announce(Discovery{PID: os.Getpid(), Wire: "tcp://127.0.0.1:1"})
		}
		fmt.Println(err)
		select {}
	}
	os.Exit(m.Run())
}

func holdInAnotherProcess(t *testing.T, path string) *exec.Cmd {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), "STATE_TEST_HOLD="+path)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Process.Kill(); c.Wait() })
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "<nil>\n" {
		t.Fatalf("holder said %q, %v", line, err)
	}
	return c
}

func TestASecondProcessIsToldWhoHoldsTheFolder(t *testing.T) {
	path := t.TempDir()
	c := holdInAnotherProcess(t, path)
	_, err := Open(path)
	var held *HeldError
	if !errors.As(err, &held) || !strings.Contains(err.Error(), fmt.Sprint("process ", c.Process.Pid)) {
		t.Fatalf("got %v", err)
	}
	if _, err := Find(path); err != nil {
		t.Fatalf("a refused second process must leave the first one's discovery alone: %v", err)
	}
}

func TestTheLockOfAKilledProcessIsFreeAndItsDiscoveryForgotten(t *testing.T) {
	path := t.TempDir()
	c := holdInAnotherProcess(t, path)
	c.Process.Kill()
	c.Wait()
	open(t, path)
	if _, err := Find(path); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("a dead bridge is still announced: %v", err)
	}
}

func TestDiscoveryIsThereOnlyWhileAnnounced(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	want := Discovery{PID: 7, Wire: "tcp://127.0.0.1:7400", TokenFile: "/t", HTTP: "127.0.0.1:8080", Version: "1"}
	if err := d.Announce(want); err != nil {
		t.Fatal(err)
	}
	if got, err := Find(path); err != nil || got != want {
		t.Fatalf("got %+v, %v", got, err)
	}
	onlyOwnerReads(t, filepath.Join(path, "bridge.json"))
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Find(path); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("still announced after Close: %v", err)
	}
}

func TestTheTokenIsMadeOnceAndKept(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	first, file, err := d.Token()
	if err != nil || len(first) != 64 {
		t.Fatalf("%q, %v", first, err)
	}
	onlyOwnerReads(t, file)
	if again, _, err := d.Token(); err != nil || again != first {
		t.Fatalf("the token changed: %v", err)
	}
}

func TestAShortTokenIsRefusedWithoutShowingIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t")
	os.WriteFile(path, []byte(" hunter2 \n"), 0o600)
	_, err := ReadToken(path)
	if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "at least 16") {
		t.Fatalf("got %v", err)
	}
}

func TestWriteFileLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x")
	for _, content := range []string{"one", "two"} {
		if err := WriteFile(path, []byte(content), 0o600, true); err != nil {
			t.Fatal(err)
		}
		if got, _ := os.ReadFile(path); string(got) != content {
			t.Fatalf("got %q", got)
		}
	}
	if names, _ := os.ReadDir(dir); len(names) != 1 {
		t.Fatalf("left over: %v", names)
	}
}

func onlyOwnerReads(t *testing.T, path string) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%s: mode %v, %v", path, info.Mode(), err)
	}
}
