package front

import (
	"bytes"
	"compress/zlib"
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// compressedFrom is the size from which an answer is compressed, for those who ask: below it the time costs more than the bytes.
const compressedFrom = 4 << 10

// compressing is the writer of an answer whose client takes gzip.
type compressing struct{ http.ResponseWriter }

// Unwrap lets http.ResponseController find the writer below.
func (c compressing) Unwrap() http.ResponseWriter { return c.ResponseWriter }

var gzippers = sync.Pool{New: func() any {
	z, _ := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed) // the level is one
	return z
}}

func (c compressing) write(status int, data []byte) int {
	var packed bytes.Buffer
	z := gzippers.Get().(*gzip.Writer)
	z.Reset(&packed)
	_, _ = z.Write(data) // into memory
	_ = z.Close()
	gzippers.Put(z)
	h := c.Header()
	h["Content-Encoding"] = []string{"gzip"}
	h["Vary"] = []string{"Accept-Encoding"}
	h["Content-Length"] = []string{strconv.Itoa(packed.Len())}
	c.WriteHeader(status)
	_, _ = c.Write(packed.Bytes())
	return status
}

// takesGzip reads Accept-Encoding: is gzip named, and not with a weight of nothing?
func takesGzip(accepted []string) bool {
	for _, line := range accepted {
		for part := range strings.SplitSeq(line, ",") {
			name, weight, _ := strings.Cut(part, ";")
			if !strings.EqualFold(strings.TrimSpace(name), "gzip") {
				continue
			}
			q, weighed := strings.CutPrefix(strings.ReplaceAll(weight, " ", ""), "q=")
			return !weighed || strings.Trim(q, "0.") != ""
		}
	}
	return false
}

// A packed body is decompressed while it is read. What is read of it is bound by who reads, as of any body; here are bound
// the bytes that come, for a stream of empty members would never end.
type packed struct {
	body   io.ReadCloser
	left   int // bytes that may still come
	limit  int
	coding string
	plain  io.Reader // made by the first read: making it reads
	err    error
}

// unpack puts a reader of the decompressed body in place of a compressed one, or says that this coding is not known.
func unpack(r *http.Request, codings []string, limit int) *problem {
	coding := strings.ToLower(strings.TrimSpace(strings.Join(codings, ",")))
	switch coding {
	case "", "identity":
		return nil
	case "gzip", "x-gzip", "deflate":
		if r.ContentLength > int64(limit) {
			return bodyTooLarge(limit)
		}
		r.Body = &packed{body: r.Body, left: limit, limit: limit, coding: coding}
		r.ContentLength = -1
		return nil
	}
	return problemCoding
}

// Read implements io.Reader. A *problem is its error where the client is to blame.
func (p *packed) Read(into []byte) (int, error) {
	if p.err != nil {
		return 0, p.err
	}
	if p.plain == nil {
		if p.plain, p.err = p.open(); p.err != nil {
			p.err = blamed(p.err)
			return 0, p.err
		}
	}
	n, err := p.plain.Read(into)
	p.err = blamed(err)
	return n, p.err
}

func (p *packed) open() (io.Reader, error) {
	if p.coding == "deflate" {
		return zlib.NewReader((*arriving)(p))
	}
	return gzip.NewReader((*arriving)(p))
}

// blamed keeps errors of the network and the ends as they are; all others are of the coding.
func blamed(err error) error {
	var told *problem
	var broken *cut
	switch {
	case err == nil, err == io.EOF, errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &told):
		return err
	case errors.As(err, &broken):
		return broken.error
	}
	return problemZip
}

// A cut is an error of the body below.
type cut struct{ error }

// Close implements io.Closer.
func (p *packed) Close() error { return p.body.Close() }

// arriving is the compressed side of a packed body.
type arriving packed

// Read implements io.Reader.
func (a *arriving) Read(into []byte) (int, error) {
	n, err := a.body.Read(into)
	if a.left -= n; a.left < 0 {
		return 0, bodyTooLarge(a.limit)
	}
	if err != nil && err != io.EOF {
		err = &cut{err}
	}
	return n, err
}

// cutOff is the problem of a body that could not be read: the one that it tells itself, or that it broke off.
func cutOff(err error) *problem {
	var told *problem
	if errors.As(err, &told) {
		return told
	}
	return problemCut
}
