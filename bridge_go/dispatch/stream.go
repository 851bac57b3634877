package dispatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/delivery"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// A Target is a sink, the name of the stream that it writes, and its topic. It has no sink where fates are stored as one.
type Target struct {
	Stream, Topic string
	Sink          messaging.Sink
	Encode        Encoder // of outputs, nil where the stream carries them as they are
}

// StreamConfig says where fates go.
type StreamConfig struct {
	Program, Command string
	Main             Target            // outputs
	Routed           map[string]Target // outputs that name another stream, by that name
	Dead             Target            // dead letters; without a sink they are counted and dropped
	Rejected         Target            // optional: rejected events
	// Fates, when not nil, stores all records of a fate as one, and each fate once. Targets then need a topic alone.
	Fates messaging.FateWriter
	// DropDead drops dead letters that the sink refuses in every form; otherwise they block until it takes them.
	DropDead bool

	Incarnation string // of the input stream, see messaging.Connection
	Generation  int    // raised when the input is read again on purpose

	Counts *SinkCounts
	Log    *slog.Logger
	Now    func() time.Time // for the header of dead letters; time.Now
}

// A StreamOutlet writes outputs, routed outputs, rejected events and dead letters to sinks. Outputs are written before dead
// letters. It retries for ever what may pass, with back-off: the events behind wait, and the source with them.
type StreamOutlet struct {
	c       StreamConfig
	made    outgoing
	encodes bool // some target has a format of its own
	whole   bundle
	forms   map[delivery.Ticket]form // of letters that were refused, where a fate is stored as one or in a transaction
	first   time.Duration            // of the back-off

	generation atomic.Int64
}

// NewStreamOutlet makes an outlet, which closes the sinks.
func NewStreamOutlet(c StreamConfig) *StreamOutlet {
	or(&c.Counts, &SinkCounts{})
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	o := &StreamOutlet{c: c, encodes: encodesAny(c), first: 50 * time.Millisecond}
	o.generation.Store(int64(c.Generation))
	return o
}

// Window is how long ids are remembered where results go; the shortest of them, 0 when none forgets any.
func (o *StreamOutlet) Window() (shortest time.Duration) {
	var infos []messaging.SinkInfo
	if o.c.Fates != nil {
		infos = append(infos, o.c.Fates.Info())
	}
	for _, t := range o.targets() {
		infos = append(infos, t.Sink.Info())
	}
	for _, i := range infos {
		if i.Deduplicates && i.Window > 0 && (shortest == 0 || i.Window < shortest) {
			shortest = i.Window
		}
	}
	return shortest
}

// Settle implements [Outlet].
func (o *StreamOutlet) Settle(ctx context.Context, fates []Fate) ([]Refusal, error) {
	refused := refusals{}
	o.begin()
	if err := o.encode(ctx, fates, refused); err != nil {
		return nil, err
	}
	if o.c.Fates != nil {
		return o.settleWhole(ctx, fates, refused)
	}
	for i := range fates {
		if fates[i].Kind == Scored && !refused.has(i) {
			o.outputs(i, &fates[i], refused)
		}
	}
	for _, q := range o.made.queues {
		if err := o.writeOutputs(ctx, q, fates, refused); err != nil {
			return nil, err
		}
	}
	if err := o.writeRest(ctx, fates); err != nil {
		return nil, err
	}
	return refused.sorted(), nil
}

// outputs queues the outputs of one event for their sinks.
func (o *StreamOutlet) outputs(i int, f *Fate, refused refusals) {
	routes := f.Routes
	for j, value := range f.toStore() {
		to := o.c.Main
		if len(routes) > 0 && routes[0].Index == j {
			to = o.c.Routed[routes[0].Stream]
			if to.Sink == nil {
				refused.add(i, "unknown_stream", fmt.Sprintf("the model routed an output to %q, which the command does not declare", routes[0].Stream))
			}
			routes = routes[1:]
		}
		if to.Sink != nil {
			o.made.add(to, i, j, f, value)
		}
	}
}

// writeOutputs writes one sink's outputs, until all are stored or refused.
func (o *StreamOutlet) writeOutputs(ctx context.Context, q *queue, fates []Fate, refused refusals) error {
	giveUp := func(owner int, err error) bool {
		o.c.Counts.Refusals.Add(1)
		refused.add(owner, "output_refused", fmt.Sprintf("%s refused an output: %v", q.to.Stream, err))
		return true
	}
	w := wave{records: q.finished(), owners: q.owners}
	for rest := (wave{}); len(w.records) > 0; w = rest {
		if rest = (wave{}); !q.to.Sink.Info().InOrder {
			w, rest = w.split(fates)
		}
		if err := o.persist(ctx, q.to, w.records, w.owners, giveUp); err != nil {
			return err
		}
	}
	return nil
}

// persist writes records until all are stored or given up. Owners are the numbers by which giveUp knows them; it is asked
// for each record that the sink refuses for good, and says whether that ends it.
func (o *StreamOutlet) persist(ctx context.Context, to Target, records []messaging.Outgoing, owners []int, giveUp func(owner int, err error) bool) error {
	for pause := o.first; len(records) > 0; pause = min(2*pause, 10*time.Second) {
		err := to.Sink.Write(ctx, records)
		if err == nil {
			return nil
		}
		var partial *messaging.WriteError
		if errors.As(err, &partial) {
			records, owners = remaining(partial, records, owners, giveUp)
			if len(records) == 0 {
				return nil
			}
		}
		o.c.Counts.Retries.Add(1)
		if pause == o.first || pause >= 5*time.Second {
			o.c.Log.Warn("write failed, trying again", "stream", to.Stream, "records", len(records), "error", err)
		}
		if err := sleep(ctx, pause/2+rand.N(pause)); err != nil {
			return err
		}
	}
	return nil
}

// remaining are the records that a partial failure leaves to be written again, in order.
func remaining(e *messaging.WriteError, records []messaging.Outgoing, owners []int, giveUp func(int, error) bool) ([]messaging.Outgoing, []int) {
	var again []messaging.Outgoing
	var whose []int
	for _, f := range e.Failed {
		if f.Permanent && giveUp(owners[f.Index], f.Err) {
			continue
		}
		again = append(again, records[f.Index])
		whose = append(whose, owners[f.Index])
	}
	return again, whose
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close implements [Outlet].
func (o *StreamOutlet) Close(ctx context.Context) error {
	var errs []error
	if o.c.Fates != nil {
		errs = append(errs, o.c.Fates.Close(ctx))
	}
	for _, t := range o.targets() {
		errs = append(errs, t.Sink.Close(ctx))
	}
	return errors.Join(errs...)
}

// targets are those with a sink.
func (o *StreamOutlet) targets() (list []Target) {
	all := []Target{o.c.Main, o.c.Dead, o.c.Rejected}
	for _, name := range slices.Sorted(maps.Keys(o.c.Routed)) {
		all = append(all, o.c.Routed[name])
	}
	return slices.DeleteFunc(all, func(t Target) bool { return t.Sink == nil })
}
