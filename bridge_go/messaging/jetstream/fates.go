package jetstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// headerFate is how many records a fate has, in each of them where it is more than one.
const headerFate = "Ds-Fate"

// What makes messages a batch that is stored as one: from server 2.12 on, on streams with AllowAtomicPublish.
const (
	headerBatch       = "Nats-Batch-Id"
	headerBatchNumber = "Nats-Batch-Sequence"
	headerBatchCommit = "Nats-Batch-Commit"
)

// batchesAtOnce is how many batches are on their way: the server takes 50 of a stream, from all its writers.
const batchesAtOnce = 16

// Bounds of a batch of several fates. The server takes 1,000 messages unless it is told otherwise.
const (
	parcelMessages = 1000
	parcelBytes    = 4 << 20
)

// Fates writes the fates of events to one stream. The first record of a fate always has the same message id, and so has the
// mark that stands for a fate without records. So the server refuses the second fate of an event: a single record as
// a duplicate, several as a batch that holds a duplicate, of which nothing is stored.
type Fates struct {
	p        *Publisher
	stream   string
	subjects map[string]string // by topic
	mark     string            // subject of marks
	log      *slog.Logger
	largest  int // messages of a batch of several fates
}

// Fates makes a writer of fates to a stream. The publisher is closed with it.
func (p *Publisher) Fates(stream string, subjects map[string]string, mark string, log *slog.Logger) *Fates {
	return &Fates{p: p, stream: stream, subjects: subjects, mark: mark, log: log, largest: parcelMessages}
}

// Info implements messaging.FateWriter.
func (w *Fates) Info() messaging.SinkInfo {
	return messaging.SinkInfo{Deduplicates: true, Window: w.p.Window, MaxBytes: w.p.MaxValue}
}

// Close implements messaging.FateWriter.
func (w *Fates) Close(context.Context) error {
	w.p.Close()
	return nil
}

// WriteFates implements messaging.FateWriter.
//
// A batch costs the server milliseconds, whatever its size. So where a fate has several records, it shares a batch with others: all
// of a parcel is stored or nothing, and parcels go one after the other. One that holds a fate which was stored before is refused as
// a whole; then each of its fates is stored alone.
func (w *Fates) WriteFates(ctx context.Context, fates []messaging.FateWrite) error {
	if !slices.ContainsFunc(fates, func(f messaging.FateWrite) bool { return len(f.Records) > 1 }) {
		return w.each(ctx, fates)
	}
	var failed []messaging.WriteFailure
	for first := 0; first < len(fates); {
		end := first + w.parcel(fates[first:])
		err := w.together(ctx, fates[first:end])
		var partial *messaging.WriteError
		if err != nil && !errors.As(err, &partial) {
			return err
		}
		stop := false
		if partial != nil {
			for _, x := range partial.Failed {
				stop = stop || !x.Permanent
				x.Index += first
				failed = append(failed, x)
			}
		}
		for first = end; stop && first < len(fates); first++ { // what is behind would overtake them
			failed = append(failed, messaging.WriteFailure{Index: first, Err: errBehind})
		}
	}
	if failed == nil {
		return nil
	}
	return &messaging.WriteError{Failed: failed}
}

// parcel is how many of the next fates go into one batch.
func (w *Fates) parcel(fates []messaging.FateWrite) (n int) {
	messages, bytes := 0, 0
	for ; n < len(fates); n++ {
		messages += max(1, len(fates[n].Records))
		for i := range fates[n].Records {
			bytes += len(fates[n].Records[i].Value)
		}
		if n > 0 && (messages > w.largest || bytes > parcelBytes) {
			break
		}
	}
	return n
}

// together stores fates as one batch, or else each alone.
func (w *Fates) together(ctx context.Context, fates []messaging.FateWrite) error {
	if len(fates) == 1 {
		return w.each(ctx, fates)
	}
	f := w.p.flight(1)
	defer f.end()
	var refused error
	f.settled = func(_ int, _ ack, err error) { refused = err }
	var all []*nats.Msg
	size := 0
	for i := range fates {
		messages, bytes, err := w.messages(&fates[i], "")
		if err != nil {
			return w.each(ctx, fates) // which tells it of the one that it is true of
		}
		all, size = append(all, messages...), size+bytes
	}
	inBatch(all, f.reply(0))
	if err := f.send(ctx, 0, size, all...); err != nil {
		return err
	}
	if err := f.await(ctx, func() bool { return f.count == 0 }); err != nil {
		return err
	}
	switch {
	case HasCode(refused, CodeBatchTooLarge):
		w.largest = max(1, min(w.largest, len(all))/2)
		return w.each(ctx, fates)
	case HasCode(refused, CodeBatchDuplicate) || permanent(refused) || f.hopeless():
		return w.each(ctx, fates)
	case refused != nil:
		return noneOf(len(fates), w.p.Explain(refused))
	case f.failed != nil:
		return noneOf(len(fates), f.failed[0].Err)
	}
	return nil
}

// noneOf says that none of n was stored, for now.
func noneOf(n int, err error) error {
	e := &messaging.WriteError{Failed: make([]messaging.WriteFailure, n)}
	for i := range e.Failed {
		e.Failed[i] = messaging.WriteFailure{Index: i, Err: err}
	}
	return e
}

// each stores fates on their own, many of them on their way at a time.
func (w *Fates) each(ctx context.Context, fates []messaging.FateWrite) error {
	f := w.p.flight(len(fates))
	defer f.end()
	var mend []int
	f.settled = func(i int, a ack, err error) {
		switch {
		case a.duplicate:
			w.p.Duplicate(fates[i].ID)
		case HasCode(err, CodeBatchDuplicate):
			w.p.Duplicate(fates[i].ID)
			mend = append(mend, i)
		case err != nil:
			f.fail(i, permanent(err), w.p.Explain(err))
		}
	}
	for i := range fates {
		messages, size, err := w.messages(&fates[i], f.reply(i))
		if err != nil {
			f.fail(i, true, err)
			continue
		}
		if err := f.send(ctx, i, size, messages...); err != nil {
			return err
		}
	}
	if err := f.await(ctx, func() bool { return f.count == 0 }); err != nil {
		return err
	}
	for _, i := range mend {
		if err := w.mend(ctx, &fates[i]); err != nil {
			f.fail(i, false, w.p.Explain(err))
		}
	}
	return f.outcome()
}

// messages are those of a fate, as one batch where they are several.
func (w *Fates) messages(fate *messaging.FateWrite, reply string) (all []*nats.Msg, size int, err error) {
	n := len(fate.Records)
	if n == 0 {
		m := &nats.Msg{Subject: w.mark, Reply: reply, Header: nats.Header{
			headerNull: {"1"}, nats.MsgIdHdr: {idText(recordID(fate.ID, 0))},
		}}
		return []*nats.Msg{m}, packAbove, nil
	}
	for k := range fate.Records {
		m, bytes, err := w.message(fate, k, n)
		if err != nil {
			return nil, 0, fmt.Errorf("record %d of %d: %w", k+1, n, err)
		}
		size += bytes
		all = append(all, m)
	}
	inBatch(all, reply)
	return all, size, nil
}

// inBatch has messages stored as one, where they are several. The last one asks for the acknowledgement: it speaks for all.
func inBatch(all []*nats.Msg, reply string) {
	last := all[len(all)-1]
	last.Reply = reply
	if len(all) == 1 {
		return
	}
	batch := nuid.Next()
	for i, m := range all {
		m.Header[headerBatch] = []string{batch}
		m.Header[headerBatchNumber] = []string{strconv.Itoa(i + 1)}
		delete(m.Header, headerBatchCommit)
	}
	last.Header[headerBatchCommit] = []string{"1"}
}

// message is record k of a fate of n, without a batch.
func (w *Fates) message(fate *messaging.FateWrite, k, n int) (m *nats.Msg, size int, err error) {
	r := &fate.Records[k]
	subject, known := w.subjects[r.Topic]
	if !known {
		return nil, 0, fmt.Errorf("topic %s is none of those that were opened", r.Topic)
	}
	m = &nats.Msg{}
	out := messaging.Outgoing{Record: r.Record, ID: recordID(fate.ID, k)}
	if size, err = w.p.encode(&out, m); err != nil {
		return nil, 0, err
	}
	m.Subject = subject
	if n > 1 {
		m.Header[headerFate] = []string{strconv.Itoa(n)}
	}
	return m, size, nil
}

func recordID(fate string, k int) string { return fate + ":" + strconv.Itoa(k) }

// mend completes a fate that the server stored in part. A stream without replicas writes a batch record by record, and when its
// process is killed between two of them, only the first are there after the restart. They are the fate's beginning, and their IDs
// keep it from being stored whole. So each time that a batch is refused as a duplicate it is looked whether what stands there is
// whole; if not, what is missing is taken from this attempt.
func (w *Fates) mend(ctx context.Context, fate *messaging.FateWrite) error {
	m, _, err := w.message(fate, 0, 1)
	if err != nil {
		return err
	}
	first, err := w.alone(ctx, m)
	if err != nil {
		return err
	}
	n, err := w.sizeOf(ctx, first.seq)
	if err != nil || n < 2 || n > len(fate.Records) {
		return err
	}
	whole, err := w.holds(ctx, first.seq+int64(n)-1, recordID(fate.ID, n-1))
	if err != nil || whole {
		return err
	}
	w.log.Error("the server was killed while it stored an event's records: the missing ones are added", "event", fate.ID)
	for k := 1; k < n; k++ {
		m, _, err := w.message(fate, k, n)
		if err == nil {
			_, err = w.alone(ctx, m)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// alone publishes one message and waits for its acknowledgement.
func (w *Fates) alone(ctx context.Context, m *nats.Msg) (ack, error) {
	ctx, cancel := context.WithTimeout(ctx, w.p.api.Patience)
	defer cancel()
	answer, err := w.p.api.Conn.RequestMsgWithContext(ctx, m)
	if err != nil {
		return ack{}, err
	}
	return readAck(answer)
}

// sizeOf is how many records the fate has whose first one stands there; 0 when it is not kept any longer.
func (w *Fates) sizeOf(ctx context.Context, seq int64) (int, error) {
	m, _, _, err := w.p.api.message(ctx, w.stream, fetchRequest{Seq: uint64(seq)})
	if HasCode(err, CodeNoMessage) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	n, _ := strconv.Atoi(first(m.Header, headerFate))
	return n, nil
}

func (w *Fates) holds(ctx context.Context, seq int64, id string) (bool, error) {
	m, _, _, err := w.p.api.message(ctx, w.stream, fetchRequest{Seq: uint64(seq)})
	if HasCode(err, CodeNoMessage) {
		return false, nil
	}
	return err == nil && first(m.Header, nats.MsgIdHdr) == idText(id), err
}
