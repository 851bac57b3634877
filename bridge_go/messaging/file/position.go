package file

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// A place is where a record begins: its number, and for a quick return the byte of the (unpacked) file and the line.
type place struct{ Record, Byte, Line int64 }

// A position is what is kept for a group of a file.
type position struct {
	Topic, Group string
	Next         int64 // the first record that is not settled
	At           place // at or before it
	Head         fingerprint
	Generation   int // how often the group was moved back
}

// headBytes is how much of a file its fingerprint covers. The end may grow.
const headBytes = 64 << 10

// A fingerprint recognises a file by its beginning.
type fingerprint struct {
	Bytes int64
	Sum   string
}

func fingerprintOf(path string, bytes int64) (fingerprint, error) {
	f, err := os.Open(path)
	if err != nil {
		return fingerprint{}, err
	}
	defer f.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, io.LimitReader(f, bytes))
	return fingerprint{Bytes: n, Sum: hex.EncodeToString(sum.Sum(nil))}, err
}

func inode(info fs.FileInfo) uint64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(s.Ino)
	}
	return 0
}
