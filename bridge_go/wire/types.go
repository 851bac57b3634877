package wire

// Wants are the metadata that a worker's event class asks for.
type Wants uint8

const (
	WantKeys       Wants = 1
	WantHeaders    Wants = 2
	WantTimestamps Wants = 4
)

// Hello introduces a connection.
type Hello struct {
	Program, Command, Worker string
	Slot, PID                uint64
	SDK, Model               string
	Wants                    Wants
	MaxFrame                 uint64
	Describe                 []byte
}

// Welcome answers a Hello.
type Welcome struct {
	Nonce                             uint64
	Bridge                            string
	MaxFrame, DeadlineMS, HeartbeatMS uint64
}

// Ready sets the window of a connection.
type Ready struct{ Events, Bytes uint64 }

// Run is a run of positions: N events of a partition from offset First on.
type Run struct {
	Partition int32
	First, N  int64
}

// Lease names one batch on one connection in one life of the bridge.
type Lease struct{ Nonce, Batch, Epoch uint64 }

// HeaderPair is one header of an event.
type HeaderPair struct {
	Name  string
	Value []byte
}

// Batch leases events to a worker. Nil Keys, Headers or Timestamps are not sent; a nil payload is null.
type Batch struct {
	Lease
	Attempt, DeadlineMS uint64
	Stream              string
	Positions           []Run
	Payloads            [][]byte
	Keys                [][]byte
	Headers             [][]HeaderPair
	Timestamps          []int64
}

// Route sends one output of a result to another stream.
type Route struct {
	Index  uint64
	Stream string
}

// ErrKind says whose fault an event's error is.
type ErrKind uint8

const (
	KindReject ErrKind = 1
	KindFail   ErrKind = 2
	KindRetry  ErrKind = 3
)

// RowError is the error of one event, by its index into the batch.
type RowError struct {
	Index        uint64
	Kind         ErrKind
	Code, Reason string
	Detail       []byte
	RetryMS      uint64
}

// Result answers the events First to First+Count-1 of a batch. Lines, when not nil, holds newline-terminated outputs.
type Result struct {
	Lease
	First, Count uint64
	Lines        []byte
	Outputs      [][]byte
	Counts       []uint64
	Routes       []Route
	Errors       []RowError
}

// Return gives a whole batch back.
type Return struct {
	Lease
	Code, Reason string
	RetryMS      uint64
}

// Died is a parent's word on a worker's end.
type Died struct{ Worker, Cause, Detail string }

// Cut asks a parent to end a worker.
type Cut struct{ Worker, Reason string }

// ByeCode says why a connection ends.
type ByeCode uint64

// Bye is the last frame of a connection.
type Bye struct {
	Code   ByeCode
	Reason string
}

// Call is a request of a worker or of the command line.
type Call struct {
	ID         uint64
	Lease      *Lease
	DeadlineMS uint64
	Method     string
	Args       []byte
}

// Answer ends a call.
type Answer struct {
	ID    uint64
	OK    bool
	Value []byte
}

