package dispatch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/steps"
)

// Exactly once, by whole fates: all records of an event, results and dead letter alike, are stored as one under one id, which
// names the event and not what became of it. The first attempt decides; a second one, after a crash, finds the id taken.
//
// That holds while the store remembers the id, so what is stored may not wait long for its position to be committed: the route
// hands fates over in the order of their partitions (Config.Sequenced), and a stuck event keeps the later ones from being stored.

// A bundle is fates on their way to a FateWriter. Its buffers are used again with the next slice.
type bundle struct {
	writes  []messaging.FateWrite
	owners  []int // index of the fate, for each write
	records []messaging.FateRecord
	headers []messaging.Header
	text    []byte
}

func (b *bundle) reset() {
	clear(b.writes)
	clear(b.records)
	b.writes, b.owners, b.records, b.headers, b.text = b.writes[:0], b.owners[:0], b.records[:0], b.headers[:0], b.text[:0]
}

// settleWhole is Settle where all records of a fate are stored as one. Some may be refused already.
func (o *StreamOutlet) settleWhole(ctx context.Context, fates []Fate, refused refusals) ([]Refusal, error) {
	todo := make([]int, 0, len(fates))
	for i := range fates {
		if !refused.has(i) {
			todo = append(todo, i)
		}
	}
	for pause := o.first; ; pause = min(2*pause, 10*time.Second) {
		todo = o.bundle(fates, todo, refused)
		if len(todo) == 0 {
			break
		}
		err := o.c.Fates.WriteFates(ctx, o.whole.writes)
		if err == nil {
			break
		}
		var partial *messaging.WriteError
		if errors.As(err, &partial) {
			var atOnce bool
			if todo, atOnce = o.sort(partial, fates, todo, refused); atOnce {
				continue
			}
		}
		if len(todo) == 0 {
			break
		}
		o.c.Counts.Retries.Add(1)
		if pause == o.first || pause >= 5*time.Second {
			o.c.Log.Warn("write failed, trying again", "fates", len(todo), "error", err)
		}
		if err := sleep(ctx, pause/2+rand.N(pause)); err != nil {
			o.settledForms(err, fates)
			return nil, err
		}
	}
	o.settledForms(nil, fates)
	return refused.sorted(), nil
}

// bundle makes the writes of the fates that are to be stored, and returns those that can be.
func (o *StreamOutlet) bundle(fates []Fate, todo []int, refused refusals) []int {
	b := &o.whole
	b.reset()
	prefix := o.c.Program + "/" + o.c.Command + ":" + o.c.Incarnation + ":" + strconv.Itoa(o.c.Generation) + ":"
	for _, i := range todo {
		f := &fates[i]
		from := len(b.records)
		switch {
		case f.Kind == Scored && !o.results(i, f, refused):
			b.records = b.records[:from]
			continue
		case f.Kind != Scored:
			o.lone(f)
		}
		id := appendSequence([]byte(prefix), f.Record)
		b.writes = append(b.writes, messaging.FateWrite{ID: string(id), Records: b.records[from:len(b.records):len(b.records)]})
		b.owners = append(b.owners, i)
	}
	return b.owners
}

// results adds the outputs of an event; false when one of them has nowhere to go.
func (o *StreamOutlet) results(i int, f *Fate, refused refusals) bool {
	b := &o.whole
	from, at := len(b.text), len(b.headers)
	b.text = appendSource(b.text, f)
	b.headers = append(b.headers, messaging.Header{Name: HeaderSource, Value: b.text[from:len(b.text):len(b.text)]},
		messaging.Header{Name: HeaderModel, Value: bytesOf(f.Model)})
	headers := b.headers[at:len(b.headers):len(b.headers)]
	routes := f.Routes
	for j, value := range f.toStore() {
		to := o.c.Main
		if len(routes) > 0 && routes[0].Index == j {
			if to = o.c.Routed[routes[0].Stream]; to.Topic == "" {
				refused.add(i, "unknown_stream", fmt.Sprintf("the model routed an output to %q, which is not stored with the command's outputs", routes[0].Stream))
				return false
			}
			routes = routes[1:]
		}
		if to.Topic != "" {
			b.records = append(b.records, messaging.FateRecord{Topic: to.Topic,
				Record: messaging.Record{Key: f.Record.Key, Value: value, Headers: headers}})
		}
	}
	return true
}

// lone adds the letter of a rejected or dead event, if there is a stream for it.
func (o *StreamOutlet) lone(f *Fate) {
	to := o.c.Dead
	if f.Kind == Rejected {
		to = o.c.Rejected
	}
	if how := o.forms[f.ID]; to.Topic != "" && how < dropped {
		o.whole.records = append(o.whole.records, messaging.FateRecord{Topic: to.Topic, Record: o.letter(to, f, how).Record})
		steps.At(steps.DeadLettering)
	}
}

// sort takes out of a failure what is to be tried again: outputs that are refused for good are their fates' refusals, letters
// are tried with less in them, at once.
func (o *StreamOutlet) sort(e *messaging.WriteError, fates []Fate, todo []int, refused refusals) (again []int, atOnce bool) {
	for _, x := range e.Failed {
		i := todo[x.Index]
		switch f := &fates[i]; {
		case !x.Permanent:
			again = append(again, i)
		case f.Kind == Scored:
			o.c.Counts.Refusals.Add(1)
			refused.add(i, "output_refused", fmt.Sprintf("the store refused an output: %v", x.Err))
		default:
			if o.reduced(f) {
				atOnce = true
			} else {
				o.c.Log.Error("dead letter blocks: the store refuses it in every form", "event", string(appendSource(nil, f)), "error", x.Err)
			}
			again = append(again, i)
		}
	}
	return again, atOnce
}
