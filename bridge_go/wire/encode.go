package wire

import (
	"encoding/binary"
	"fmt"

	"github.com/tinylib/msgp/msgp"
)

// Append appends a message without its length.
func Append(b []byte, m Message) []byte { return m.append(b) }

// AppendFrame appends a whole frame. Over the limit b comes back as it was, with an error.
func AppendFrame(b []byte, m Message, limit uint64) ([]byte, error) {
	start := len(b)
	out := m.append(append(b, 0, 0, 0, 0))
	n := uint64(len(out) - start - 4)
	if n > limit {
		return out[:start], fmt.Errorf("wire: %v of %d bytes is over the frame limit of %d", m.Type(), n, limit)
	}
	binary.BigEndian.PutUint32(out[start:], uint32(n))
	return out, nil
}

func appendHead(b []byte, t Type) []byte {
	b = msgp.AppendArrayHeader(b, uint32(len(kinds[t].fields)+1))
	return msgp.AppendUint64(b, uint64(t))
}

func appendUints(b []byte, values ...uint64) []byte {
	for _, v := range values {
		b = msgp.AppendUint64(b, v)
	}
	return b
}

// appendInt takes the smallest encoding; msgp's own writes 128 to 255 as int16.
func appendInt(b []byte, v int64) []byte {
	if v >= 0 {
		return msgp.AppendUint64(b, uint64(v))
	}
	return msgp.AppendInt64(b, v)
}

// appendBin writes nil for nil.
func appendBin(b, v []byte) []byte {
	if v == nil {
		return msgp.AppendNil(b)
	}
	return msgp.AppendBytes(b, v)
}

// appendBytes writes an empty bin for nil.
func appendBytes(b, v []byte) []byte { return msgp.AppendBytes(b, v) }

// appendBins writes nil for a nil list, and for each nil in it.
func appendBins(b []byte, list [][]byte) []byte {
	if list == nil {
		return msgp.AppendNil(b)
	}
	b = msgp.AppendArrayHeader(b, uint32(len(list)))
	for _, v := range list {
		b = appendBin(b, v)
	}
	return b
}

func appendStrings(b []byte, values ...string) []byte {
	for _, v := range values {
		b = msgp.AppendString(b, v)
	}
	return b
}
