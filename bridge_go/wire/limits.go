package wire

// Limits of PROTOCOL.md section 2. They hold for every peer; only the frame length is negotiated.
const (
	// FirstMaxFrame is the frame limit until WELCOME, and the least that a peer may ask for.
	FirstMaxFrame = 64 << 10
	// DefaultMaxFrame is the bridge's own limit when its settings name none.
	DefaultMaxFrame = 16 << 20
	// MaxDepth counts the frame itself. Decoding is not recursive; the limit protects peers whose decoder is.
	MaxDepth = 16
	// MaxValues bounds what a frame turns into: 16 MiB of empty arrays are 1 GB of Python objects.
	MaxValues = 262_144
	// MaxEvents is the largest batch.
	MaxEvents = 16_384
	// MaxRows bounds an ANSWERS, whose rows may be many for few bytes.
	MaxRows = 262_144
	// MaxColumns bounds a layout.
	MaxColumns = 4096
	// MaxUnknown is the number of unknown fields that COLUMNS names.
	MaxUnknown = 16
	// MaxCalls is the number of calls in flight on a connection.
	MaxCalls = 64

	MaxName     = 255
	MaxCode     = 64
	MaxReason   = 8 << 10
	MaxDescribe = 48 << 10

	maxInt       = 1<<63 - 1
	maxPartition = 1<<31 - 1
)
