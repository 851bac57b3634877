package failover

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
)

// A journal keeps the settled events of the window in a file of the state folder, so that a restart knows what the other side is going to
// show again. It is a list of entries of one length, each with a checksum, which is read up to the first that is not whole. A later
// entry about an event replaces an earlier one. Without a folder it keeps nothing.
type journal struct {
	path    string
	file    *os.File
	entries int // in the file
	sync    bool
}

const entrySize = 16 + 1 + 2*(4+8) + 8 + 4

func appendEntry(b []byte, e *event) []byte {
	from := len(b)
	b = append(b, e.id[:]...)
	var flags byte
	for s := range e.shown {
		if e.shown[s] {
			flags |= 1 << s
		}
	}
	b = append(b, flags|byte(e.from)<<2)
	for s := range e.place {
		b = binary.BigEndian.AppendUint32(b, uint32(e.place[s].partition))
		b = binary.BigEndian.AppendUint64(b, uint64(e.place[s].offset))
	}
	b = binary.BigEndian.AppendUint64(b, uint64(e.at))
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[from:]))
}

func readEntry(b []byte) (*event, bool) {
	body := b[:entrySize-4]
	if crc32.ChecksumIEEE(body) != binary.BigEndian.Uint32(b[entrySize-4:]) || body[16] > 7 {
		return nil, false
	}
	e := &event{id: id(body[:16]), known: true, state: settled, from: side(body[16] >> 2)}
	for s := range e.shown {
		e.shown[s] = body[16]&(1<<s) != 0
		at := body[17+12*s:]
		e.place[s] = place{int32(binary.BigEndian.Uint32(at)), int64(binary.BigEndian.Uint64(at[4:]))}
	}
	e.at = int64(binary.BigEndian.Uint64(body[41:]))
	return e, e.shown[e.from]
}

// openJournal reads what there is, oldest first, and leaves the file open behind its last whole entry.
func openJournal(path string, sync bool) (*journal, []*event, error) {
	j := &journal{path: path, sync: sync}
	if path == "" {
		return j, nil, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, nil, fmt.Errorf("failover: journal: %w", err)
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("failover: journal: %w", err)
	}
	j.file = file
	events, err := j.load()
	if err != nil {
		file.Close()
		return nil, nil, fmt.Errorf("failover: journal %s: %w", path, err)
	}
	return j, events, nil
}

func (j *journal) load() ([]*event, error) {
	r := bufio.NewReaderSize(j.file, 1<<20)
	var all []*event
	at := map[id][]int{} // of its events in all
	var b [entrySize]byte
	for {
		_, err := io.ReadFull(r, b[:])
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, err
		}
		e, whole := readEntry(b[:])
		if err != nil || !whole {
			break
		}
		j.entries++
		if n := replaces(all, at[e.id], e); n >= 0 {
			all[n] = e
			continue
		}
		at[e.id] = append(at[e.id], len(all))
		all = append(all, e)
	}
	end := int64(j.entries) * entrySize
	if err := j.file.Truncate(end); err != nil {
		return nil, err
	}
	_, err := j.file.Seek(end, io.SeekStart)
	return all, err
}

// replaces finds the earlier entry of the same event: the one at the place from which it was handed out.
func replaces(all []*event, at []int, e *event) int {
	for _, n := range at {
		if all[n].from == e.from && all[n].place[e.from] == e.place[e.from] {
			return n
		}
	}
	return -1
}

// append makes entries durable: on the disk with sync, else in the operating system's hands, which survives the bridge's death.
func (j *journal) append(b []byte) error {
	if j.file == nil || len(b) == 0 {
		return nil
	}
	n, err := j.file.Write(b)
	if err == nil && j.sync {
		err = j.file.Sync()
	}
	if err != nil {
		j.file.Truncate(int64(j.entries) * entrySize) // or else what follows a torn entry would never be read
		j.file.Seek(int64(j.entries)*entrySize, io.SeekStart)
		return fmt.Errorf("failover: journal: %w", err)
	}
	j.entries += n / entrySize
	return nil
}

// rewrite replaces the file by the events that are left.
func (j *journal) rewrite(b []byte) error {
	if j.file == nil {
		return nil
	}
	next, err := os.OpenFile(j.path+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("failover: journal: %w", err)
	}
	_, err = next.Write(b)
	if err == nil {
		err = next.Sync()
	}
	if err == nil {
		err = os.Rename(j.path+".new", j.path)
	}
	if err != nil {
		next.Close()
		return fmt.Errorf("failover: journal: %w", err)
	}
	j.file.Close()
	j.file, j.entries = next, len(b)/entrySize
	return nil
}

func (j *journal) close() error {
	if j.file == nil {
		return nil
	}
	err := j.file.Close()
	j.file = nil
	return err
}
