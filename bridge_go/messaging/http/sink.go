package http

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	nethttp "net/http"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// A sink posts records to one address. Records of one key go in one line, one request after the other, so that they arrive in
// order; several lines are under way at once.
type sink struct {
	e   *endpoint
	url string
}

// Info implements messaging.Sink. Whether an endpoint stores a message id once is its own affair.
func (s *sink) Info() messaging.SinkInfo {
	set := &s.e.settings
	return messaging.SinkInfo{MaxBytes: set.maxValue, PassesID: true, InOrder: set.order == "key" || set.concurrency == 1}
}

// Close implements messaging.Sink.
func (s *sink) Close(context.Context) error { return nil }

// Write implements messaging.Sink.
func (s *sink) Write(ctx context.Context, records []messaging.Outgoing) error {
	if s.e.isClosed() {
		return messaging.ErrClosed
	}
	w := &write{sink: s, records: records, failed: make([]*messaging.WriteFailure, len(records)), stored: make([]bool, len(records))}
	var lines sync.WaitGroup
	for _, line := range w.lines() {
		lines.Go(func() { w.send(ctx, line) })
	}
	lines.Wait()
	if err := ctx.Err(); err != nil && slices.ContainsFunc(w.failed, func(f *messaging.WriteFailure) bool { return f != nil }) {
		return err
	}
	return w.outcome()
}

// A write is one call of Write. Each line writes the failures of its own records alone.
type write struct {
	*sink
	records []messaging.Outgoing
	failed  []*messaging.WriteFailure
	stored  []bool
}

// lines deals the records out, by key; those without a key go in turn. What is too large is in none.
func (w *write) lines() [][]int {
	lines := make([][]int, w.e.settings.concurrency)
	turn := uint32(0)
	for i := range w.records {
		r := &w.records[i]
		if err := w.e.unfit(r.Value); err != nil {
			w.fail(i, true, err)
			continue
		}
		at := turn
		if r.Key != nil && w.e.settings.order == "key" {
			at = hash(r.Key)
		} else {
			turn++
		}
		n := at % uint32(len(lines))
		lines[n] = append(lines[n], i)
	}
	return slices.DeleteFunc(lines, func(line []int) bool { return len(line) == 0 })
}

// unfit says why a value cannot be sent. In a batch each has to be JSON, or else it would change what its neighbours mean.
func (e *endpoint) unfit(value []byte) error {
	switch {
	case len(value) > e.settings.maxValue:
		return fmt.Errorf("value of %d bytes is over the limit of %d (max_value)", len(value), e.settings.maxValue)
	case e.settings.body == bodyValue || value == nil || json.Valid(value):
		return nil
	}
	return fmt.Errorf("the value is no JSON, and a batch (body: %s) holds JSON values", e.settings.body)
}

// hash is FNV-1a.
func hash(key []byte) uint32 {
	h := uint32(2166136261)
	for _, b := range key {
		h = (h ^ uint32(b)) * 16777619
	}
	return h
}

// send posts a line, batch by batch. When one does not pass, those behind it wait for the next Write, since they may not overtake it.
func (w *write) send(ctx context.Context, line []int) {
	for len(line) > 0 {
		n := w.cut(line)
		err := w.persist(ctx, line[:n])
		if err != nil {
			for _, i := range line {
				w.fail(i, false, err)
			}
			return
		}
		line = line[n:]
	}
}

// cut is the number of records in the next request.
func (w *write) cut(line []int) int {
	if w.e.settings.body == bodyValue {
		return 1
	}
	n, size := 0, 0
	for n < len(line) && n < w.e.settings.batchEvents {
		if size += len(w.records[line[n]].Value) + 1; n > 0 && size > w.e.settings.batchBytes {
			break
		}
		n++
	}
	return n
}

// persist tries a batch until it is stored, refused for good, or has had its tries. A batch that is refused is halved, to find the
// records that are: one bad record is no reason to refuse its neighbours.
func (w *write) persist(ctx context.Context, batch []int) error {
	for failures := 0; ; failures++ {
		if err := w.e.wait(ctx, failures); err != nil {
			return err
		}
		err := w.once(ctx, batch)
		var no *refusal
		var later *delay
		switch {
		case err == nil:
			for _, i := range batch {
				w.stored[i] = true
			}
			return nil
		case errors.As(err, &later):
			w.e.retries.Inc()
			w.e.quiet(later.after)
			if failures+1 >= w.e.settings.tries {
				return fmt.Errorf("after %d tries: %w", failures+1, later.err)
			}
		case errors.As(err, &no) && len(batch) > 1:
			if err := w.persist(ctx, batch[:len(batch)/2]); err != nil {
				return err
			}
			return w.persist(ctx, batch[len(batch)/2:])
		case errors.As(err, &no):
			w.e.refusals.Inc()
			w.fail(batch[0], true, no)
			return nil
		default:
			return err
		}
	}
}

// once is one try, with a deadline of its own.
func (w *write) once(ctx context.Context, batch []int) error {
	bounded, cancel := context.WithTimeout(ctx, w.e.settings.timeout)
	defer cancel()
	q, err := w.compose(bounded, batch)
	if err != nil {
		return err
	}
	err = w.e.try(bounded, q)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return &delay{err: fmt.Errorf("no answer within %s (timeout)", w.e.settings.timeout)}
	}
	return err
}

func (w *write) compose(ctx context.Context, batch []int) (*nethttp.Request, error) {
	if w.e.settings.body == bodyValue {
		return w.one(ctx, &w.records[batch[0]])
	}
	records := make([]*messaging.Outgoing, len(batch))
	for n, i := range batch {
		records[n] = &w.records[i]
	}
	return w.many(ctx, records)
}

func (w *write) fail(i int, forGood bool, err error) {
	if w.failed[i] == nil && !w.stored[i] {
		w.failed[i] = &messaging.WriteFailure{Index: i, Permanent: forGood, Err: err}
	}
}

func (w *write) outcome() error {
	var failed []messaging.WriteFailure
	for _, f := range w.failed {
		if f != nil {
			failed = append(failed, *f)
		}
	}
	if failed == nil {
		return nil
	}
	return &messaging.WriteError{Failed: failed}
}
