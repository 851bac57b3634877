package tape

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/tinylib/msgp/msgp"

	"ds-runner.dev/ds-runner/bridge_go/wire"
)

const (
	typeRecording = 1
	typeWorker    = 2
	typeBatch     = 3
	typeFates     = 4
	typeGap       = 5
	typeEnd       = 6
)

// headSize is what stands before a frame's body: its length and its checksum.
const headSize = 8

// Append appends a frame.
func Append(b []byte, f Frame) []byte {
	start := len(b)
	b = f.append(append(b, make([]byte, headSize)...))
	body := b[start+headSize:]
	binary.BigEndian.PutUint32(b[start:], uint32(len(body)))
	binary.BigEndian.PutUint32(b[start+4:], crc32.ChecksumIEEE(body))
	return b
}

func head(b []byte, fields uint32, kind uint64) []byte {
	return msgp.AppendUint64(msgp.AppendArrayHeader(b, fields+1), kind)
}

func (f *Recording) append(b []byte) []byte {
	b = head(b, 6, typeRecording)
	b = appendTexts(b, f.Program, f.Command, f.Stream)
	b = msgp.AppendInt64(b, f.Began)
	b = msgp.AppendString(b, f.Bridge)
	return msgp.AppendBool(b, f.Lookups)
}

func (f *Worker) append(b []byte) []byte {
	b = msgp.AppendUint64(head(b, 5, typeWorker), f.Number)
	b = appendTexts(b, f.ID, f.Model, f.SDK)
	return msgp.AppendBytes(b, f.Describe)
}

func (f *Batch) append(b []byte) []byte {
	b = msgp.AppendUint64(head(b, 6, typeBatch), f.Worker)
	b = msgp.AppendInt64(msgp.AppendInt64(b, f.Sent), f.Took)
	b = appendMessage(b, f.Batch)
	b = msgp.AppendArrayHeader(b, uint32(len(f.Calls)))
	for _, c := range f.Calls {
		b = msgp.AppendString(msgp.AppendArrayHeader(b, 4), c.Method)
		b = msgp.AppendUint64(msgp.AppendBytes(b, c.Args), uint64(c.State))
		b = msgp.AppendBytes(b, c.Value)
	}
	b = msgp.AppendArrayHeader(b, uint32(len(f.Answers)))
	for _, a := range f.Answers {
		b = appendMessage(b, a)
	}
	return b
}

func (f *Fates) append(b []byte) []byte {
	b = msgp.AppendArrayHeader(head(b, 1, typeFates), uint32(len(f.Runs)))
	for _, r := range f.Runs {
		b = msgp.AppendInt64(msgp.AppendArrayHeader(b, 8), int64(r.Partition))
		b = msgp.AppendInt64(msgp.AppendInt64(b, r.First), r.N)
		b = msgp.AppendUint64(msgp.AppendUint64(b, uint64(r.Kind)), r.Attempts)
		b = appendTexts(b, r.Model, r.Code, r.Reason)
	}
	return b
}

func (f *Gap) append(b []byte) []byte {
	return msgp.AppendUint64(msgp.AppendUint64(head(b, 2, typeGap), f.Batches), f.Events)
}

func (f *End) append(b []byte) []byte { return msgp.AppendInt64(head(b, 1, typeEnd), f.Ended) }

// appendMessage writes a message of the wire as a bin.
func appendMessage(b []byte, m wire.Message) []byte { return msgp.AppendBytes(b, wire.Append(nil, m)) }

func appendTexts(b []byte, texts ...string) []byte {
	for _, t := range texts {
		b = msgp.AppendString(b, t)
	}
	return b
}
