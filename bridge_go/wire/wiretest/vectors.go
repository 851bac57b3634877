// Package wiretest reads the shared test data of tests/vectors. It has an encoder of its own, so that a test never holds
// the codec of package wire against itself.
package wiretest

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// A Frame is an entry of the files under frames/.
type Frame struct {
	Name      string
	Hex       string
	Pieces    []Piece
	Frame     Form
	Type      string
	Skipped   uint64
	Canonical bool
	Minor     uint8
	Codes     []uint8
	At, Why   string
}

// Body is the frame's bytes without its length.
func (f *Frame) Body(t testing.TB) []byte {
	if f.Pieces == nil {
		return Hex(t, f.Hex)
	}
	var b []byte
	for _, p := range f.Pieces {
		b = append(b, bytes.Repeat(Hex(t, p.Repeat), p.N)...)
	}
	return b
}

// Valid and Invalid are the frames of all minor versions.
func Valid(t testing.TB) []Frame { return loadFrames(t, "frames/valid.json", "frames/valid-1.1.json") }
func Invalid(t testing.TB) []Frame {
	return loadFrames(t, "frames/invalid.json", "frames/invalid-1.1.json")
}

func loadFrames(t testing.TB, files ...string) (all []Frame) {
	t.Helper()
	for _, file := range files {
		var list []Frame
		Load(t, file, &list)
		all = append(all, list...)
	}
	return all
}

// A Piece is a hex string, or a repeated one.
type Piece struct {
	Repeat string
	N      int
}

func (p *Piece) UnmarshalJSON(data []byte) error {
	if data[0] == '"' {
		p.N = 1
		return json.Unmarshal(data, &p.Repeat)
	}
	type plain Piece
	return json.Unmarshal(data, (*plain)(p))
}

// Hex decodes hex bytes.
func Hex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Load reads a file under tests/vectors. Numbers keep their text, so that 1 stays an int and 1.0 a float.
func Load(t testing.TB, name string, into any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(Root(), name))
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// Root is the folder tests/vectors.
func Root() string {
	_, file, _, ok := runtime.Caller(0)
	if !ok {
		panic("wiretest: no source path")
	}
	return filepath.Join(filepath.Dir(file), "..", "..", "..", "tests", "vectors")
}
