package dispatch

import (
	"ds-runner.dev/ds-runner/bridge_go/delivery"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// frame lays a lease out for the wire, with the metadata that the worker asked for, and notes how long its events have waited.
func (r *Route) frame(l *delivery.Lease, wants wire.Wants) *wire.Batch {
	events := l.Events()
	b := &wire.Batch{
		Lease:   wire.Lease{Nonce: r.cfg.Nonce, Batch: l.Batch, Epoch: l.Epoch},
		Attempt: uint64(l.Attempt), DeadlineMS: uint64(r.cfg.Deadline.Milliseconds()),
		Stream: r.cfg.Stream, Payloads: make([][]byte, len(events)),
	}
	var waited runs
	for i, e := range events {
		b.Payloads[i] = e.Record.Value
		addPosition(b, e.Record)
		waited.add(&r.count.stages[stageQueue], l.Sent-e.Offered)
	}
	waited.end(&r.count.stages[stageQueue])
	addMetadata(b, events, wants)
	return b
}

// addPosition lengthens the last run of positions or begins one.
func addPosition(b *wire.Batch, r *messaging.Record) {
	if n := len(b.Positions); n > 0 {
		last := &b.Positions[n-1]
		if last.Partition == r.Partition && last.First+last.N == r.Offset {
			last.N++
			return
		}
	}
	b.Positions = append(b.Positions, wire.Run{Partition: r.Partition, First: r.Offset, N: 1})
}

func addMetadata(b *wire.Batch, events []*delivery.Event, wants wire.Wants) {
	if wants&wire.WantKeys != 0 {
		b.Keys = make([][]byte, len(events))
		for i, e := range events {
			b.Keys[i] = e.Record.Key
		}
	}
	if wants&wire.WantHeaders != 0 {
		b.Headers = make([][]wire.HeaderPair, len(events))
		for i, e := range events {
			b.Headers[i] = pairs(e.Record.Headers)
		}
	}
	if wants&wire.WantTimestamps != 0 {
		b.Timestamps = make([]int64, len(events))
		for i, e := range events {
			b.Timestamps[i] = e.Record.Time
		}
	}
}

func pairs(headers []messaging.Header) []wire.HeaderPair {
	if len(headers) == 0 {
		return nil
	}
	list := make([]wire.HeaderPair, len(headers))
	for i, h := range headers {
		list[i] = wire.HeaderPair{Name: h.Name, Value: h.Value}
	}
	return list
}
