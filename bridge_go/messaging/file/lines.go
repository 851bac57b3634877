package file

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// A line is one line of a file without its end. The bytes are its own.
type line struct {
	text   []byte // at most the limit; all of it unless length says otherwise
	length int    // of the whole line
	number int64  // from 1
	end    int64  // position behind the line and its end
}

func (l *line) cut() bool   { return l.length > len(l.text) }
func (l *line) blank() bool { return !l.cut() && len(bytes.TrimSpace(l.text)) == 0 }

// lines reads a file line by line in bounded memory: of a line above the limit the beginning is kept and the rest is passed
// over.
type lines struct {
	in     *bufio.Reader
	limit  int
	at     int64
	number int64
	block  []byte // where small lines are put side by side, so that a line costs no allocation of its own
}

const (
	readBuffer = 256 << 10
	blockSize  = 64 << 10
)

func newLines(in io.Reader, limit int) *lines {
	return &lines{in: bufio.NewReaderSize(in, readBuffer), limit: limit}
}

var byteOrderMark = []byte("\xef\xbb\xbf")

// skipMark passes over a byte order mark at the beginning of a file.
func (l *lines) skipMark() {
	if head, _ := l.in.Peek(3); bytes.Equal(head, byteOrderMark) {
		l.in.Discard(3)
		l.at += 3
	}
}

// skipTo passes over everything up to a position that an earlier reader has noted.
func (l *lines) skipTo(at, number int64) error {
	for l.at < at {
		n, err := l.in.Discard(int(min(at-l.at, 1<<30)))
		l.at += int64(n)
		if err != nil {
			return err
		}
	}
	l.number = number
	return nil
}

// next reads one line, and io.EOF behind the last. A last line without an end is a line.
func (l *lines) next() (line, error) {
	chunk, err := l.in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return l.long(chunk)
	}
	if err != nil && (len(chunk) == 0 || err != io.EOF) {
		return line{}, err
	}
	text := trimEnd(chunk)
	return l.line(l.keep(text), len(text), len(chunk)), nil
}

// long reads on in a line that is larger than the buffer.
func (l *lines) long(chunk []byte) (line, error) {
	enough := l.limit + len("\r\n")
	text, read, err := bytes.Clone(chunk[:min(enough, len(chunk))]), len(chunk), error(nil)
	for more := true; more; more = errors.Is(err, bufio.ErrBufferFull) {
		chunk, err = l.in.ReadSlice('\n')
		read += len(chunk)
		text = append(text, chunk[:min(enough-len(text), len(chunk))]...)
	}
	if err != nil && err != io.EOF {
		return line{}, err
	}
	if read <= enough {
		text = trimEnd(text)
		return l.line(text[:min(l.limit, len(text))], len(text), read), nil
	}
	return l.line(text[:l.limit], read-(len(chunk)-len(trimEnd(chunk))), read), nil
}

func (l *lines) line(text []byte, length, read int) line {
	l.at += int64(read)
	l.number++
	return line{text: text, length: length, number: l.number, end: l.at}
}

// keep copies a line out of the buffer.
func (l *lines) keep(text []byte) []byte {
	text = text[:min(len(text), l.limit)]
	if len(text) > blockSize/8 {
		return bytes.Clone(text)
	}
	if cap(l.block)-len(l.block) < len(text) {
		l.block = make([]byte, 0, blockSize)
	}
	from := len(l.block)
	l.block = append(l.block, text...)
	return l.block[from:len(l.block):len(l.block)]
}

func trimEnd(text []byte) []byte {
	if n := len(text); n > 0 && text[n-1] == '\n' {
		text = text[:n-1]
		if n > 1 && text[n-2] == '\r' {
			text = text[:n-2]
		}
	}
	return text
}
