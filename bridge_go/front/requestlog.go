package front

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// RequestLog says where some of the requests are written to, as JSON: what came in, what went out, which version answered and how long
// it took. Nobody waits for it: what does not fit is dropped and counted.
type RequestLog struct {
	Sink     messaging.Sink // closed with the front
	Sample   float64        // the part of requests that is written
	Requests int            // that wait to be written
	Bytes    int            // of their rows and answers
}

// Bounds of one record, and of how long the end waits for those that are on their way.
const (
	mostLogged  = 100 // rows
	logWrite    = 256 // records at once
	logPatience = 5 * time.Second
	logBackoff  = 100 * time.Millisecond
	logSlowest  = 5 * time.Second
)

// A requestLog takes entries from requests, which never wait, to a goroutine that writes them.
type requestLog struct {
	RequestLog
	log                   *slog.Logger
	entries               chan *entry
	bytes                 atomic.Int64
	stop                  chan struct{}
	done                  chan struct{}
	written, full, failed atomic.Uint64 // requests

	// Of the goroutine.
	types    *types // that what is hidden is of
	in, out  hidden
	complain time.Time // not before
}

// An entry is one answered request.
type entry struct {
	id      string
	at      time.Time
	took    time.Duration
	version string
	types   *types
	body    []byte
	rows    []span   // the first of them
	answers []answer // to these rows
	all     int      // rows
	scored  int
	size    int
}

func newRequestLog(c RequestLog, log *slog.Logger) *requestLog {
	l := &requestLog{RequestLog: c, log: log, entries: make(chan *entry, c.Requests), stop: make(chan struct{}), done: make(chan struct{})}
	go l.run()
	return l
}

// takes draws whether a request is written.
func (l *requestLog) takes() bool { return l != nil && (l.Sample >= 1 || rand.Float64() < l.Sample) }

// note gives the log a request that has been answered, which the pool may have again afterwards.
func (l *requestLog) note(id string, q *request, start time.Time) {
	n := min(len(q.rows), mostLogged)
	e := &entry{
		id: id, at: start, took: time.Since(start), version: q.answers[0].model, types: q.lane.types.Load(),
		body: q.body, rows: slices.Clone(q.rows[:n]), answers: slices.Clone(q.answers[:n]), all: len(q.rows),
	}
	for i := range q.answers {
		if q.answers[i].fate == scored {
			e.scored++
		}
	}
	e.size = len(q.body)
	for i := range e.answers {
		for _, output := range e.answers[i].outputs {
			e.size += len(output)
		}
	}
	if l.bytes.Add(int64(e.size)) > int64(l.Bytes) {
		l.drop(e)
		return
	}
	select {
	case l.entries <- e:
	default:
		l.drop(e)
	}
}

func (l *requestLog) drop(e *entry) {
	l.bytes.Add(-int64(e.size))
	l.full.Add(1)
}

// close writes what waits, for a while, and ends the log.
func (l *requestLog) close() {
	if l == nil {
		return
	}
	close(l.stop)
	<-l.done
}

func (l *requestLog) run() {
	defer close(l.done)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { // the end has limited patience with a sink that has none
		<-l.stop
		wait(ctx, logPatience)
		cancel()
	}()
	for first := l.next(); first != nil; first = l.next() {
		l.write(ctx, l.batch(first))
	}
	closing, done := context.WithTimeout(context.WithoutCancel(ctx), logPatience)
	defer done()
	if err := l.Sink.Close(closing); err != nil {
		l.log.Warn("the stream of the request log was not closed in order", "error", err)
	}
}

// next waits for an entry; nil when the log ends and none is left.
func (l *requestLog) next() *entry {
	select {
	case e := <-l.entries:
		return e
	case <-l.stop:
	}
	select {
	case e := <-l.entries:
		return e
	default:
		return nil
	}
}

// batch renders an entry, and those that wait behind it.
func (l *requestLog) batch(e *entry) []messaging.Outgoing {
	var records []messaging.Outgoing
	for {
		records = append(records, messaging.Outgoing{Record: messaging.Record{Key: []byte(e.id), Value: l.render(e), Time: e.at.UnixNano()}})
		l.bytes.Add(-int64(e.size))
		if len(records) == logWrite {
			return records
		}
		select {
		case e = <-l.entries:
		default:
			return records
		}
	}
}

// write has the records stored, and tries again what may pass until the log ends.
func (l *requestLog) write(ctx context.Context, records []messaging.Outgoing) {
	for pause := logBackoff; len(records) > 0; pause = min(2*pause, logSlowest) {
		err := l.Sink.Write(ctx, records)
		again, refused := left(records, err)
		l.written.Add(uint64(len(records) - len(again) - refused))
		l.failed.Add(uint64(refused))
		l.tell(err)
		if records = again; len(records) == 0 {
			return
		}
		wait(ctx, pause)
		if ctx.Err() != nil {
			l.failed.Add(uint64(len(records)))
			return
		}
	}
}

// left are the records that may still be stored, and how many never will be.
func left(records []messaging.Outgoing, err error) (again []messaging.Outgoing, refused int) {
	var some *messaging.WriteError
	switch {
	case err == nil:
		return nil, 0
	case !errors.As(err, &some):
		return records, 0
	}
	for _, f := range some.Failed {
		if f.Permanent {
			refused++
		} else {
			again = append(again, records[f.Index])
		}
	}
	return again, refused
}

// tell complains now and then.
func (l *requestLog) tell(err error) {
	if now := time.Now(); err != nil && now.After(l.complain) {
		l.complain = now.Add(time.Minute)
		l.log.Warn("requests are not logged", "error", err, "written", l.written.Load(), "failed", l.failed.Load(), "dropped", l.full.Load())
	}
}

// render writes an entry as JSON. A row that is no event of its class is hidden where the class hides anything: nobody knows what stands
// where in it. Of a model that does not say what it takes, only numbers are told.
func (l *requestLog) render(e *entry) []byte {
	if l.types != e.types {
		l.types, l.in, l.out = e.types, hiddenOf(e.types.input), hiddenOf(e.types.output)
	}
	b := &buffer{}
	b.raw(`{"time":"`)
	b.data = e.at.UTC().AppendFormat(b.data, "2006-01-02T15:04:05.000000Z")
	b.raw(`","request":`)
	b.text(e.id)
	b.raw(`,"version":`)
	b.text(e.version)
	b.raw(`,"latency_ms":`)
	b.data = strconv.AppendFloat(b.data, float64(e.took.Microseconds())/1e3, 'f', 3, 64)
	b.raw(`,"rows_in":`)
	b.data = strconv.AppendInt(b.data, int64(e.all), 10)
	b.raw(`,"rows_scored":`)
	b.data = strconv.AppendInt(b.data, int64(e.scored), 10)
	if len(e.types.input) > 0 {
		b.raw(`,"rows":[`)
		l.renderRows(b, e)
		b.raw(`],"answers":[`)
		l.renderAnswers(b, e)
		b.raw(`]`)
	}
	b.raw(`}`)
	return b.data
}

func (l *requestLog) renderRows(b *buffer, e *entry) {
	for i, s := range e.rows {
		b.comma(i)
		if l.in != nil && e.answers[i].code == "invalid_event" {
			b.raw(hiddenValue)
			continue
		}
		b.data = l.in.redact(b.data, e.body[s.from:s.to])
	}
}

func (l *requestLog) renderAnswers(b *buffer, e *entry) {
	one := takeBuffer()
	defer one.put()
	for i := range e.answers {
		b.comma(i)
		one.data = one.data[:0]
		switch a := &e.answers[i]; a.fate {
		case scored:
			one.outputs(a.outputs)
			b.data = l.out.redact(b.data, one.data)
		case rejected:
			b.rejection(a)
		default:
			b.rowFailure(a)
		}
	}
}
