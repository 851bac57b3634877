package nats

import (
	"cmp"
	"slices"
)

// A message that the server counts as ours: handed out, or about to be, and not settled.
type message struct {
	seq   int64
	reply string // what it is acknowledged by; empty when the server does not know of it any more
}

// held are the messages of a partition that are ours, in the order in which they came. With one reader their sequences increase;
// where readers share, what another left behind comes late.
type held struct {
	line  []message // from head on
	head  int
	where map[int64]int // of each sequence, its place in the line; nil while they increase
}

// share says that messages may come in any order.
func (h *held) share() { h.where = map[int64]int{} }

// find is the place of a message in the line.
func (h *held) find(seq int64) (int, bool) {
	if h.where != nil {
		i, ok := h.where[seq]
		return i, ok
	}
	i, ok := slices.BinarySearchFunc(h.line[h.head:], seq, func(m message, seq int64) int { return cmp.Compare(m.seq, seq) })
	return h.head + i, ok
}

func (h *held) add(seq int64, reply string) {
	if h.where != nil {
		h.where[seq] = len(h.line)
	}
	h.line = append(h.line, message{seq, reply})
}

// renew takes the newest reply of a message that came again, and tells whether it is held.
func (h *held) renew(seq int64, reply string) bool {
	i, ok := h.find(seq)
	if ok {
		h.line[i].reply = reply
	}
	return ok
}

// expire forgets by what messages are acknowledged, from a sequence on, until they come again.
func (h *held) expire(from int64) {
	for i := h.head; i < len(h.line); i++ {
		if h.line[i].seq >= from {
			h.line[i].reply = ""
		}
	}
}

// upTo are the messages that a commit of a sequence settles: all that came up to it, it included. A sequence that is not held
// settles those at the front that are below it.
func (h *held) upTo(seq int64) []message {
	if i, ok := h.find(seq); ok {
		return h.line[h.head : i+1]
	}
	end := h.head
	for end < len(h.line) && h.line[end].seq <= seq {
		end++
	}
	return h.line[h.head:end]
}

// drop lets go of the first n.
func (h *held) drop(n int) {
	for _, m := range h.line[h.head : h.head+n] {
		delete(h.where, m.seq)
	}
	clear(h.line[h.head : h.head+n])
	h.head += n
	if h.head < len(h.line)/2 {
		return
	}
	h.line = append(h.line[:0:0], h.line[h.head:]...)
	h.head = 0
	for i := range h.line {
		if h.where != nil {
			h.where[h.line[i].seq] = i
		}
	}
}

func (h *held) clear() {
	shared := h.where != nil
	*h = held{}
	if shared {
		h.share()
	}
}

// all are those that are held.
func (h *held) all() []message { return h.line[h.head:] }
