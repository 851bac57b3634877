package player

import (
	"errors"
	"fmt"
	"io"

	"ds-runner.dev/ds-runner/bridge_go/tape"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// A place is where an event is in the input.
type place struct {
	partition int32
	offset    int64
}

// A plan is what the first reading of a tape finds. An event that came more than once is compared by its last answer: the earlier ones were
// failures that were tried again, or answers that came out of order.
type plan struct {
	stream string
	last   map[place]int // the batch with the event's last answer
	only   map[string]bool
	seen   int // batches that can be read
	report Report
}

func scan(from io.Reader, only []string) (*plan, error) {
	frames, err := tape.NewReader(from)
	if err != nil {
		return nil, err
	}
	p := &plan{last: map[place]int{}, only: map[string]bool{}}
	for _, id := range only {
		p.only[id] = true
	}
	lost := map[place]int{}
	for {
		f, err := frames.Next()
		var torn *tape.TornError
		switch {
		case errors.As(err, &torn):
			p.report.Torn = torn.Error()
			return p.counted(), nil
		case errors.Is(err, io.EOF):
			return p.counted(), nil
		case err != nil:
			return nil, err
		}
		p.take(f, lost)
	}
}

// take notes a frame; lost are the single events whose workers died of them.
func (p *plan) take(f tape.Frame, lost map[place]int) {
	switch f := f.(type) {
	case *tape.Recording:
		p.stream = f.Stream
	case *tape.Batch:
		p.answered(f, lost)
		p.seen++
	case *tape.Fates:
		for _, run := range f.Runs {
			at := place{run.Partition, run.First}
			if index, ok := lost[at]; ok && run.Kind == tape.Dead {
				p.last[at] = index
			}
		}
	case *tape.Gap:
		p.report.Gap.Batches += f.Batches
		p.report.Gap.Events += f.Events
	case *tape.End:
		p.report.Ended = true
	}
}

func (p *plan) answered(b *tape.Batch, lost map[place]int) {
	if !b.Answered() {
		if len(b.Batch.Payloads) == 1 && len(b.Answers) == 0 {
			lost[placesOf(b.Batch)[0]] = p.seen
		}
		return
	}
	again := map[uint64]bool{}
	for _, a := range b.Answers {
		for _, e := range a.(*wire.Result).Errors {
			again[e.Index] = e.Kind == wire.KindRetry
		}
	}
	for i, at := range placesOf(b.Batch) {
		if !again[uint64(i)] {
			p.last[at] = p.seen
		}
	}
}

// counted ends the plan.
func (p *plan) counted() *plan {
	played := map[int]bool{}
	for _, index := range p.last {
		played[index] = true
	}
	p.report.Unanswered = p.seen - len(played)
	return p
}

// plays says whether a batch has an answer that is wanted.
func (p *plan) plays(index int, b *tape.Batch) bool {
	for _, at := range placesOf(b.Batch) {
		if p.wants(index, at) {
			return true
		}
	}
	return false
}

// wants says whether the answer to an event in a batch is the one that counts.
func (p *plan) wants(index int, at place) bool {
	last, ok := p.last[at]
	return ok && last == index && (len(p.only) == 0 || p.only[p.id(at)])
}

func (p *plan) id(at place) string { return fmt.Sprintf("%s/%d/%d", p.stream, at.partition, at.offset) }

// placesOf are the places of a batch's events, in order.
func placesOf(b *wire.Batch) []place {
	all := make([]place, 0, len(b.Payloads))
	for _, run := range b.Positions {
		for i := range run.N {
			all = append(all, place{run.Partition, run.First + i})
		}
	}
	return all
}
