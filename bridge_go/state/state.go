// Package state is the folder in which one bridge keeps what outlives it.
//
//	lock         held by flock as long as the bridge lives; its content is the holder's pid, for the message of a second one
//	bridge.json  how a second terminal finds the bridge; there only while the bridge is ready
//	token        the secret that both ends of the wire know, unless the user brings one
//	embedded/    the embedded broker's store; positions/ and files/ hold positions and journals
//
// One embedded store belongs to one process: whoever opens the folder holds the lock first.
package state

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// A Dir is a state folder whose lock this process holds.
type Dir struct {
	path string
	lock *os.File
}

// A HeldError says that another process has the folder.
type HeldError struct {
	Path string
	PID  string
}

func (e *HeldError) Error() string {
	holder := "another process"
	if e.PID != "" {
		holder = "process " + e.PID
	}
	return fmt.Sprintf("%s is in use by %s. Stop it, or choose another folder with --state", e.Path, holder)
}

// Open makes the folder if need be and takes its lock. It fails with a [HeldError] at once when another process has it; a
// lock whose holder was killed is free.
func Open(path string) (*Dir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(path, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, &HeldError{Path: path, PID: holder(f)}
		}
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	d := &Dir{path: path, lock: f}
	// What a killed bridge left behind would send a second terminal to nobody, or to somebody else's port.
	if err := d.Forget(); err != nil {
		f.Close()
		return nil, err
	}
	return d, writePID(f)
}

// Path joins names to the folder's own.
func (d *Dir) Path(names ...string) string {
	return filepath.Join(append([]string{d.path}, names...)...)
}

// Close takes back the discovery file and releases the lock. The lock file stays: removing it would let two processes
// hold locks on two files of the same name.
func (d *Dir) Close() error {
	return errors.Join(d.Forget(), d.lock.Close())
}

func holder(f *os.File) string {
	buf := make([]byte, 20)
	n, _ := f.ReadAt(buf, 0)
	return strings.TrimSpace(string(buf[:n]))
}

func writePID(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	return err
}
