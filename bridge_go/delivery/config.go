package delivery

// Durations, in nanoseconds as everywhere in this package: it knows no clock.
const (
	milliseconds int64 = 1e6
	seconds            = 1000 * milliseconds
	minutes            = 60 * seconds
)

// Order says which events may not overtake each other.
type Order uint8

const (
	Unordered Order = iota
	ByPartition
	ByKey // events without a key are not ordered
)

// Room is a number of events and of bytes: of values, keys and headers.
type Room struct{ Events, Bytes int }

// Config is the settings of a Core. Durations are in the unit of its clock, nanoseconds. Zero values are replaced by the defaults that are named.
type Config struct {
	Nonce       uint64 // of this life of the bridge
	Order       Order
	Batch       Room  // one frame; 256 events, 256 KiB
	Most        Room  // what a frame may grow to while it is answered quickly, see size.go; it does not when this is nothing
	Quick       int64 // how long a frame that grows may take; 50 ms, of the deadline a 500th at most
	Linger      int64 // how long an idle worker waits for a batch to fill; 0
	Adaptive    bool  // an idle worker waits for as long as the pace makes worth it, see pace.go; for closed loops, never for streams
	OneInFlight bool  // one frame a worker
	Deadline    int64 // of a frame, from when it is the oldest of its worker; 30 s
	Attempts    int   // failures said by the model before an event is dead; 2

	Intake   Room // read and not settled; 16,384 events, 64 MiB
	Span     Room // of one partition, between the oldest event that is not settled and the newest; 131,072 events, 256 MiB
	MaxEvent int  // bytes of an event that fits into a frame; 15 MiB
	Lanes    int  // by key; 4096
	LaneCap  int  // events of one lane with a worker; two batches by key, no limit by partition

	Breaker BreakerConfig

	Verdict int64 // how long a lost worker's frame waits for the cause of death; 500 ms
	Storm   int64 // several workers lost within it are the environment's doing; 1 s
	Grace   int64 // from a cut to the closing of the connection; 5 s
	Calm    int64 // how long batches stay small after a worker ran out of memory; 5 min

	PartitionCap int // LaneCap of a lane that is a partition; 0, no limit

	laneFollows bool // the size of frames
}

// BreakerConfig is when to doubt that failures are the events' fault.
type BreakerConfig struct {
	Off        bool  // every failure is the event's fault; for bounded sources
	Run        int   // distinct events that fail in a row; 20
	Hold       int64 // how long a verdict waits for a success that confirms it; 2 s
	Probe      int   // events in the batch that tries whether it works again; 16
	FirstProbe int64 // 1 s, doubled with each probe that fails
	LastProbe  int64 // 30 s
}

// lanesShare is how many batches of one lane, by key, may be out: half of a window, so that a hot key leaves room for others.
const lanesShare = 2

// Limits that the wire sets, see bridge_go/wire/PROTOCOL.md section 2.
const (
	maxBatchEvents = 16384
	// A header costs two elements, a frame may have 262,144, and positions, keys, payloads and timestamps of a full batch
	// take less than half of them.
	maxBatchHeaders = 60000
)

func (c Config) withDefaults() Config {
	or(&c.Batch.Events, 256)
	or(&c.Batch.Bytes, 256<<10)
	c.Batch.Events = min(c.Batch.Events, maxBatchEvents)
	or(&c.Deadline, 30*seconds)
	or(&c.Attempts, 2)
	or(&c.Intake.Events, 16384)
	or(&c.Intake.Bytes, 64<<20)
	or(&c.Span.Events, 131072)
	or(&c.Span.Bytes, 256<<20)
	or(&c.MaxEvent, 15<<20)
	or(&c.Lanes, 4096)
	c.Most.Events = min(c.Most.Events, maxBatchEvents)
	or(&c.Quick, min(50*milliseconds, c.Deadline/500))
	c.laneFollows = c.LaneCap == 0
	or(&c.LaneCap, lanesShare*c.Batch.Events)
	or(&c.Verdict, 500*milliseconds)
	or(&c.Storm, seconds)
	or(&c.Grace, 5*seconds)
	or(&c.Calm, 5*minutes)
	c.Breaker = c.Breaker.withDefaults()
	return c
}

func (b BreakerConfig) withDefaults() BreakerConfig {
	or(&b.Run, 20)
	or(&b.Hold, 2*seconds)
	or(&b.Probe, 16)
	or(&b.FirstProbe, seconds)
	or(&b.LastProbe, 30*seconds)
	return b
}

func or[T int | int64](v *T, otherwise T) {
	if *v == 0 {
		*v = otherwise
	}
}
