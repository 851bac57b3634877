package state

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// Token returns the folder's token and the file that holds it, and makes both on first use: 32 random bytes in hex,
// readable by their owner alone.
func (d *Dir) Token() (token, path string, err error) {
	path = d.Path("token")
	token, err = ReadToken(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return token, path, err
	}
	raw := make([]byte, 32)
	rand.Read(raw)
	token = hex.EncodeToString(raw)
	return token, path, WriteFile(path, []byte(token+"\n"), 0o600, false)
}

// ReadToken reads a token file: its content without surrounding white space, at least 16 bytes. The errors never show it.
func ReadToken(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	token, err := wire.ParseToken(data)
	if err != nil {
		return "", fmt.Errorf("token file %s: %w", path, err)
	}
	return string(token), nil
}
