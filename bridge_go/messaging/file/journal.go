package file

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"ds-runner.dev/ds-runner/bridge_go/state"
)

// A journal remembers the writes to one output: an entry goes in before the write that it speaks of, so that after a crash the
// last entry tells which bytes of the output may be a part only.
//
// An entry on disk is: u32 checksum of what follows, u32 number of IDs, u64 begin, u64 end, u32 checksum of the bytes from begin to
// end, and 16 bytes of hash an ID. A torn last entry is one whose write never began.
type journal struct {
	path   string
	file   *os.File
	sync   bool
	window int
	stale  bool // the file holds an entry that was taken back: it must be rewritten before another goes in
	last   entry
	ids    map[id]struct{}
	queue  []id // the same, oldest first
}

type id [16]byte

type entry struct {
	begin, end uint64
	sum        uint32
	ids        []id
}

const entryHead = 4 + 4 + 8 + 8 + 4

func hashID(text string) id {
	sum := sha256.Sum256([]byte(text))
	return id(sum[:16])
}

// openJournal loads what an earlier sink has left. found is false where there was nothing.
func openJournal(path string, window int, sync bool) (j *journal, found bool, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, false, err
	}
	data, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		return nil, false, err
	}
	j = &journal{path: path, sync: sync, window: window, ids: map[id]struct{}{}}
	for {
		e, rest, ok := decodeEntry(data)
		if !ok {
			break
		}
		j.remember(e)
		data, found = rest, true
	}
	return j, found, j.rewrite()
}

// has tells whether an output with this ID is stored.
func (j *journal) has(h id) bool {
	_, known := j.ids[h]
	return known
}

// note puts an entry in. It is as durable as sync says when note returns.
func (j *journal) note(e entry) error {
	if j.stale {
		if err := j.rewrite(); err != nil {
			return err
		}
	}
	_, err := j.file.Write(e.encode())
	if err == nil && j.sync {
		err = j.file.Sync()
	}
	if err != nil {
		j.stale = true // a part of the entry may stand there
		return err
	}
	j.remember(e)
	if len(j.queue) >= 2*j.window {
		return j.rewrite()
	}
	return nil
}

// takeBack forgets the last entry: its write is not in the output. If the disk is full this succeeds in memory only, and the
// file follows before the next entry; a process that dies until then finds a last entry whose bytes are not in the output.
func (j *journal) takeBack() error {
	for _, h := range j.last.ids {
		delete(j.ids, h)
	}
	j.queue = j.queue[:len(j.queue)-len(j.last.ids)]
	j.last = entry{begin: j.last.begin, end: j.last.begin, sum: crc32.ChecksumIEEE(nil)}
	return j.rewrite()
}

// clear forgets all: the output is another one.
func (j *journal) clear() error {
	j.ids, j.queue, j.last = map[id]struct{}{}, nil, entry{}
	return j.rewrite()
}

func (j *journal) remember(e entry) {
	j.last = e
	for _, h := range e.ids {
		j.ids[h] = struct{}{}
	}
	j.queue = append(j.queue, e.ids...)
}

// rewrite replaces the file by the entries that are still of use: the IDs of the window, and the last entry.
func (j *journal) rewrite() error {
	j.stale = true
	older := j.trim()
	var out bytes.Buffer
	if len(older) > 0 {
		out.Write(entry{begin: j.last.begin, end: j.last.begin, ids: older}.encode())
	}
	if j.last.end > 0 {
		out.Write(j.last.encode())
	}
	if err := state.WriteFile(j.path, out.Bytes(), 0o600, j.sync); err != nil {
		return err
	}
	file, err := os.OpenFile(j.path, os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	if j.file != nil {
		j.file.Close()
	}
	j.file, j.stale = file, false
	return nil
}

// trim forgets the IDs that are older than the window, and returns those before the last entry.
func (j *journal) trim() []id {
	older := j.queue[:len(j.queue)-len(j.last.ids)]
	if over := len(older) - j.window; over > 0 {
		for _, h := range older[:over] {
			delete(j.ids, h)
		}
		j.queue = append([]id(nil), j.queue[over:]...)
		older = j.queue[:len(j.queue)-len(j.last.ids)]
	}
	return older
}

func (j *journal) close() error { return j.file.Close() }

func (e entry) encode() []byte {
	out := make([]byte, entryHead, entryHead+16*len(e.ids))
	binary.BigEndian.PutUint32(out[4:], uint32(len(e.ids)))
	binary.BigEndian.PutUint64(out[8:], e.begin)
	binary.BigEndian.PutUint64(out[16:], e.end)
	binary.BigEndian.PutUint32(out[24:], e.sum)
	for _, h := range e.ids {
		out = append(out, h[:]...)
	}
	binary.BigEndian.PutUint32(out, crc32.ChecksumIEEE(out[4:]))
	return out
}

func decodeEntry(data []byte) (e entry, rest []byte, ok bool) {
	if len(data) < entryHead {
		return e, nil, false
	}
	n := uint64(binary.BigEndian.Uint32(data[4:]))
	if uint64(len(data)-entryHead) < n*16 {
		return e, nil, false
	}
	data, rest = data[:entryHead+n*16], data[entryHead+n*16:]
	if crc32.ChecksumIEEE(data[4:]) != binary.BigEndian.Uint32(data) {
		return e, nil, false
	}
	e.begin, e.end = binary.BigEndian.Uint64(data[8:]), binary.BigEndian.Uint64(data[16:])
	e.sum = binary.BigEndian.Uint32(data[24:])
	for tail := data[entryHead:]; len(tail) > 0; tail = tail[16:] {
		e.ids = append(e.ids, id(tail[:16]))
	}
	return e, rest, true
}

// sumOf is the checksum of the bytes from begin to end of an output, ok only where it has them all.
func sumOf(f *os.File, begin, end uint64) (sum uint32, ok bool) {
	h := crc32.NewIEEE()
	n, err := io.Copy(h, io.NewSectionReader(f, int64(begin), int64(end-begin)))
	return h.Sum32(), err == nil && uint64(n) == end-begin
}
