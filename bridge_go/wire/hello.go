package wire

import "github.com/tinylib/msgp/msgp"

// Wants is what a worker asks for: what to be sent with each event, and how.
type Wants uint8

const (
	WantKeys       Wants = 1
	WantHeaders    Wants = 2
	WantTimestamps Wants = 4
	// WantColumns asks for COLUMNS by the plan in Describe. It means something from minor version 1 on.
	WantColumns Wants = 8
	// AnyOrder says that the worker scores batches beside each other and answers each when it is ready.
	AnyOrder Wants = 16
	// Standby says that the worker is to be held until another of its version is lost, or until it says READY again.
	Standby Wants = 32
)

// Hello opens every connection.
type Hello struct {
	Program, Command, Worker string
	Slot, PID                uint64
	SDK, Model               string
	Wants                    Wants // bits that this version does not know are not kept
	MaxFrame                 uint64
	Describe                 []byte // JSON: {"input": schema, "output": schema, "columns": plan}
}

func (*Hello) Type() Type { return TypeHello }

func (m *Hello) append(b []byte) []byte {
	b = appendHead(b, TypeHello)
	b = appendStrings(b, m.Program, m.Command, m.Worker)
	b = appendUints(b, m.Slot, m.PID)
	b = appendStrings(b, m.SDK, m.Model)
	b = appendUints(b, uint64(m.Wants), m.MaxFrame)
	return msgp.AppendBytes(b, m.Describe)
}

func (m *Hello) decode(f *fields) {
	m.Program = f.label("program", MaxName)
	m.Command = f.label("command", MaxName)
	m.Worker = f.label("worker", MaxName)
	m.Slot = f.uint("slot")
	m.PID = f.uint("pid")
	m.SDK = f.label("sdk", MaxName)
	m.Model = f.label("model", MaxName)
	m.Wants = Wants(f.uint("wants"))
	m.MaxFrame = f.maxFrame()
	m.Describe = f.bin("describe", MaxDescribe)
}

func (f *fields) maxFrame() uint64 {
	n := f.uint("max_frame")
	if n < FirstMaxFrame {
		f.malformed("%d, wants %d or more", n, FirstMaxFrame)
	}
	return n
}
