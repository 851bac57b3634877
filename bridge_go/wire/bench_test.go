package wire_test

import (
	"bytes"
	"testing"

	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// Figures are a batch of 256 events of 300 bytes and its result of 256 lines; divide by 256 for an event.

func benchBatch() *wire.Batch {
	b := &wire.Batch{Attempt: 1, DeadlineMS: 5000, Stream: "departures", Positions: []wire.Run{{N: 256}}}
	for range 256 {
		b.Payloads = append(b.Payloads, bytes.Repeat([]byte("x"), 300))
	}
	return b
}

func benchResult() *wire.Result {
	return &wire.Result{Count: 256, Lines: bytes.Repeat([]byte(`{"arr_delay":12.5,"late":false}`+"\n"), 256)}
}

func BenchmarkAppendBatch(b *testing.B) {
	m := benchBatch()
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = wire.AppendFrame(buf[:0], m, wire.DefaultMaxFrame)
	}
}

func BenchmarkDecodeBatch(b *testing.B) {
	frame := wire.Append(nil, benchBatch())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := wire.Decode(frame, wire.Minor); err != nil {
			b.Fatal(err)
		}
	}
}

// Twelve columns of 8 bytes, as many as 300 bytes of JSON make.
func benchColumnar() wire.Columnar {
	c := wire.Columnar{Rows: 256, Body: make([]byte, 12*8*256)}
	for i := range uint64(12) {
		c.Layout = append(c.Layout, 0, 0, 0, 0, i*8*256, 8*256, 0, 0, 0, 0)
	}
	return c
}

func BenchmarkAppendColumns(b *testing.B) {
	m := &wire.Columns{Attempt: 1, DeadlineMS: 5000, Stream: "departures", Positions: []wire.Run{{N: 256}}, Bytes: 300 * 256, Columnar: benchColumnar()}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = wire.AppendFrame(buf[:0], m, wire.DefaultMaxFrame)
	}
}

func BenchmarkDecodeAnswers(b *testing.B) {
	frame := wire.Append(nil, &wire.Answers{Count: 256, Columnar: benchColumnar()})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := wire.Decode(frame, wire.Minor); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeResult(b *testing.B) {
	frame := wire.Append(nil, benchResult())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := wire.Decode(frame, wire.Minor); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSplitResult(b *testing.B) {
	m := benchResult()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Split(); err != nil {
			b.Fatal(err)
		}
	}
}
