package server

import (
	"time"

	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// writeChunk is how much is encoded before it is written: several small frames share a system call.
const writeChunk = 256 << 10

// keepBuffer is the largest write buffer that is kept for the next frame.
const keepBuffer = 4 << 20

// A writer encodes and writes what is in the outbox, in its own goroutine, until the outbox has finished or the socket fails.
// Most frames never come here: see direct.
type writer struct {
	*conn
	buf    []byte
	frames int // in buf
}

func (w *writer) run() {
	var list []wire.Message
	for range w.outbox.wake {
		var rest []byte
		var last bool
		w.mu.Lock()
		rest, list, last = w.outbox.take(list[:0])
		w.mu.Unlock()
		if err := w.writeAll(rest, list); err != nil {
			w.failed()
			return
		}
		w.mu.Lock()
		w.outbox.busy = false
		w.mu.Unlock()
		clear(list)
		if last {
			return
		}
	}
}

func (w *writer) writeAll(rest []byte, list []wire.Message) error {
	if len(rest) > 0 {
		n, err := w.socket.Write(rest)
		w.out.add(0, n)
		if err != nil {
			return err
		}
	}
	return w.write(list)
}

func (w *writer) write(list []wire.Message) error {
	for _, m := range list {
		var err error
		if w.buf, err = w.encode(w.buf, m); err != nil {
			w.tooLong(err)
			break
		}
		w.frames++
		if len(w.buf) < writeChunk {
			continue
		}
		if err := w.flush(); err != nil {
			return err
		}
	}
	return w.flush()
}

// tooLong closes the session over a frame that should never have been made: the dispatcher knows the limit from HELLO.
func (w *writer) tooLong(err error) {
	w.server.Log.Error("wire: a frame is too long", w.attrs("error", err.Error())...)
	w.say(wire.ByeInternal, err.Error())
}

func (w *writer) flush() error {
	if w.frames == 0 {
		return nil
	}
	n, err := w.socket.Write(w.buf)
	w.out.add(w.frames, n)
	w.buf, w.frames = w.buf[:0], 0
	if cap(w.buf) > keepBuffer {
		w.buf = nil
	}
	return err
}

// failed leaves the end to the reader: what the peer wrote before the link broke still counts. A peer that has only
// stopped to read gets lastWords, then the reader gives up.
func (w *writer) failed() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.outbox.clear()
	if w.end == nil {
		w.socket.SetReadDeadline(time.Now().Add(lastWords))
	}
}
