package kafka

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/messaging/positions"
)

const backoff = 20 * time.Millisecond

// An identity is a transactional id. Two processes must not have the same one, and one that is killed and comes back should have its old one,
// because it then ends what it left open without waiting for the broker's timeout.
type identity struct {
	name string
	file *os.File // locked as long as the id is in use; nil where none is kept
}

// identify takes the id from instance_id, or from a file in the state folder that nobody else holds, or draws one.
func identify(o messaging.Options, group, topic, instance string) (*identity, error) {
	prefix := group + "/" + topic + "/"
	if instance != "" {
		return &identity{name: prefix + instance}, nil
	}
	if o.StateDir == "" {
		return &identity{name: prefix + rand.Text()}, nil
	}
	dir := filepath.Join(o.StateDir, "kafka")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	path := filepath.Join(dir, positions.FileName(o.Name+" "+topic, group)+".id")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil { // another process on the same folder
		return &identity{name: prefix + rand.Text()}, f.Close()
	}
	id := &identity{file: f}
	if id.name, err = id.read(); err != nil {
		return nil, errors.Join(fmt.Errorf("kafka: %s: %w", path, err), f.Close())
	}
	id.name = prefix + id.name
	return id, nil
}

// read returns what the file holds, or fills it.
func (i *identity) read() (string, error) {
	text, err := io.ReadAll(io.LimitReader(i.file, 100))
	if err != nil {
		return "", err
	}
	if name := strings.TrimSpace(string(text)); len(name) >= 16 {
		return name, nil
	}
	name := rand.Text()
	if err := i.file.Truncate(0); err != nil {
		return "", err
	}
	_, err = i.file.WriteAt([]byte(name), 0)
	return name, err
}

func (i *identity) release() {
	if i.file != nil {
		i.file.Close() // and with it the lock
	}
}
