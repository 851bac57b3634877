package messaging

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// What some connectors can do beyond the seam that all fill. Each is an interface of its own, which callers ask for by a
// type assertion; the battery in messagingtest asks for those that a harness declares, and only for those.

// A Pauser is a [Source] that can stop reading single partitions. A paused partition stays assigned; what the source has
// read ahead of it is kept or read again, never lost. Both are safe from any goroutine and do not wait.
type Pauser interface {
	Pause(partitions []int32)
	Resume(partitions []int32)
}

// A Transactor makes records and the positions that they settle durable together: all of it or nothing.
//
// It is the [Source] of a system whose transactions cover its outputs and its offsets (Kafka; all topics are of the same
// connection), or the [Sink] of a database that keeps positions beside its rows. Transact is called by one goroutine; its
// caller gives it the contiguous prefix of each partition and nothing beyond. When it returns
//
//   - nil, all is stored;
//   - a [RevokedError], nothing is, and the records of these partitions belong to another reader: the others may be
//     written in another transaction;
//   - a [WriteError], nothing is; its indexes count through all writes in their order. Permanent failures never will be
//     stored; without any, the same may be tried again;
//   - [ErrFenced], nothing is, and another process is at work under this group's name: start again from the stored
//     positions;
//   - any other error: it cannot be told what is stored. The caller opens the source again and goes on from the stored
//     positions, which tell.
type Transactor interface {
	Transact(ctx context.Context, writes []Write, upTo []Position) error
}

// A Write is what one transaction writes to one topic.
type Write struct {
	Topic   string
	Records []Outgoing
}

// A PositionKeeper is a [Sink] that is a [Transactor]: it knows the positions of its group itself, and a source is started
// at them. Positions are what [SourceConfig.Start] returns; no partitions means all that are known.
type PositionKeeper interface {
	Transactor
	Positions(ctx context.Context, partitions []int32) (map[int32]int64, error)
}

// ErrFenced says that another process writes under the same group's name: this one's positions are not the stored ones.
var ErrFenced = errors.New("another process has taken over this group")

// A RevokedError names partitions that were taken away before what was read from them could be stored.
type RevokedError struct{ Partitions []int32 }

func (e *RevokedError) Error() string {
	return fmt.Sprintf("partitions %v belong to another reader now", e.Partitions)
}

// A Seeker is a [Connection] whose groups can be moved. No source of the group is open meanwhile; one elsewhere makes it
// fail with [ErrBusy] where the system can tell. A dry seek does not mind an open source.
type Seeker interface {
	// Seek moves a group to a target and says what that means, partition by partition, ascending. Dry changes nothing.
	Seek(ctx context.Context, topic, group string, to Target, dry bool) ([]Move, error)
	// Generation is how often a group has been moved back. It is part of message ids: outputs of events that are read
	// again on purpose are no duplicates.
	Generation(ctx context.Context, topic, group string) (int, error)
}

// Target says where a group is to read next.
type Target struct {
	Kind      TargetKind
	Offset    int64     // of TargetOffset: read next; the nearest one there is when it is not kept or not there yet
	Partition int32     // of TargetOffset; -1 for every partition
	Time      time.Time // of TargetTime: the first record that is not older is read next
}

// TargetKind is how a target is given.
type TargetKind uint8

const (
	TargetOldest TargetKind = iota + 1
	TargetNewest
	TargetOffset
	TargetTime
)

// A Move is what a seek means for one partition. Offsets are of the next record to be read, End is behind the newest.
type Move struct {
	Partition     int32
	From, To, End int64 // From is -1 where the group has no position yet
}

// A Remover is a [Connection] that can delete a topic with all that it holds, and with what a group keeps of it. Nobody
// reads or writes it meanwhile. What is not there is no error.
type Remover interface {
	Remove(ctx context.Context, topic, group string) error
}

// A FateKeeper is a [Connection] that can store the fate of an event as one: all of its records, on whichever topics, or none,
// and only once. It needs topics that share one store (one stream of JetStream), which is why it opens them together; an
// error says what keeps them from it. The topics are what the writer may be given, dead letters and rejected events included.
type FateKeeper interface {
	Fates(ctx context.Context, topics []string) (FateWriter, error)
}

// A FateWriter is written by one goroutine. What it is given is the caller's again when WriteFates has returned.
type FateWriter interface {
	// WriteFates returns nil when each fate is stored: this one, or another that was stored before with the same ID. That
	// is how the first attempt at an event decides, whatever a second one comes to, even if it was no record at all: so
	// each event has a fate, and one with no records is stored as a mark that no reader sees. Such repetitions are counted
	// and logged. A [WriteError] names fates by their index; of those that it names nothing is stored, and a permanent failure
	// (size, number of records) leaves the ID free for another fate. Other errors are as those of [Sink].
	WriteFates(ctx context.Context, fates []FateWrite) error
	Info() SinkInfo
	Close(ctx context.Context) error
}

// A FateWrite is what became of one event. ID names the event and its generation, not the attempt and not the outcome: dead
// letters have the ID that outputs would have had. The ID of its records is not looked at.
type FateWrite struct {
	ID      string
	Records []FateRecord
}

// A FateRecord is one record on one of the topics that the writer was opened with.
type FateRecord struct {
	Topic string
	Record
}
