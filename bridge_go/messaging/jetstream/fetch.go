package jetstream

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// What the server writes into the messages of a direct get.
const (
	headerSequence = "Nats-Sequence"
	headerStored   = "Nats-Time-Stamp"
	headerLast     = "Nats-Last-Sequence"
	headerStatus   = "Status"
)

const (
	statusNothing = "404" // no record at or behind the position
	statusEnd     = "204" // end of the batch
)

// One fetch asks for so much. A record above the bytes still comes, alone or last.
const (
	FetchEvents = 512
	FetchBytes  = 4 << 20
)

// A Fetcher reads a stream's records by position. It is used by one goroutine.
type Fetcher struct {
	api     *API
	stream  string
	subject string // all when empty
	direct  bool
	sub     *nats.Subscription
	answers chan *nats.Msg
	inbox   string
	asked   int
}

// Fetcher makes a reader of a stream's messages with a subject, or with all when it is empty. Direct says that the stream allows
// direct gets, of which one brings many records; otherwise each costs a round trip.
func (a *API) Fetcher(stream, subject string, direct bool) (*Fetcher, error) {
	f := &Fetcher{api: a, stream: stream, subject: subject, direct: direct, inbox: a.Conn.NewInbox()}
	if !direct {
		return f, nil
	}
	return f, f.subscribe()
}

func (f *Fetcher) subscribe() (err error) {
	// Room for a whole batch, its end, and what a batch that was given up left behind: the client drops what finds no room.
	f.answers = make(chan *nats.Msg, 2*(FetchEvents+1))
	f.sub, err = f.api.Conn.ChanSubscribe(f.inbox+".*", f.answers)
	return err
}

// Close lets the server forget it.
func (f *Fetcher) Close() {
	if f.sub != nil {
		f.sub.Unsubscribe()
	}
}

type fetchRequest struct {
	Seq      uint64 `json:"seq"`
	Batch    int    `json:"batch,omitempty"`
	MaxBytes int    `json:"max_bytes,omitempty"`
	Subject  string `json:"next_by_subj,omitempty"`
}

// Fetch reads up to n records, at most FetchEvents, from a sequence on; none when there is nothing at or behind it.
func (f *Fetcher) Fetch(ctx context.Context, from uint64, n, bytes int) ([]messaging.Record, error) {
	if !f.direct {
		return f.one(ctx, from)
	}
	n = min(max(n, 1), FetchEvents)
	f.asked++
	reply := f.inbox + "." + strconv.Itoa(f.asked)
	request, _ := json.Marshal(fetchRequest{from, n, max(bytes, 1), f.subject})
	if err := f.api.Conn.PublishRequest(apiPrefix+"DIRECT.GET."+f.stream, reply, request); err != nil {
		return nil, err
	}
	found, err := f.gather(reply, n)
	if err != nil {
		f.Close()
		if again := f.subscribe(); again != nil {
			return nil, again
		}
	}
	return found, err
}

func (f *Fetcher) gather(reply string, n int) ([]messaging.Record, error) {
	found := make([]messaging.Record, 0, n)
	patience := time.NewTimer(f.api.Patience)
	defer patience.Stop()
	for {
		var m *nats.Msg
		select {
		case m = <-f.answers:
		case <-f.api.Closed:
			return nil, messaging.ErrClosed
		case <-patience.C:
			return nil, fmt.Errorf("no answer to a read within %s: %w", f.api.Patience, context.DeadlineExceeded)
		}
		if m.Subject != reply {
			continue
		}
		if status := first(m.Header, headerStatus); status != "" {
			return f.end(found, m, status)
		}
		r, err := Decode(m)
		if err != nil {
			return nil, err
		}
		found = append(found, r)
	}
}

// end checks that what the server says it has sent last is what came last: a batch with a hole would be records passed over.
func (f *Fetcher) end(found []messaging.Record, m *nats.Msg, status string) ([]messaging.Record, error) {
	switch status {
	case statusNothing:
		return nil, nil
	case statusEnd:
		last := first(m.Header, headerLast)
		if n := len(found); n == 0 && last != "0" || n > 0 && strconv.FormatInt(found[n-1].Offset, 10) != last {
			return nil, fmt.Errorf("a read of %d records came without its last one, %s", n, last)
		}
		return found, nil
	}
	if err := f.api.Call(context.Background(), "STREAM.INFO."+f.stream, nil, nil); err != nil { // says more than the status of a read
		return nil, err
	}
	return nil, fmt.Errorf("reading: status %s %s", status, first(m.Header, "Description"))
}

// one reads a single record from a stream that allows no direct gets.
func (f *Fetcher) one(ctx context.Context, from uint64) ([]messaging.Record, error) {
	subject := f.subject
	if subject == "" {
		subject = ">"
	}
	m, seq, stored, err := f.api.message(ctx, f.stream, fetchRequest{Seq: from, Subject: subject})
	if HasCode(err, CodeNoMessage) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r, err := DecodeAt(m, seq, stored)
	return []messaging.Record{r}, err
}

// message gets one stored message.
func (a *API) message(ctx context.Context, stream string, which fetchRequest) (m *nats.Msg, seq, stored int64, err error) {
	var answer struct {
		Message struct {
			Seq    int64     `json:"seq"`
			Header []byte    `json:"hdrs"`
			Data   []byte    `json:"data"`
			Time   time.Time `json:"time"`
		} `json:"message"`
	}
	request, _ := json.Marshal(which)
	if err := a.Call(ctx, "STREAM.MSG.GET."+stream, request, &answer); err != nil {
		return nil, 0, 0, err
	}
	m = &nats.Msg{Data: answer.Message.Data}
	if len(answer.Message.Header) > 0 {
		if m.Header, err = nats.DecodeHeadersMsg(answer.Message.Header); err != nil {
			return nil, 0, 0, err
		}
	}
	return m, answer.Message.Seq, answer.Message.Time.UnixNano(), nil
}
