package wire_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"ds-runner.dev/ds-runner/bridge_go/wire"
	"ds-runner.dev/ds-runner/bridge_go/wire/wiretest"
)

func TestFramesAreReadWholeAndByteByByte(t *testing.T) {
	var stream []byte
	for seq := range uint64(300) {
		stream, _ = wire.AppendFrame(stream, &wire.Pulse{Seq: seq}, wire.FirstMaxFrame)
	}
	for _, r := range []io.Reader{bytes.NewReader(stream), iotest.OneByteReader(bytes.NewReader(stream))} {
		in := wire.NewReader(r)
		for seq := range uint64(300) {
			frame, err := in.Next()
			if err != nil {
				t.Fatal(err)
			}
			m, err := wire.Decode(frame, 0)
			if p, ok := m.(*wire.Pulse); !ok || p.Seq != seq {
				t.Fatalf("frame %d is %#v, %v", seq, m, err)
			}
		}
		if _, err := in.Next(); err != io.EOF {
			t.Fatalf("after the last frame: %v", err)
		}
	}
}

func TestAStreamThatEndsInsideAFrameIsNotAnEnd(t *testing.T) {
	stream, _ := wire.AppendFrame(nil, &wire.Drain{Reason: "abc"}, wire.FirstMaxFrame)
	for n := 1; n < len(stream); n++ {
		if _, err := wire.NewReader(bytes.NewReader(stream[:n])).Next(); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
}

func TestT22LengthsAreRefusedBeforeMemoryIsTaken(t *testing.T) {
	var vectors []struct {
		Name, Header string
		Limit        uint64
		Code         uint8
	}
	wiretest.Load(t, "frames/lengths.json", &vectors)
	for _, v := range vectors {
		in := wire.NewReader(bytes.NewReader(append(wiretest.Hex(t, v.Header), make([]byte, 100)...)))
		in.SetLimit(v.Limit)
		var err error
		taken := allocated(func() { _, err = in.Next() })
		var broken *wire.Error
		if !errors.As(err, &broken) || uint8(broken.Code) != v.Code {
			t.Errorf("%s: %v, wants code %d", v.Name, err, v.Code)
		}
		if taken > 16<<10 {
			t.Errorf("%s: %d bytes allocated", v.Name, taken)
		}
	}
}

func TestT22MemoryFollowsTheBytesReceived(t *testing.T) {
	const announced, sent = 16 << 20, 100 << 10
	stream := append(binary.BigEndian.AppendUint32(nil, announced), make([]byte, sent)...)
	in := wire.NewReader(bytes.NewReader(stream))
	in.SetLimit(announced)
	taken := allocated(func() { _, _ = in.Next() })
	if taken > 4*sent {
		t.Errorf("%d bytes allocated for %d received of %d announced", taken, sent, announced)
	}
}

func TestAFrameOverTheLimitIsNotAppended(t *testing.T) {
	before := []byte("kept")
	out, err := wire.AppendFrame(before, &wire.Drain{Reason: "0123456789"}, 12)
	if err == nil || string(out) != "kept" {
		t.Errorf("appended %q, %v", out, err)
	}
	if out, err = wire.AppendFrame(before, &wire.Drain{Reason: "0123456789"}, 13); err != nil || len(out) != 4+4+13 {
		t.Errorf("appended %d bytes, %v", len(out), err)
	}
}

func TestALargeFrameComesInABufferOfItsOwn(t *testing.T) {
	call := func(fill byte) []byte {
		args := append([]byte{0x91, 0xc6, 0, 0x20, 0, 0}, bytes.Repeat([]byte{fill}, 2<<20)...)
		frame, _ := wire.AppendFrame(nil, &wire.Call{Method: "m", Args: args}, 4<<20)
		return frame
	}
	in := wire.NewReader(io.MultiReader(bytes.NewReader(call('a')), bytes.NewReader(call('b'))))
	in.SetLimit(4 << 20)
	first, err := in.Next()
	if err != nil {
		t.Fatal(err)
	}
	second, err := in.Next()
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Count(first, []byte("a")) != 2<<20 || bytes.Count(second, []byte("b")) != 2<<20 {
		t.Error("a frame was changed by the next one")
	}
}
