package sql

import (
	"bytes"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

const (
	// DefaultRows is the number of rows of a page when the caller names none.
	DefaultRows = 65_536
	// MaxRows bounds what a caller may ask for.
	MaxRows = 1 << 20
	// PageBytes is about the size of a page: a few of them are a frame's limit, and copying one takes a millisecond.
	PageBytes = 4 << 20
	// MaxValue bounds one value. With the rest of its page it fits into a frame.
	MaxValue = 8 << 20
)

// Rows bounds the number of rows of a page that a caller asks for.
func Rows(asked int) int {
	if asked <= 0 {
		return DefaultRows
	}
	return min(asked, MaxRows)
}

// A PageWriter collects rows into a page. Databases append to its builders, all of them once a row, and then call [PageWriter.Row].
type PageWriter struct {
	Schema   *arrow.Schema
	Builders []array.Builder

	limit, rows  int
	fixed, bytes int // of a row without its texts; of the page
	before       int // rows of the page before, which the next one is expected to have
	texts        []text
}

// A text is a builder of texts or bytes, and how many bytes it had on the page before.
type text struct {
	growing
	before int
}

type growing interface {
	DataLen() int
	ReserveData(n int)
}

// NewPageWriter makes a writer of pages with at most rows rows.
func NewPageWriter(fields []arrow.Field, rows int) *PageWriter {
	p := &PageWriter{Schema: arrow.NewSchema(fields, nil), limit: rows}
	for _, f := range fields {
		b := array.NewBuilder(memory.DefaultAllocator, f.Type)
		p.Builders = append(p.Builders, b)
		p.fixed += width(f.Type)
		switch b := b.(type) {
		case *array.StringBuilder:
			p.texts = append(p.texts, text{b, 0})
		case *array.BinaryBuilder:
			p.texts = append(p.texts, text{b, 0})
		}
	}
	return p
}

func width(t arrow.DataType) int {
	if fixed, ok := t.(arrow.FixedWidthDataType); ok {
		return max(1, fixed.BitWidth()/8)
	}
	return 4 // an offset
}

// reserved is for how many rows room is made at once.
const reserved = 1024

// Reserve makes room for a row in every builder, so that values of fixed width may be appended unchecked. On the first row it makes
// room for as much as the page before had: growing step by step would copy all of it.
func (p *PageWriter) Reserve() {
	if p.rows%reserved != 0 {
		return
	}
	n := reserved
	if p.rows == 0 {
		n = max(reserved, p.before)
		for _, t := range p.texts {
			t.ReserveData(t.before)
		}
	}
	for _, b := range p.Builders {
		b.Reserve(n)
	}
}

// Row ends a row whose texts, bytes and lists have so many bytes. It says whether the page is full.
func (p *PageWriter) Row(bytes int) (full bool) {
	p.rows++
	p.bytes += p.fixed + bytes
	return p.rows >= p.limit || p.bytes >= PageBytes
}

// Page makes a page of the rows so far, and begins another.
func (p *PageWriter) Page() ([]byte, error) {
	p.before = p.rows
	for i := range p.texts {
		p.texts[i].before = p.texts[i].DataLen()
	}
	columns := make([]arrow.Array, len(p.Builders))
	for i, b := range p.Builders {
		columns[i] = b.NewArray()
		defer columns[i].Release()
	}
	batch := array.NewRecordBatch(p.Schema, columns, int64(p.rows))
	defer batch.Release()
	out := bytes.NewBuffer(make([]byte, 0, p.bytes+p.bytes/8+4096))
	w := ipc.NewWriter(out, ipc.WithSchema(p.Schema))
	if err := w.Write(batch); err != nil {
		return nil, fmt.Errorf("sql: write a page: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("sql: write a page: %w", err)
	}
	p.rows, p.bytes = 0, 0
	return out.Bytes(), nil
}

// ReadPage reads a page: an Arrow IPC stream, all of whose record batches count. The caller releases the batches. Bytes that are
// no page are an error, whatever they are.
func ReadPage(page []byte) (schema *arrow.Schema, batches []arrow.RecordBatch, err error) {
	defer func() {
		if r := recover(); r != nil { // the reader trusts the lengths within a stream
			schema, batches, err = nil, nil, Errorf(BadValue, "the page is no Arrow stream: %v", r)
		}
	}()
	r, err := ipc.NewReader(bytes.NewReader(page))
	if err != nil {
		return nil, nil, Errorf(BadValue, "the page is no Arrow stream: %v", err)
	}
	defer r.Release()
	for r.Next() {
		batch := r.RecordBatch()
		batch.Retain()
		batches = append(batches, batch)
	}
	if err := r.Err(); err != nil {
		return nil, nil, Errorf(BadValue, "the page is no Arrow stream: %v", err)
	}
	return r.Schema(), batches, nil
}
