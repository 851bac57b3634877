package tape

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/tinylib/msgp/msgp"

	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// MaxFrame is the length of the longest frame: a batch, its answers, and the answers of its calls.
const MaxFrame = 256 << 20

// ErrNotTape is a file that does not begin as a tape does.
var ErrNotTape = errors.New("not a tape")

// A VersionError is a tape of a version that this package does not read.
type VersionError struct{ Version byte }

func (e *VersionError) Error() string {
	return fmt.Sprintf("a tape of version %d, this ds-bridge reads version %d: use the release that recorded it", e.Version, Version)
}

// A TornError is where a tape cannot be read any further: it was cut off, or damaged. What was read before is good.
type TornError struct {
	At  int64 // bytes from the beginning
	Why string
}

func (e *TornError) Error() string { return fmt.Sprintf("torn at byte %d: %s", e.At, e.Why) }

// A Reader reads the frames of a tape. Memory follows the bytes that are there, never a length that is announced.
type Reader struct {
	from io.Reader
	at   int64
	body bytes.Buffer
}

// NewReader reads the beginning: ErrNotTape, or a *VersionError.
func NewReader(from io.Reader) (*Reader, error) {
	magic := make([]byte, len(Magic))
	if n, err := io.ReadFull(from, magic); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, err
	} else if name := Magic[:len(Magic)-1]; n < len(Magic) || string(magic[:len(name)]) != name {
		return nil, ErrNotTape
	}
	if v := magic[len(Magic)-1]; v != Version {
		return nil, &VersionError{v}
	}
	return &Reader{from: from, at: int64(len(Magic))}, nil
}

// Next is the next frame; nil for one of a type that is not known. io.EOF at the end, a *TornError where the rest cannot be read. What it returns points to
// memory of its own.
func (r *Reader) Next() (Frame, error) {
	var start [headSize]byte
	switch n, err := io.ReadFull(r.from, start[:]); {
	case errors.Is(err, io.EOF):
		return nil, io.EOF
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, r.torn("the file ends %d bytes into the head of a frame", n)
	case err != nil:
		return nil, err
	}
	size, sum := binary.BigEndian.Uint32(start[:4]), binary.BigEndian.Uint32(start[4:])
	if size == 0 || size > MaxFrame {
		return nil, r.torn("a frame of %d bytes, at most %d", size, MaxFrame)
	}
	r.body.Reset()
	if n, err := io.CopyN(&r.body, r.from, int64(size)); errors.Is(err, io.EOF) {
		return nil, r.torn("the file ends %d bytes into a frame of %d", n, size)
	} else if err != nil {
		return nil, err
	}
	if crc32.ChecksumIEEE(r.body.Bytes()) != sum {
		return nil, r.torn("the checksum of a frame of %d bytes does not fit it", size)
	}
	f, err := decode(bytes.Clone(r.body.Bytes()))
	if err != nil {
		return nil, r.torn("%v", err)
	}
	r.at += headSize + int64(size)
	return f, nil
}

func (r *Reader) torn(format string, args ...any) error {
	return &TornError{r.at, fmt.Sprintf(format, args...)}
}

// decode reads a body. Trailing fields of a later version are not looked at.
func decode(body []byte) (Frame, error) {
	d := decoder{b: body}
	n := d.array("frame")
	kind := d.uint("type")
	if d.err != nil || n == 0 {
		return nil, errors.Join(d.err, errEmpty(n))
	}
	f := d.frame(kind)
	return f, d.err
}

func errEmpty(n int) error {
	if n == 0 {
		return errors.New("a frame without a type")
	}
	return nil
}

// A decoder reads values one after the other; after the first error there are only zeroes.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) frame(kind uint64) Frame {
	switch kind {
	case typeRecording:
		f := &Recording{Program: d.text("program"), Command: d.text("command"), Stream: d.text("stream"), Began: d.int("began")}
		f.Bridge, f.Lookups = d.text("bridge"), d.bool("lookups")
		return f
	case typeWorker:
		return &Worker{Number: d.uint("number"), ID: d.text("id"), Model: d.text("model"), SDK: d.text("sdk"), Describe: d.bin("describe")}
	case typeBatch:
		return d.batch()
	case typeFates:
		f := &Fates{}
		d.each("fates", func() { f.Runs = append(f.Runs, d.run()) })
		return f
	case typeGap:
		return &Gap{Batches: d.uint("batches"), Events: d.uint("events")}
	case typeEnd:
		return &End{Ended: d.int("ended")}
	}
	return nil
}

func (d *decoder) batch() Frame {
	f := &Batch{Worker: d.uint("worker"), Sent: d.int("sent"), Took: d.int("took")}
	if m, ok := d.message("batch").(*wire.Batch); ok {
		f.Batch = m
	} else {
		d.fail("batch", errors.New("no BATCH"))
	}
	d.each("calls", func() {
		if n := d.array("call"); n < 4 {
			d.fail("call", fmt.Errorf("%d items, wants 4", n))
		}
		f.Calls = append(f.Calls, Call{d.text("method"), d.bin("args"), CallState(d.uint("state")), d.bin("value")})
	})
	d.each("answers", func() {
		switch m := d.message("answer").(type) {
		case *wire.Result, *wire.Return:
			f.Answers = append(f.Answers, m)
		default:
			d.fail("answers", errors.New("neither RESULT nor RETURN"))
		}
	})
	if d.err == nil {
		d.fail("answers", f.check())
	}
	return f
}

// check holds answers against the batch, as the session does on the wire, and asks for the metadata.
func (f *Batch) check() error {
	if f.Batch.Keys == nil || f.Batch.Headers == nil || f.Batch.Timestamps == nil {
		return errors.New("BATCH without keys, headers or timestamps")
	}
	next := uint64(0)
	for _, a := range f.Answers {
		r, ok := a.(*wire.Result)
		if !ok {
			continue
		}
		if r.First != next || r.Count > uint64(len(f.Batch.Payloads))-next {
			return fmt.Errorf("RESULT covers events %d + %d of %d, expected from %d", r.First, r.Count, len(f.Batch.Payloads), next)
		}
		next += r.Count
	}
	return nil
}

func (d *decoder) run() FateRun {
	if n := d.array("fate"); n < 8 {
		d.fail("fate", fmt.Errorf("%d items, wants 8", n))
	}
	return FateRun{
		Partition: int32(d.int("partition")), First: d.int("first"), N: d.int("n"), Kind: FateKind(d.uint("kind")), Attempts: d.uint("attempts"),
		Model: d.text("model"), Code: d.text("code"), Reason: d.text("reason"),
	}
}

func (d *decoder) fail(name string, err error) {
	if d.err == nil && err != nil {
		d.err = fmt.Errorf("%s: %w", name, err)
	}
}

// take reads one value.
func take[T any](d *decoder, name string, read func([]byte) (T, []byte, error)) (v T) {
	if d.err != nil {
		return v
	}
	got, rest, err := read(d.b)
	if err != nil {
		d.fail(name, err)
		return v
	}
	d.b = rest
	return got
}

func (d *decoder) array(name string) int {
	return int(take(d, name, msgp.ReadArrayHeaderBytes))
}

// each reads an array item by item, so that its length alone takes no memory.
func (d *decoder) each(name string, item func()) {
	for n := d.array(name); n > 0 && d.err == nil; n-- {
		item()
	}
}

func (d *decoder) text(name string) string { return take(d, name, msgp.ReadStringBytes) }
func (d *decoder) int(name string) int64   { return take(d, name, msgp.ReadInt64Bytes) }
func (d *decoder) uint(name string) uint64 { return take(d, name, msgp.ReadUint64Bytes) }
func (d *decoder) bool(name string) bool   { return take(d, name, msgp.ReadBoolBytes) }
func (d *decoder) bin(name string) []byte  { return take(d, name, msgp.ReadBytesZC) }

func (d *decoder) message(name string) wire.Message {
	body := d.bin(name)
	if d.err != nil {
		return nil
	}
	m, err := wire.Decode(body, 0)
	d.fail(name, err)
	return m
}
