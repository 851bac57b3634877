package folder

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"os"
	"path"
)

// Names below the folder that are no objects.
const (
	ours  = ".ds-objects"
	parts = ours + "/parts" // objects that are being written
	notes = ours + "/notes" // what is known of those that were
	lock  = ours + "/lock"
)

// A note is what was true of a file when we wrote it.
type note struct {
	Key    string `json:"key"`
	Size   int64  `json:"size"`
	Time   int64  `json:"time"` // when the file was last written to, in nanoseconds
	SHA256 string `json:"sha256"`
}

// of says whether a note is still true of a file.
func (n note) of(at fs.FileInfo) bool {
	return n.Size == at.Size() && n.Time == at.ModTime().UnixNano()
}

// noteOf is where the note of a key is kept: under its hash, for keys may be longer than names.
func noteOf(key string) string {
	sum := sha256.Sum256([]byte(key))
	return path.Join(notes, hex.EncodeToString(sum[:]))
}

// known reads the note of a key. One that cannot be read is none.
func known(root *os.Root, key string) (note, bool) {
	data, err := root.ReadFile(noteOf(key))
	if err != nil {
		return note{}, false
	}
	var n note
	return n, json.Unmarshal(data, &n) == nil && n.Key == key
}
