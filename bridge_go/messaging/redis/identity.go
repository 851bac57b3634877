package redis

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/messaging/positions"
)

// An identity is this process's name as a consumer. Its file in the state folder makes a process that begins again the same
// consumer; the lock on the file proves that the one before is gone. A second process, or one without a state
// folder, has a name that nobody had before.
type identity struct {
	name string
	held *os.File // nil for a name of the moment
}

func identify(o messaging.Options) (*identity, error) {
	drawn := &identity{name: host() + "-" + random()}
	if o.StateDir == "" {
		return drawn, nil
	}
	path := filepath.Join(o.StateDir, "redis", positions.FileName(o.Name)+".consumer")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return drawn, nil
	}
	drawn.held = f
	return drawn, drawn.recall(path)
}

// recall takes the name that the file holds, or writes this one into it. One that was torn by a crash is as none.
func (i *identity) recall(path string) error {
	known, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if name, whole := strings.CutSuffix(string(known), "\n"); whole && name != "" {
		i.name = name
		return nil
	}
	if err := i.held.Truncate(0); err != nil {
		return err
	}
	if _, err := i.held.WriteAt([]byte(i.name+"\n"), 0); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func (i *identity) release() error {
	if i.held == nil {
		return nil
	}
	return i.held.Close()
}

func host() string {
	name, err := os.Hostname()
	if err != nil {
		return "bridge"
	}
	return name
}

func random() string {
	var b [6]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
