package wire

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A Reader takes frames from a stream. It is used by one goroutine.
type Reader struct {
	in    *bufio.Reader
	limit uint64
	trust int // bytes reserved at once: what the peer has shown to send
}

const (
	readAhead  = 32 << 10
	firstTrust = 64 << 10
)

// NewReader reads frames of at most FirstMaxFrame bytes until SetLimit says otherwise.
func NewReader(r io.Reader) *Reader {
	return &Reader{in: bufio.NewReaderSize(r, readAhead), limit: FirstMaxFrame, trust: firstTrust}
}

// SetLimit sets the longest frame that is accepted from now on.
func (r *Reader) SetLimit(n uint64) { r.limit = n }

// Next returns the next frame without its length, in a buffer of its own. At the end of the stream between two frames
// the error is io.EOF; inside one it is io.ErrUnexpectedEOF; for a length out of bounds it is an *Error.
func (r *Reader) Next() ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(r.in, length[:]); err != nil {
		return nil, err
	}
	n := uint64(binary.BigEndian.Uint32(length[:]))
	switch {
	case n == 0:
		return nil, malformed("", "a frame of no bytes")
	case n > r.limit:
		return nil, overLimit("", "a frame of %d bytes, at most %d", n, r.limit)
	}
	return r.body(int(n))
}

// body reserves no more than the peer has sent before or is doubling now: an announced length costs nothing.
func (r *Reader) body(n int) ([]byte, error) {
	frame := make([]byte, min(n, r.trust))
	for have := 0; ; {
		read, err := io.ReadFull(r.in, frame[have:])
		if have += read; err != nil {
			return nil, cut(err, have, n)
		}
		if have == n {
			r.trust = max(r.trust, n)
			return frame, nil
		}
		larger := make([]byte, min(n, 2*have))
		copy(larger, frame)
		frame = larger
	}
}

func cut(err error, have, n int) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("wire: %d of %d bytes of a frame: %w", have, n, io.ErrUnexpectedEOF)
	}
	return err
}
