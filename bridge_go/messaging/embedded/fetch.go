package embedded

import (
	"context"
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
	fetchEvents = 512
	fetchBytes  = 4 << 20
)

// A fetcher reads a topic's records by position ("direct get" of a batch). It is used by one goroutine.
type fetcher struct {
	t       *topic
	sub     *nats.Subscription
	answers chan *nats.Msg
	inbox   string
	asked   int
}

func (t *topic) fetcher() (*fetcher, error) {
	f := &fetcher{t: t, inbox: t.engine.conn.NewInbox()}
	return f, f.subscribe()
}

func (f *fetcher) subscribe() error {
	// Room for a whole batch, its end, and what a batch that was given up left behind: the client drops what finds no room.
	f.answers = make(chan *nats.Msg, 2*(fetchEvents+1))
	sub, err := f.t.engine.conn.ChanSubscribe(f.inbox+".*", f.answers)
	f.sub = sub
	if err != nil {
		return f.t.explain(err)
	}
	return nil
}

func (f *fetcher) close() { f.sub.Unsubscribe() }

// fetch reads up to n records from a sequence on; none when there is nothing at or behind it.
func (f *fetcher) fetch(from uint64, n, bytes int) ([]messaging.Record, error) {
	f.asked++
	reply := f.inbox + "." + strconv.Itoa(f.asked)
	request := fmt.Appendf(nil, `{"seq":%d,"batch":%d,"max_bytes":%d}`, from, max(n, 1), max(bytes, 1))
	if err := f.t.engine.conn.PublishRequest("$JS.API.DIRECT.GET."+f.t.stream, reply, request); err != nil {
		return nil, f.t.explain(err)
	}
	found, err := f.gather(reply, n)
	if err != nil {
		f.close()
		if again := f.subscribe(); again != nil {
			return nil, again
		}
	}
	return found, err
}

func (f *fetcher) gather(reply string, n int) ([]messaging.Record, error) {
	found := make([]messaging.Record, 0, n)
	patience := time.NewTimer(answerPatience)
	defer patience.Stop()
	for {
		var m *nats.Msg
		select {
		case m = <-f.answers:
		case <-f.t.engine.closed:
			return nil, messaging.ErrClosed
		case <-patience.C:
			return nil, f.t.explain(fmt.Errorf("no answer to a read within %s: %w", answerPatience, context.DeadlineExceeded))
		}
		if m.Subject != reply {
			continue
		}
		if status := first(m.Header, headerStatus); status != "" {
			return f.end(found, m, status)
		}
		r, err := decode(m)
		if err != nil {
			return nil, f.t.explain(err)
		}
		found = append(found, r)
	}
}

// end checks that what the server says it has sent last is what came last: a batch with a hole would be records passed over.
func (f *fetcher) end(found []messaging.Record, m *nats.Msg, status string) ([]messaging.Record, error) {
	switch status {
	case statusNothing:
		return nil, nil
	case statusEnd:
		last := first(m.Header, headerLast)
		if n := len(found); n == 0 && last != "0" || n > 0 && strconv.FormatInt(found[n-1].Offset, 10) != last {
			return nil, f.t.explain(fmt.Errorf("a read of %d records came without its last one, %s", n, last))
		}
		return found, nil
	}
	if _, err := f.t.state(context.Background()); err != nil { // says more than the status of a read
		return nil, err
	}
	return nil, f.t.explain(fmt.Errorf("reading: status %s %s", status, first(m.Header, "Description")))
}
