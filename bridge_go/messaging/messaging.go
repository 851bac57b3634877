// Package messaging is the seam between the bridge and the systems that carry events.
//
// A connector is one folder under this one. It turns a URL into a [Connection], which opens sources and sinks by topic;
// it registers itself by URL scheme in its init function, and it is finished when the battery in messagingtest passes.
// The dispatcher reads from a [Source], has events scored, writes to a [Sink], and commits the contiguous prefix of what
// has reached its fate. Nothing here knows of workers, batches or models.
package messaging

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A Record is one event as a broker keeps it. A nil Value is a null value (a tombstone), a nil Key is no key.
// The slices of a record that a Source returns are never changed afterwards, by either side, and may be kept for ever.
type Record struct {
	Key, Value []byte
	Headers    []Header
	Time       int64 // nanoseconds since 1970 UTC; 0 where the system keeps none
	Partition  int32
	// Epoch is the assignment of the partition under which the record was read. It belongs to the source alone, which
	// refuses positions of an assignment that is over; 0 where partitions are never taken away.
	Epoch  int32
	Offset int64 // increasing within a partition, not necessarily by one
	// Fault, when not nil, says why the source could not read this one record (a line above the limit, a broken row). Such
	// a record has a position like any other, is never scored, and goes to the dead letters with this reason; Value holds
	// what there is of it.
	Fault *Fault
	// Original, when not nil, is the value as the system keeps it, where Value was decoded by the stream's format. Sources leave it.
	Original *[]byte
}

// Stored is the value as the system keeps it.
func (r *Record) Stored() []byte {
	if r.Original != nil {
		return *r.Original
	}
	return r.Value
}

// A Fault is what is wrong with a record that a source could not read.
type Fault struct{ Code, Reason string }

// A Header is one name and value. Names may repeat; order is kept.
type Header struct {
	Name  string
	Value []byte
}

// Outgoing is a record to be written. ID, when not empty, is the same for the same output however often it is produced;
// sinks that can de-duplicate do it by ID and say so by [SinkInfo].
type Outgoing struct {
	Record
	ID string
}

// A Position says that everything of a partition up to and with Offset is settled. Epoch is that of the record there.
type Position struct {
	Partition int32
	Offset    int64
	Epoch     int32
}

// Limit bounds one Read. At least one record is returned whatever its size.
type Limit struct{ Events, Bytes int }

// A Source is read by one goroutine; Commit and Lag may be called from another.
type Source interface {
	// Read blocks until it has at least one record, the context ends, or a bounded source is exhausted (io.EOF itself, not wrapped:
	// a connection that was cut is no end).
	// Offsets of a partition increase from one call to the next, also over restarts from the committed position.
	Read(ctx context.Context, limit Limit) ([]Record, error)
	// Commit records that all up to these positions is settled. A restarted source goes on behind the last commit
	// that returned nil, or earlier, never later. A position behind an earlier commit changes nothing.
	Commit(ctx context.Context, upTo []Position) error
	// Lag is the number of records behind the last one read, -1 when unknown.
	Lag(ctx context.Context) int64
	Close(ctx context.Context) error
}

// A Sink is written by one goroutine. Records and what they point to are the caller's again when Write has returned.
type Sink interface {
	// Write does not keep the records' slices after it has returned. It returns nil when every record is as durable as the connection promises. A [WriteError] tells which records
	// were refused for good or may be tried again; all others are stored. Any other error says nothing about any of them.
	Write(ctx context.Context, records []Outgoing) error
	Info() SinkInfo
	Close(ctx context.Context) error
}

// SinkInfo is what a sink can promise.
type SinkInfo struct {
	Deduplicates bool          // by Outgoing.ID, within a window that the connector documents
	Window       time.Duration // how long ids are remembered, 0 for ever or unknown
	MaxBytes     int           // largest value that is accepted, 0 for no limit
	// InOrder promises that nothing of a key is stored behind a record of that key which may be tried again: then all behind it in
	// the Write fail with it. Others are given one record of a key at a time where the order matters.
	InOrder bool
	// PassesID says that records want their Outgoing.ID though the sink de-duplicates nothing: it hands them on, to whoever may.
	PassesID bool
}

// SourceConfig opens a source. Group names the reader whose position is kept: program/command. Without a group nothing is
// kept and the source reads from the oldest record on.
type SourceConfig struct {
	Topic, Group string
	Schema       []byte // JSON Schema of the event type, may be empty: for formats without types of their own (csv)
	// OnRevoke is called when the system takes partitions away, before it gives them to another reader. It returns
	// within a second and never waits for a worker. Nil where the caller does not care.
	OnRevoke func(partitions []int32)
	// Start, when not nil, is asked for each assignment where partitions begin: at the offset behind the one it gives.
	// Those that it does not name begin at the group's position. It is how a sink that keeps positions itself is obeyed.
	Start func(ctx context.Context, partitions []int32) (map[int32]int64, error)
	// Transactional asks for a source that is a [Transactor]. ErrNotSupported where the system has no transactions.
	Transactional bool
}

// SinkConfig opens a sink. Group names the writer, so that a resumable sink finds its journal.
type SinkConfig struct{ Topic, Group string }

// A Connection is one broker, file system or memory.
type Connection interface {
	Source(ctx context.Context, c SourceConfig) (Source, error)
	Sink(ctx context.Context, c SinkConfig) (Sink, error)
	// Browse reads up to max records from a cursor on, without a group and without moving one. It waits for the first
	// up to the context's deadline and returns the cursor behind the last; none in time is no error. [Newest] answers at
	// once, with the cursor behind the newest record. Records of one partition come in order.
	Browse(ctx context.Context, topic string, from Cursor, max int) (records []Record, after Cursor, err error)
	// Delete removes single records, for dead letters that have been dealt with: they are browsed no more. Those that are
	// not there are no error. ErrNotSupported where that cannot be.
	Delete(ctx context.Context, topic string, records []Position) error
	// Incarnation identifies this life of a topic: it changes when the topic is deleted and made again.
	Incarnation(ctx context.Context, topic string) (string, error)
	Close(ctx context.Context) error
}

// Options of a connection come from program.yaml, with secrets resolved.
type Options struct {
	Name     string
	URL      string
	Dir      string            // the project's folder, where relative paths begin; the current one when empty
	StateDir string            // where embedded stores and journals live
	Settings map[string]string // the connection's further keys
	Log      *slog.Logger      // nil for none
	Metrics  prometheus.Registerer
	Topics   []string // of the streams that program.yaml has on this connection: for those who are asked before anybody opens them
	// Other opens another connection of program.yaml by its name, or gives the one that is open: for connectors that wrap others.
	// It may take as long as the context lets it, and is not to be called while this one is being opened. Nil where there
	// are no others.
	Other func(ctx context.Context, name string) (Connection, error)
}

// Connect opens a connection. The context bounds the opening alone.
type Connect func(ctx context.Context, o Options) (Connection, error)

var connectors = map[string]Connect{}

// Register makes a connector known by its URL scheme. It is called from init functions.
func Register(scheme string, c Connect) {
	if _, dup := connectors[scheme]; dup {
		panic("messaging: scheme registered twice: " + scheme)
	}
	connectors[scheme] = c
}

// Errors that callers tell apart.
var (
	ErrNotSupported = errors.New("not supported by this connector")
	ErrNoTopic      = errors.New("no such topic")
	ErrClosed       = errors.New("connection is closed")
	ErrBusy         = errors.New("open already, and one at a time is allowed")
)

// A GapError says that records which a group had not read are gone: retention dropped them, or the store lost them. It is
// never passed over in silence; a connection with the setting gap=continue logs and counts it instead and reads on.
type GapError struct {
	Topic, Group string
	Want, Have   int64 // the next offset of the group, and the oldest that is left
}

func (e *GapError) Error() string {
	return fmt.Sprintf("%s: records %d to %d were dropped before %s had read them. "+
		"Set gap=continue on the connection to go on at %d without them", e.Topic, e.Want, e.Have-1, e.Group, e.Have)
}

// A WriteError lists the records of one Write that were not stored, by index, ascending.
type WriteError struct{ Failed []WriteFailure }

// A WriteFailure is one record that was not stored. A permanent one (size, rights, format) will never be.
type WriteFailure struct {
	Index     int
	Permanent bool
	Err       error
}

func (e *WriteError) Error() string {
	return fmt.Sprintf("%d records not written, first: %v", len(e.Failed), e.Failed[0].Err)
}
