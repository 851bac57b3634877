package dispatch

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"ds-runner.dev/ds-runner/bridge_go/plainjson"
)

// A LedgerOutlet writes one JSON line an event instead of outputs to sinks: what replay compares.
//
//	{"event": "departures/0/17", "outputs": [{...}], "model": "3"}
//	{"event": "departures/0/18", "rejected": {"code": "rejected", "reason": "cancelled flight"}, "model": "3"}
//	{"event": "departures/0/19", "dead": {"code": "...", "reason": "...", "detail": ..., "attempts": 2}, "model": "3"}
//
// An output that is not JSON stands there as a string. Routes, where an output has one, are {"index of output": "stream"}.
type LedgerOutlet struct {
	to  io.WriteCloser
	buf *bufio.Writer
}

// NewLedgerOutlet writes to w, which it closes.
func NewLedgerOutlet(w io.WriteCloser) *LedgerOutlet {
	return &LedgerOutlet{to: w, buf: bufio.NewWriterSize(w, 1<<16)}
}

type ledgerLine struct {
	Event string `json:"event"`
	// Outputs are there for a scored event even when it has none: it is not one without a fate.
	Outputs  *[]json.RawMessage `json:"outputs,omitempty"`
	Routes   map[int]string     `json:"routes,omitempty"`
	Rejected *ledgerError       `json:"rejected,omitempty"`
	Dead     *ledgerError       `json:"dead,omitempty"`
	Model    string             `json:"model,omitempty"`
}

type ledgerError struct {
	Code     string          `json:"code"`
	Reason   string          `json:"reason"`
	Detail   json.RawMessage `json:"detail,omitempty"`
	Attempts int             `json:"attempts,omitempty"`
}

// Settle implements [Outlet].
func (o *LedgerOutlet) Settle(_ context.Context, fates []Fate) ([]Refusal, error) {
	lines := plainjson.Encoder(o.buf)
	for i := range fates {
		if err := lines.Encode(ledgerLineOf(&fates[i])); err != nil {
			return nil, fmt.Errorf("ledger: %w", err)
		}
	}
	if err := o.buf.Flush(); err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	return nil, nil
}

// Close implements [Outlet].
func (o *LedgerOutlet) Close(context.Context) error {
	return errors.Join(o.buf.Flush(), o.to.Close())
}

func ledgerLineOf(f *Fate) *ledgerLine {
	line := &ledgerLine{Event: string(appendSource(nil, f)), Model: f.Model}
	switch f.Kind {
	case Scored:
		line.scored(f)
	case Rejected:
		line.Rejected = &ledgerError{Code: f.Code, Reason: f.Reason, Detail: raw(f.Detail)}
	case Dead:
		line.Dead = &ledgerError{Code: f.Code, Reason: f.Reason, Detail: raw(f.Detail), Attempts: f.Attempts}
	}
	return line
}

func (l *ledgerLine) scored(f *Fate) {
	outputs := make([]json.RawMessage, len(f.Outputs))
	for i, o := range f.Outputs {
		outputs[i] = raw(o)
	}
	l.Outputs = &outputs
	for _, route := range f.Routes {
		if l.Routes == nil {
			l.Routes = map[int]string{}
		}
		l.Routes[route.Index] = route.Stream
	}
}

// raw is JSON as it is, and anything else as a string.
func raw(b []byte) json.RawMessage {
	if b == nil {
		return nil
	}
	if json.Valid(b) {
		return b
	}
	return plainjson.AppendString(nil, string(b))
}
