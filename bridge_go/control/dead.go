package control

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/tinylib/msgp/msgp"

	"ds-runner.dev/ds-runner/bridge_go/arguments"
	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// page is how many dead letters are read at once.
const page = 256

// letters is a stream of dead letters and the input they came from.
type letters struct {
	*stream
	input string
}

// letters finds a stream of dead letters by its own name, or by its input's.
func (k *Control) letters(ctx context.Context, name string) (*letters, error) {
	all := k.c.Streams.DeadLetters()
	if _, ok := all[name]; !ok {
		for dead, input := range all {
			if input == name {
				name = dead
			}
		}
	}
	s, err := k.stream(ctx, name)
	if err != nil {
		return nil, err
	}
	input, ok := all[name]
	if !ok {
		return nil, &wire.CallError{Code: "unknown_stream", Reason: fmt.Sprintf("%s holds no dead letters. These do: %s",
			name, strings.Join(slices.Sorted(maps.Keys(all)), ", "))}
	}
	return &letters{s, input}, nil
}

// each calls f for all dead letters that are there now until it returns false: partition by partition, in each the oldest
// first. So a letter's number is the same whoever counts, which no order of several partitions by time would be.
func (l *letters) each(ctx context.Context, f func(*messaging.Record) bool) error {
	_, end, err := l.conn.Browse(ctx, l.topic, messaging.Newest, 0)
	if err != nil {
		return err
	}
	ends, err := end.Next()
	if err != nil {
		return err
	}
	for _, partition := range slices.Sorted(maps.Keys(ends)) {
		start := maps.Clone(ends)
		start[partition] = 0
		if more, err := l.eachBefore(ctx, messaging.CursorOf(start), end, f); err != nil || !more {
			return err
		}
	}
	return nil
}

// eachBefore calls f for the letters between two cursors, and tells whether it wants more.
func (l *letters) eachBefore(ctx context.Context, next, end messaging.Cursor, f func(*messaging.Record) bool) (more bool, err error) {
	for !next.Reached(end) {
		found, after, err := l.browse(ctx, next, page, 0)
		if err != nil || len(found) == 0 { // the rest was deleted
			return true, err
		}
		for i := range found { // letters that have come since may stand in between
			if end.Passed(&found[i]) && !f(&found[i]) {
				return false, nil
			}
		}
		next = after
	}
	return true, nil
}

// deadList answers [stream, input, count, oldest, newest, [code, count]...] for each stream of dead letters.
func (k *Control) deadList(ctx context.Context, r *request) ([]byte, error) {
	if r.End(); r.Err != nil {
		return nil, r.Err
	}
	names := slices.Sorted(maps.Keys(k.c.Streams.DeadLetters()))
	out := msgp.AppendArrayHeader(nil, uint32(len(names)))
	for _, name := range names {
		l, err := k.letters(ctx, name)
		if err != nil {
			return nil, err
		}
		if out, err = l.appendSummary(ctx, out); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return out, nil
}

func (l *letters) appendSummary(ctx context.Context, b []byte) ([]byte, error) {
	var count, oldest, newest int64
	codes := map[string]int64{}
	err := l.each(ctx, func(r *messaging.Record) bool {
		if count == 0 || r.Time < oldest {
			oldest = r.Time
		}
		newest = max(newest, r.Time)
		count++
		codes[codeOf(r)]++
		return true
	})
	b = msgp.AppendArrayHeader(b, 6)
	b = msgp.AppendString(msgp.AppendString(b, l.name), l.input)
	b = msgp.AppendInt64(msgp.AppendInt64(msgp.AppendInt64(b, count), oldest), newest)
	b = msgp.AppendArrayHeader(b, uint32(2*len(codes)))
	for _, code := range slices.Sorted(maps.Keys(codes)) {
		b = msgp.AppendInt64(msgp.AppendString(b, wire.Text(code, wire.MaxCode)), codes[code])
	}
	return b, err
}

// deadShow answers the n-th dead letter from the oldest, which is 1.
func (k *Control) deadShow(ctx context.Context, r *request) ([]byte, error) {
	name, n := r.Text("stream"), r.Number("number", 1, math.MaxInt64)
	if r.End(); r.Err != nil {
		return nil, r.Err
	}
	l, err := k.letters(ctx, name)
	if err != nil {
		return nil, err
	}
	var found *messaging.Record
	var seen int64
	if err := l.each(ctx, func(r *messaging.Record) bool {
		if seen++; seen == n {
			found = r
		}
		return found == nil
	}); err != nil {
		return nil, err
	}
	if found == nil {
		return nil, &wire.CallError{Code: "no_letter", Reason: fmt.Sprintf("%s holds %d dead letters, there is no number %d", l.name, seen, n)}
	}
	return appendRecord(nil, found), nil
}

// deadDrop deletes dead letters. Unlike replay it wants them named: what is dropped is gone.
func (k *Control) deadDrop(ctx context.Context, r *request) ([]byte, error) {
	name, chosen := r.Text("stream"), places(r.Arguments)
	if r.End(); r.Err != nil {
		return nil, r.Err
	}
	if len(chosen) == 0 {
		return nil, &wire.CallError{Code: "bad_arguments", Reason: "dead.drop: letters is empty, name what is to be dropped"}
	}
	l, err := k.letters(ctx, name)
	if err != nil {
		return nil, err
	}
	if err := l.conn.Delete(ctx, l.topic, chosen); errors.Is(err, messaging.ErrNotSupported) {
		return nil, &wire.CallError{Code: "not_supported", Reason: fmt.Sprintf(
			"%s cannot delete single records, nothing was dropped: its system keeps them as long as it keeps anything", l.name)}
	} else if err != nil {
		return nil, fmt.Errorf("%s: drop: %w", l.name, err)
	}
	k.c.Log.Info("dead letters dropped by the command line", "stream", l.name, "letters", len(chosen))
	return msgp.AppendInt(nil, len(chosen)), nil
}

// A replay sends dead letters back to the inputs they came from.
type replay struct {
	k        *Control
	letters  *letters
	id       string // what the ids of this stream's letters begin with
	wanted   map[place]bool
	replayed []messaging.Position
	skipped  []skip
}

// A place is where a letter stands, whatever assignment it was read under.
type place struct {
	partition int32
	offset    int64
}

func placeOf(p messaging.Position) place { return place{p.Partition, p.Offset} }

func (p place) compare(q place) int {
	return cmp.Or(cmp.Compare(p.partition, q.partition), cmp.Compare(p.offset, q.offset))
}

func positionOf(r *messaging.Record) messaging.Position {
	return messaging.Position{Partition: r.Partition, Offset: r.Offset, Epoch: r.Epoch}
}

type skip struct {
	place
	reason string
}

// deadReplay publishes dead letters again as the events that they were, and then deletes them. A letter that was published
// and not deleted, because the bridge died in between, is published again with the same id.
func (k *Control) deadReplay(ctx context.Context, r *request) ([]byte, error) {
	name, chosen := r.Text("stream"), places(r.Arguments)
	if r.End(); r.Err != nil {
		return nil, r.Err
	}
	l, err := k.letters(ctx, name)
	if err != nil {
		return nil, err
	}
	life, err := l.conn.Incarnation(ctx, l.topic)
	if errors.Is(err, messaging.ErrNoTopic) {
		life, err = "", nil // no letter was ever written
	}
	if err != nil {
		return nil, err
	}
	p := &replay{k: k, letters: l, id: fmt.Sprintf("replay/%s/%s/", l.name, life), wanted: map[place]bool{}}
	for _, c := range chosen {
		p.wanted[placeOf(c)] = true
	}
	kept, err := p.run(ctx, len(chosen) == 0)
	if err != nil {
		return nil, err
	}
	k.c.Log.Info("dead letters replayed by the command line", "stream", l.name, "letters", len(p.replayed), "skipped", len(p.skipped))
	return p.answer(kept), nil
}

// run replays in pages, so that a call that ends early has replayed and deleted the first ones. It tells whether the letters are
// still there because the connector cannot delete.
func (p *replay) run(ctx context.Context, all bool) (kept bool, err error) {
	var batch []messaging.Record
	flush := func() error {
		deleted, err := p.send(ctx, batch)
		kept = kept || err == nil && !deleted
		batch = batch[:0]
		return err
	}
	each := p.letters.each(ctx, func(r *messaging.Record) bool {
		at := placeOf(positionOf(r))
		if !all && !p.wanted[at] {
			return true
		}
		delete(p.wanted, at)
		if batch = append(batch, *r); len(batch) == page {
			err = flush()
		}
		return err == nil && (all || len(p.wanted) > 0)
	})
	if err == nil {
		err = each
	}
	if err == nil && len(batch) > 0 {
		err = flush()
	}
	for _, at := range slices.SortedFunc(maps.Keys(p.wanted), place.compare) {
		p.skipped = append(p.skipped, skip{at, "there is no such dead letter"})
	}
	return kept, err
}

// send publishes a page of letters, input by input, and deletes those that are stored.
func (p *replay) send(ctx context.Context, batch []messaging.Record) (deleted bool, err error) {
	inputs := map[string][]messaging.Outgoing{}
	letters := map[string][]messaging.Position{}
	for i := range batch {
		event, input, reason := p.event(&batch[i])
		at := positionOf(&batch[i])
		if reason != "" {
			p.skipped = append(p.skipped, skip{placeOf(at), reason})
			continue
		}
		inputs[input] = append(inputs[input], event)
		letters[input] = append(letters[input], at)
	}
	deleted = true
	for _, input := range slices.Sorted(maps.Keys(inputs)) {
		done, err := p.publish(ctx, input, inputs[input], letters[input])
		if err != nil {
			return deleted, err
		}
		if err := p.letters.conn.Delete(ctx, p.letters.topic, done); errors.Is(err, messaging.ErrNotSupported) {
			deleted = false
		} else if err != nil {
			return deleted, fmt.Errorf("%s: published, but not deleted: %w", p.letters.name, err)
		}
	}
	return deleted, nil
}

// publish returns the letters that are stored in the input.
func (p *replay) publish(ctx context.Context, input string, events []messaging.Outgoing, letters []messaging.Position) (
	stored []messaging.Position, err error,
) {
	s, err := p.k.stream(ctx, input)
	if err != nil {
		return nil, err
	}
	err = s.write(ctx, events)
	var failed *messaging.WriteError
	if err != nil && !errors.As(err, &failed) {
		return nil, fmt.Errorf("%s: %w", input, err)
	}
	if failed != nil {
		for _, f := range slices.Backward(failed.Failed) {
			p.skipped = append(p.skipped, skip{placeOf(letters[f.Index]), fmt.Sprintf("%s refuses it: %v", input, f.Err)})
			letters = slices.Delete(letters, f.Index, f.Index+1)
		}
	}
	p.replayed = append(p.replayed, letters...)
	return letters, nil
}

// event is a dead letter as the event that it was: without the headers that say why it died, which stand behind its own.
func (p *replay) event(r *messaging.Record) (out messaging.Outgoing, input, reason string) {
	own, why := r.Headers, -1
	for i, h := range r.Headers {
		if h.Name == dispatch.HeaderCode {
			why = i
		}
	}
	if why >= 0 {
		own = r.Headers[:why]
	}
	input = p.inputOf(r.Headers[len(own):])
	if bytes.HasPrefix(r.Value, []byte(`{"ds-note":`)) {
		return out, input, "its payload is left out; the event itself stands at " + header(r, dispatch.HeaderSource)
	}
	event := messaging.Record{Key: r.Key, Value: r.Value, Headers: own, Time: r.Time}
	return messaging.Outgoing{Record: event, ID: fmt.Sprintf("%s%d/%d", p.id, r.Partition, r.Offset)}, input, ""
}

// inputOf is the stream that the letter's source names, if there is one, or else the one that these dead letters belong to.
func (p *replay) inputOf(why []messaging.Header) string {
	for _, h := range why {
		if h.Name != dispatch.HeaderSource {
			continue
		}
		parts := strings.Split(string(h.Value), "/")
		if n := len(parts); n > 2 {
			if name := strings.Join(parts[:n-2], "/"); slices.Contains(p.k.c.Streams.Names(), name) {
				return name
			}
		}
	}
	return p.letters.input
}

// answer writes [replayed, kept, skipped]: [partition, offset] of each letter, and the reason of those that were skipped.
func (p *replay) answer(kept bool) []byte {
	out := msgp.AppendArrayHeader(nil, 3)
	out = msgp.AppendArrayHeader(out, uint32(len(p.replayed)))
	for _, at := range p.replayed {
		out = appendPlace(msgp.AppendArrayHeader(out, 2), placeOf(at))
	}
	out = msgp.AppendBool(out, kept)
	out = msgp.AppendArrayHeader(out, uint32(len(p.skipped)))
	for _, s := range p.skipped {
		out = appendPlace(msgp.AppendArrayHeader(out, 3), s.place)
		out = msgp.AppendString(out, wire.Text(s.reason, wire.MaxReason))
	}
	return out
}

func appendPlace(b []byte, p place) []byte {
	return msgp.AppendInt64(msgp.AppendInt64(b, int64(p.partition)), p.offset)
}

func codeOf(r *messaging.Record) string { return header(r, dispatch.HeaderCode) }

// header is the last one of a name: the letter's own, not one that the event came with.
func header(r *messaging.Record, name string) string {
	for _, h := range slices.Backward(r.Headers) {
		if h.Name == name {
			return string(h.Value)
		}
	}
	return ""
}

// places reads an array of [partition, offset], by which dead letters are called.
func places(a *arguments.Arguments) (v []messaging.Position) {
	a.List("letters", func(item *arguments.Arguments) {
		item.Tuple(fmt.Sprintf("letters[%d]", len(v)), func(pair *arguments.Arguments) {
			v = append(v, messaging.Position{
				Partition: int32(pair.Number("partition", 0, math.MaxInt32)), Offset: pair.Number("offset", 0, math.MaxInt64),
			})
		})
	})
	return v
}
