// Package positions keeps readers' positions in small files, for connectors whose system keeps none.
package positions

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"ds-runner.dev/ds-runner/bridge_go/state"
)

// A Store is a folder with one file for each topic and group. A file is replaced as a whole, so that a process killed at any
// moment leaves the old position or the new one. With Sync a position survives a power failure, too.
type Store struct {
	Dir  string
	Sync bool
}

// Load fills v with what was saved, and tells whether there was anything. A file that cannot be read is an error: to start
// over in silence would be to score everything again.
func (s Store) Load(topic, group string, v any) (found bool, err error) {
	path := s.Path(topic, group)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return false, fmt.Errorf("position file %s is damaged: %w. Remove it to read %s from the start", path, err, topic)
	}
	return true, nil
}

// Save replaces what is kept.
func (s Store) Save(topic, group string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	path := s.Path(topic, group)
	err = state.WriteFile(path, data, 0o600, s.Sync)
	if errors.Is(err, fs.ErrNotExist) { // the folder, on first use
		if err = os.MkdirAll(s.Dir, 0o700); err == nil {
			err = state.WriteFile(path, data, 0o600, s.Sync)
		}
	}
	return err
}

// Path is the file of a topic and group: a readable name, and a hash that keeps apart what the readable part does not.
func (s Store) Path(topic, group string) string {
	return filepath.Join(s.Dir, FileName(topic, group)+".json")
}

// FileName makes one file name of some names.
func FileName(names ...string) string {
	joined := strings.Join(names, "\x00")
	sum := sha256.Sum256([]byte(joined))
	readable := strings.Map(plain, strings.Join(names, "@"))
	if len(readable) > 100 {
		readable = readable[len(readable)-100:]
	}
	return fmt.Sprintf("%s-%x", strings.TrimLeft(readable, ".-"), sum[:6])
}

func plain(r rune) rune {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '-', r == '@':
		return r
	}
	return '_'
}

// Readers makes sure that a group of a topic has one reader at a time in this process.
type Readers struct {
	mu   sync.Mutex
	open map[[2]string]bool
}

// Join takes the group, and tells whether it was free. The empty group always is.
func (r *Readers) Join(topic, group string) bool {
	if group == "" {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	key := [2]string{topic, group}
	if r.open[key] {
		return false
	}
	if r.open == nil {
		r.open = map[[2]string]bool{}
	}
	r.open[key] = true
	return true
}

// Leave gives it back.
func (r *Readers) Leave(topic, group string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.open, [2]string{topic, group})
}
