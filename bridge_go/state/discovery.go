package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// A Discovery is the content of bridge.json: where a running bridge listens, and where its token is.
type Discovery struct {
	PID       int    `json:"pid"`
	Wire      string `json:"wire"`
	TokenFile string `json:"token_file"`
	HTTP      string `json:"http,omitempty"`
	GRPC      string `json:"grpc,omitempty"`
	Metrics   string `json:"metrics,omitempty"`
	Version   string `json:"version"`
}

// Announce writes bridge.json, readable by its owner alone. It is called when the bridge is ready, not before.
func (d *Dir) Announce(found Discovery) error {
	data, err := json.MarshalIndent(found, "", "  ")
	if err != nil {
		return err
	}
	return WriteFile(d.Path(discoveryFile), append(data, '\n'), 0o600, false)
}

// Forget removes bridge.json. Nothing there is no error.
func (d *Dir) Forget() error {
	if err := os.Remove(d.Path(discoveryFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Find reads the discovery file of the folder at path without taking its lock. fs.ErrNotExist says that no bridge is ready.
func Find(path string) (Discovery, error) {
	var found Discovery
	data, err := os.ReadFile(filepath.Join(path, discoveryFile))
	if err != nil {
		return found, err
	}
	if err := json.Unmarshal(data, &found); err != nil {
		return found, fmt.Errorf("%s: %w", filepath.Join(path, discoveryFile), err)
	}
	return found, nil
}

const discoveryFile = "bridge.json"
