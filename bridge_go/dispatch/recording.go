package dispatch

import (
	"context"
	"errors"
	"sync"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/tape"
)

// A Recording is what somebody hears of a route's live traffic, as the bytes of a tape. The route's loop puts whole frames into its queue and
// waits for nobody: what the reader does not take in time is dropped, batch by batch, and counted. Its methods are safe from any
// goroutine.
//
// One that is not asked for a while has lost its reader and ends by itself, so that a command line that was killed costs no more
// than a full queue, and not for long.
type Recording struct {
	limit int
	idle  time.Duration

	reading sync.Mutex // one reader at a time, and taken first
	rest    []byte     // encoded and not taken yet; the reader's

	mu    sync.Mutex
	queue []queued
	bytes int
	lost  tape.Gap // since the last frame
	count Recorded
	asked time.Time
	stop  bool // asked to take nothing new
	over  bool // nothing more comes
	more  chan struct{}
}

// Recorded counts what a recording has taken.
type Recorded struct{ Batches, Events, Fates, DroppedBatches, DroppedEvents uint64 }

// queued is a frame and about what it weighs.
type queued struct {
	frame tape.Frame
	bytes int
}

// ErrRecording is answered to the second who wants to record a route.
var ErrRecording = errors.New("it is being recorded already")

// defaultTapeBytes bounds what a recording keeps for its reader.
const defaultTapeBytes = 64 << 20

// recordingIdle is how long a recording is kept without being asked.
const recordingIdle = 10 * time.Second

// chunkBytes is about what Next gives at once: well below the frame of an answer.
const chunkBytes = 4 << 20

func newRecording(c RecordConfig) *Recording {
	or(&c.Bytes, defaultTapeBytes)
	or(&c.Idle, recordingIdle)
	return &Recording{limit: c.Bytes, idle: c.Idle, asked: time.Now(), more: make(chan struct{}, 1), rest: []byte(tape.Magic)}
}

// Next waits until there is something, or the context ends, and gives the tape's next bytes, and what was counted by then. The last bytes come
// with done.
func (x *Recording) Next(ctx context.Context) (data []byte, count Recorded, done bool) {
	for {
		if data, count, done = x.take(); len(data) > 0 || done {
			return data, count, done
		}
		select {
		case <-x.more:
		case <-ctx.Done():
			return nil, count, false
		}
	}
}

// take encodes frames outside of the lock: the loop never waits for that. What is encoded and not given yet is less than a chunk and one
// frame, so that the bound of the queue is one of memory, too.
func (x *Recording) take() (data []byte, count Recorded, done bool) {
	x.reading.Lock()
	defer x.reading.Unlock()
	x.mu.Lock()
	x.asked = time.Now()
	frames := x.queue
	taken := 0
	for size := len(x.rest); taken < len(frames) && size < chunkBytes; taken++ {
		size += frames[taken].bytes
	}
	x.queue = frames[taken:]
	for _, f := range frames[:taken] {
		x.bytes -= f.bytes
	}
	count, done = x.count, x.over && len(x.queue) == 0
	x.mu.Unlock()
	for _, f := range frames[:taken] {
		x.rest = tape.Append(x.rest, f.frame)
	}
	clear(frames[:taken]) // the queue's array lives on
	n := min(len(x.rest), chunkBytes)
	if data, x.rest = x.rest[:n:n], x.rest[n:]; len(x.rest) == 0 {
		x.rest = nil
	}
	return data, count, done && len(x.rest) == 0
}

// Stop has the recording take no new batch. Next goes on until the fates of those that it has are known, or RecordConfig.Fates has passed.
func (x *Recording) Stop() {
	x.mu.Lock()
	x.stop = true
	x.mu.Unlock()
}

func (x *Recording) stopping() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.stop
}

// abandoned says that nobody has asked for long.
func (x *Recording) abandoned() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return time.Since(x.asked) > x.idle
}

// put queues a frame that is small, and never dropped.
func (x *Recording) put(f tape.Frame) {
	x.mu.Lock()
	x.queue = append(x.queue, queued{f, 0})
	if fates, ok := f.(*tape.Fates); ok {
		for _, run := range fates.Runs {
			x.count.Fates += uint64(run.N)
		}
	}
	x.mu.Unlock()
	x.wake()
}

// putBatch queues a batch, or drops it when there is no room, or it is too large for any; it says whether it is queued. The first
// batch behind a gap tells of it.
func (x *Recording) putBatch(b *tape.Batch, tooLarge bool) bool {
	size, events := b.Size(), uint64(len(b.Batch.Payloads))
	x.mu.Lock()
	defer x.mu.Unlock()
	if tooLarge || x.bytes+size > x.limit && x.bytes > 0 || size > tape.MaxFrame/2 {
		x.lost.Batches++
		x.lost.Events += events
		x.count.DroppedBatches++
		x.count.DroppedEvents += events
		return false
	}
	if x.lost.Batches > 0 {
		gap := x.lost
		x.queue = append(x.queue, queued{&gap, 0})
		x.lost = tape.Gap{}
	}
	x.queue = append(x.queue, queued{b, size})
	x.bytes += size
	x.count.Batches++
	x.count.Events += events
	x.wake()
	return true
}

// end says that nothing more comes. In order, the tape gets its last frame.
func (x *Recording) end(orderly bool) {
	x.mu.Lock()
	if x.lost.Batches > 0 {
		gap := x.lost
		x.queue = append(x.queue, queued{&gap, 0})
	}
	if orderly {
		x.queue = append(x.queue, queued{&tape.End{Ended: time.Now().UnixNano()}, 0})
	}
	x.over = true
	x.mu.Unlock()
	x.wake()
}

// wake never blocks: one that is awake already looks at all there is.
func (x *Recording) wake() {
	select {
	case x.more <- struct{}{}:
	default:
	}
}
