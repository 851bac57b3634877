package dispatch

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/steps"
)

// Names of the headers of dead letters and rejected events. Those of Kafka Connect are there for the tools that know them.
const (
	HeaderCode     = "ds-error-code"
	HeaderReason   = "ds-error-reason"
	HeaderDetail   = "ds-error-detail" // JSON, where the error has any
	HeaderAttempts = "ds-attempts"
	HeaderTime     = "ds-time" // RFC 3339

	connectTopic     = "__connect.errors.topic"
	connectPartition = "__connect.errors.partition"
	connectOffset    = "__connect.errors.offset"
	connectMessage   = "__connect.errors.exception.message"
)

// writeRest writes what has no outputs: rejected and dead events.
func (o *StreamOutlet) writeRest(ctx context.Context, fates []Fate) error {
	for _, kind := range []FateKind{Rejected, Dead} {
		var letters []int
		for i := range fates {
			if fates[i].Kind == kind {
				letters = append(letters, i)
			}
		}
		if err := o.writeLetters(ctx, kind, fates, letters); err != nil {
			return err
		}
	}
	return nil
}

func (o *StreamOutlet) writeLetters(ctx context.Context, kind FateKind, fates []Fate, which []int) error {
	to := o.c.Dead
	if kind == Rejected {
		to = o.c.Rejected
	}
	if to.Sink == nil || len(which) == 0 {
		return nil
	}
	records := make([]messaging.Outgoing, len(which))
	for i, fate := range which {
		records[i] = o.letter(to, &fates[fate], whole)
	}
	var refused []int
	err := o.persist(ctx, to, records, which, func(owner int, _ error) bool {
		refused = append(refused, owner)
		return true
	})
	for _, fate := range refused {
		if err == nil {
			err = o.reduce(ctx, to, &fates[fate])
		}
	}
	steps.At(steps.DeadLettering)
	return err
}

// A form of a letter is how much of the event it carries.
type form int

const (
	whole          form = iota
	withoutHeaders      // of the event; those that say why are kept
	withoutPayload      // a note in its place, which says where the event stands
	dropped             // nothing, where the settings say so
)

// reduce writes a letter that the sink refused with less in it: without the event's headers, then without its payload.
// One that is refused even so blocks, or is dropped if the settings say so.
func (o *StreamOutlet) reduce(ctx context.Context, to Target, f *Fate) error {
	counts := o.c.Counts
	for _, step := range []form{withoutHeaders, withoutPayload} {
		refused := false
		err := o.persist(ctx, to, []messaging.Outgoing{o.letter(to, f, step)}, []int{0}, func(int, error) bool {
			refused = true
			return true
		})
		if err != nil {
			return err
		}
		if !refused {
			map[form]func(uint64) uint64{withoutHeaders: counts.WithoutHeaders.Add, withoutPayload: counts.WithoutPayload.Add}[step](1)
			return nil
		}
	}
	if o.c.DropDead {
		counts.Dropped.Add(1)
		o.c.Log.Error("dead letter dropped: the sink refuses it in every form", "event", string(appendSource(nil, f)), "stream", to.Stream)
		return nil
	}
	o.c.Log.Error("dead letter blocks: the sink refuses it in every form", "event", string(appendSource(nil, f)), "stream", to.Stream)
	return o.persist(ctx, to, []messaging.Outgoing{o.letter(to, f, withoutPayload)}, []int{0}, func(int, error) bool { return false })
}

// letter is an event with why it is here.
func (o *StreamOutlet) letter(to Target, f *Fate, how form) messaging.Outgoing {
	out := messaging.Outgoing{Record: messaging.Record{Key: f.Record.Key, Value: f.Record.Stored(), Time: f.Record.Time}}
	if how == whole {
		out.Headers = append(out.Headers, f.Record.Headers...)
	}
	if how == withoutPayload {
		out.Key, out.Value = nil, pointer(f)
	}
	out.Headers = append(out.Headers, o.why(f, how)...)
	if to.Sink != nil && (to.Sink.Info().Deduplicates || to.Sink.Info().PassesID) {
		// A sink may have stored what it answered with an error: forms have ids of their own.
		out.ID = string(appendID(nil, idPrefix(o.c, to.Stream), f.Record, int(how)))
	}
	return out
}

// maxReason cuts texts where the letter has to be small.
const maxReason = 256

func (o *StreamOutlet) why(f *Fate, how form) []messaging.Header {
	reason := f.Reason
	if how == withoutPayload && len(reason) > maxReason {
		reason = reason[:maxReason]
	}
	h := func(name, value string) messaging.Header { return messaging.Header{Name: name, Value: []byte(value)} }
	headers := []messaging.Header{
		h(HeaderCode, f.Code), h(HeaderReason, reason), h(HeaderAttempts, strconv.Itoa(f.Attempts)),
		{Name: HeaderSource, Value: appendSource(nil, f)}, h(HeaderModel, f.Model),
		h(HeaderTime, o.c.Now().UTC().Format(time.RFC3339Nano)),
	}
	if how == withoutPayload {
		return headers
	}
	if f.Detail != nil {
		headers = append(headers, messaging.Header{Name: HeaderDetail, Value: f.Detail})
	}
	return append(headers, h(connectTopic, f.Stream), h(connectPartition, strconv.Itoa(int(f.Record.Partition))),
		h(connectOffset, strconv.FormatInt(f.Record.Offset, 10)), h(connectMessage, f.Reason))
}

// pointer is the note in place of a payload that the sink does not take.
func pointer(f *Fate) []byte {
	note, _ := json.Marshal(struct {
		Note   string `json:"ds-note"`
		Source string `json:"source"`
		Bytes  int    `json:"bytes"`
	}{"the payload is left out: the stream of dead letters refuses it", string(appendSource(nil, f)), len(f.Record.Stored())})
	return note
}
