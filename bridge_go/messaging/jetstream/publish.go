package jetstream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// Target says where a publisher writes and what fits there.
type Target struct {
	Subject    func(r *messaging.Outgoing) string
	MaxValue   int           // largest value
	Limited    string        // which setting says so, for errors
	MaxMessage int           // value, key and headers together
	Native     bool          // headers under their own names, for other readers
	Window     time.Duration // how long ids are remembered
	Explain    func(error) error
	Duplicate  func(id string) // told of each record that was stored already
}

// A Publisher writes records, a bounded number of them waiting for their acknowledgement. It is used by one goroutine.
type Publisher struct {
	Target
	api    *API
	sub    *nats.Subscription
	acks   chan *nats.Msg
	inbox  string
	writes int
	once   sync.Once
}

// Publisher makes one.
func (a *API) Publisher(t Target) (*Publisher, error) {
	p := &Publisher{Target: t, api: a, inbox: a.Conn.NewInbox(), acks: make(chan *nats.Msg, 2*flightEvents)}
	var err error
	p.sub, err = a.Conn.ChanSubscribe(p.inbox+".*", p.acks)
	return p, err
}

// Close ends it. What is on its way is not waited for.
func (p *Publisher) Close() { p.once.Do(func() { p.sub.Unsubscribe() }) }

// Write sends all records and waits for all acknowledgements. Those that do not come in time are failures that may be tried again.
func (p *Publisher) Write(ctx context.Context, records []messaging.Outgoing) error {
	f := p.flight(len(records))
	defer f.end()
	f.settled = func(i int, a ack, err error) {
		if a.duplicate {
			p.Duplicate(records[i].ID)
		}
		if err != nil {
			f.fail(i, permanent(err), p.Explain(err))
		}
	}
	for i := range records {
		m := nats.Msg{Reply: f.reply(i)}
		size, err := p.encode(&records[i], &m)
		if err != nil {
			f.fail(i, true, err)
			continue
		}
		if err := f.send(ctx, i, size, &m); err != nil {
			return err
		}
	}
	if err := f.await(ctx, func() bool { return f.count == 0 }); err != nil {
		return err
	}
	return f.outcome()
}

// encode makes the message of a record, and an error of one that can never be stored.
func (p *Publisher) encode(r *messaging.Outgoing, m *nats.Msg) (size int, err error) {
	if len(r.Value) > p.MaxValue {
		return 0, fmt.Errorf("value of %d bytes is over the limit of %d (%s)", len(r.Value), p.MaxValue, p.Limited)
	}
	m.Subject = p.Subject(r)
	Encode(r, m, p.Native)
	size = len(m.Data) + len(first(m.Header, headerKey)) + len(r.ID) + packAbove
	if size > p.MaxMessage+packAbove || len(r.Key) > packAbove/3 || len(r.ID) > packAbove/3 {
		return 0, fmt.Errorf("key and headers take %d bytes, which the store cannot hold", size-packAbove-len(r.Value))
	}
	return size, nil
}

// permanent says whether the server will never take a record.
func permanent(err error) bool {
	return errors.Is(err, nats.ErrMaxPayload) ||
		HasCode(err, CodeMessageTooLarge, CodeHeaderTooLarge, CodeOtherStream, CodeSealed, CodeBatchTooLarge)
}

// An ack is what the server says of a record that it has stored.
type ack struct {
	seq       int64
	duplicate bool
}

// readAck reads {"stream":"a","seq":1,"duplicate":true}, or an error. All but errors are read without decoding: the last field
// is there only when it is true, and names of streams hold no quotes.
func readAck(m *nats.Msg) (a ack, err error) {
	if status := first(m.Header, headerStatus); status != "" {
		if status == "503" {
			return a, errNoStream
		}
		return a, fmt.Errorf("the store does not answer (%s)", status)
	}
	if bytes.HasPrefix(m.Data, []byte(`{"stream":`)) && !bytes.Contains(m.Data, []byte(`"error"`)) {
		if !bytes.Contains(m.Data, []byte(`"duplicate":`)) {
			return ack{seq: seqOf(m.Data)}, nil
		}
		return ack{seqOf(m.Data), true}, nil
	}
	var answer struct {
		Error     *Error `json:"error"`
		Seq       int64  `json:"seq"`
		Duplicate bool   `json:"duplicate"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return a, fmt.Errorf("acknowledgement %.100q: %w", m.Data, err)
	}
	if answer.Error != nil {
		return a, answer.Error
	}
	return ack{answer.Seq, answer.Duplicate}, nil
}

// errNoStream: nobody takes messages with this subject. The server's own word for a stream that is not there, with its code.
var errNoStream = &Error{Code: 503, ErrCode: CodeNoStream, Description: "no stream takes this subject, or its server is starting"}

// seqOf is the sequence in an acknowledgement, 0 without one.
func seqOf(data []byte) (seq int64) {
	_, rest, found := bytes.Cut(data, []byte(`"seq":`))
	if !found {
		return 0
	}
	end := 0
	for end < len(rest) && rest[end] >= '0' && rest[end] <= '9' {
		end++
	}
	seq, _ = strconv.ParseInt(string(rest[:end]), 10, 64)
	return seq
}
