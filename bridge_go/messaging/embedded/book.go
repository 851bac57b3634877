package embedded

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"ds-runner.dev/ds-runner/bridge_go/messaging/jetstream"
)

// A book is what is kept of a topic beside the store, to tell what it lost from what was deleted on purpose: the server passes
// over damaged records without a word.
type book struct {
	Life    string // of the topic that this speaks of
	Shorter int    // how often the store lost its end, since offsets are then given out again
	First   uint64 // the first and
	End     uint64 // the last sequence when the topic was closed
	Deleted spans  // by Delete
}

const bookGroup = "/topic" // no program/command begins with a slash

// A span is a run of sequences, both ends included.
type span struct{ From, To uint64 }

// spans are sorted and do not touch.
type spans []span

// maxSpans bounds the book. Letters are dealt with in runs; beyond this the oldest deletions are forgotten, which a reader of
// dead letters that stands before them would be told as a loss.
const maxSpans = 1 << 16

func (s spans) add(seq uint64) spans {
	i, in := s.find(seq)
	if in {
		return s
	}
	s = slices.Insert(s, i, span{seq, seq})
	if i+1 < len(s) && s[i+1].From == seq+1 {
		s[i].To = s[i+1].To
		s = slices.Delete(s, i+1, i+2)
	}
	if i > 0 && s[i-1].To == seq-1 {
		s[i-1].To = s[i].To
		s = slices.Delete(s, i, i+1)
	}
	return s[max(len(s)-maxSpans, 0):]
}

// find is the place of the span that holds a sequence, or where one would stand.
func (s spans) find(seq uint64) (at int, in bool) {
	return slices.BinarySearchFunc(s, seq, func(x span, seq uint64) int {
		if x.From <= seq && seq <= x.To {
			return 0
		}
		return cmp.Compare(x.From, seq)
	})
}

// without is what is left of from to to.
func (s spans) without(from, to uint64) (left spans) {
	i, _ := s.find(from)
	for ; i < len(s) && s[i].From <= to; i++ {
		if s[i].From > from {
			left = append(left, span{from, s[i].From - 1})
		}
		from = s[i].To + 1
	}
	if from <= to {
		left = append(left, span{from, to})
	}
	return left
}

func (s spans) count() (n uint64) {
	for _, x := range s {
		n += x.To - x.From + 1
	}
	return n
}

// openBook finds the topic's book, begins one for a topic that was made again, and compares it with the store. A topic whose newest
// record has expired may be empty.
func (t *topic) openBook(life string, state streamState, expired bool) error {
	if _, err := t.engine.positions.Load(t.key, bookGroup, &t.book); err != nil {
		return err
	}
	if t.book.Life != life {
		t.book = book{Life: life}
	}
	if t.book.End > state.LastSeq {
		t.lost = t.book.End - state.LastSeq
		return t.shorten(state.LastSeq)
	}
	if state.Messages == 0 && t.book.End > 0 && !expired && !t.shared {
		t.lost = t.book.Deleted.without(t.book.First, t.book.End).count()
	}
	return nil
}

// shorten notes that the store ends earlier than it did.
func (t *topic) shorten(end uint64) error {
	t.book.Shorter++
	t.book.End = end
	return t.saveBook()
}

func (t *topic) saveBook() error { return t.engine.positions.Save(t.key, bookGroup, t.book) }

// incarnation names this life of the topic, and changes when it lost its end.
func (t *topic) incarnation() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.book.Shorter == 0 {
		return t.book.Life
	}
	return fmt.Sprintf("%s.%d", t.book.Life, t.book.Shorter)
}

// delete notes each deletion first: a record that is noted and still there is read all the same.
func (t *topic) delete(ctx context.Context, offsets []int64) error {
	state, err := t.state(ctx)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	var there []uint64
	for _, offset := range offsets {
		if seq := uint64(max(offset, 0)); seq >= state.FirstSeq && seq <= state.LastSeq {
			there = append(there, seq)
			t.book.Deleted = t.book.Deleted.add(seq)
		}
	}
	if err := t.saveBook(); err != nil {
		return err
	}
	for _, seq := range there {
		err := t.call(ctx, "MSG.DELETE", fmt.Sprintf(`{"seq":%d,"no_erase":true}`, seq), &struct{}{})
		if err != nil && !jetstream.HasCode(err, jetstream.CodeNoMessage, jetstream.CodeNoSequence, jetstream.CodeDeleteRefused) { // gone already
			return err
		}
	}
	return nil
}

// missing is what of from to to was not deleted on purpose. In a stream of many topics that cannot be told: what is missing of one
// belongs to another.
func (t *topic) missing(from, to uint64) spans {
	if t.shared {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.book.Deleted.without(from, to)
}

// close notes where the topic ends, for the next opening.
func (t *topic) close() error {
	state, err := t.state(context.Background())
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.book.First, t.book.End = state.FirstSeq, state.LastSeq
	return t.saveBook()
}

// tellDamage says at a topic's first use what the store has lost of it.
func (c *connection) tellDamage(t *topic, state streamState) {
	log := c.options.Log.With("topic", t.name)
	if t.lost > 0 {
		c.lost.Add(float64(t.lost))
		log.Error("the store is damaged: records of this topic are lost", "records", t.lost, "last", state.LastSeq)
	}
	if state.Lost != nil && state.Lost.Bytes > 0 {
		log.Error("the store dropped what it could not read of this topic; it may be a write that nobody was told of",
			"bytes", state.Lost.Bytes, "records", len(state.Lost.Msgs))
	}
}

// A DamageError says that records which should be in the store are not, or cannot be read. It comes again until the
// connection says gap=continue.
type DamageError struct {
	Topic    string
	From, To int64
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("embedded: %s: records %d to %d are damaged and cannot be read. Set gap=continue on the connection to go on without them",
		e.Topic, e.From, e.To)
}
