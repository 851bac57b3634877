package calls

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tinylib/msgp/msgp"

	"ds-runner.dev/ds-runner/bridge_go/arguments"
	"ds-runner.dev/ds-runner/bridge_go/data/kv"
	"ds-runner.dev/ds-runner/bridge_go/data/objects"
	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/program"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// stage keeps the writes of a batch until its result has come. Neighbours of one kind and place become one write: a batch is one round
// trip. All bytes are copied, for they outlive the call.
func (h *Handler) stage(_ context.Context, r *request) ([]byte, error) {
	var list staging
	r.List("writes", func(item *arguments.Arguments) {
		item.Tuple(fmt.Sprintf("writes[%d]", list.count), func(fields *arguments.Arguments) { list.add(fields) })
		list.count++
	})
	if r.End(); r.Err != nil {
		return nil, r.Err
	}
	writes := make([]dispatch.Staged, len(list.writes))
	for i, w := range list.writes {
		staged, err := h.staged(w, *r.lease)
		if err != nil {
			return nil, err
		}
		writes[i] = staged
	}
	return nil, r.leases.Stage(*r.lease, writes)
}

// clock answers the time, in nanoseconds since 1970 UTC. A model asks for it once a batch, so that a recording has it.
func (h *Handler) clock(_ context.Context, r *request) ([]byte, error) {
	if r.End(); r.Err != nil {
		return nil, r.Err
	}
	return msgp.AppendInt64(nil, time.Now().UnixNano()), nil
}

// A write is what one round trip does.
type write struct {
	kind, place string
	records     []messaging.Outgoing
	entries     []kv.Entry
	keys        []string
	key         string
	data        []byte
	bytes       int
}

// staging are writes in their order.
type staging struct {
	count  int
	writes []*write
}

// add reads one of [kind, ...].
func (s *staging) add(a *arguments.Arguments) {
	kind, place := a.Text("kind"), a.Text("stream or con")
	if a.Err != nil {
		return
	}
	switch kind {
	case "publish":
		record := messaging.Record{Value: bytes.Clone(a.Bytes("value"))}
		size := len(record.Value)
		if a.More() {
			record.Key = bytes.Clone(a.Bytes("key"))
			size += len(record.Key)
		}
		if a.Optional() {
			a.List("headers", func(pair *arguments.Arguments) {
				header := messaging.Header{Name: pair.Text("header name"), Value: bytes.Clone(pair.Bytes("header value"))}
				record.Headers = append(record.Headers, header)
				size += len(header.Name) + len(header.Value)
			})
		}
		w := s.at(kind, place, size)
		w.records = append(w.records, messaging.Outgoing{Record: record})
	case "kv.put":
		e := entryOf(a)
		e.Value = bytes.Clone(e.Value)
		w := s.at(kind, place, len(e.Key)+len(e.Value))
		w.entries = append(w.entries, e)
	case "kv.delete":
		key := a.Text("key")
		w := s.at(kind, place, len(key))
		w.keys = append(w.keys, key)
	case "objects.put":
		key, data := a.Text("key"), bytes.Clone(a.Bytes("data"))
		w := &write{kind: kind, place: place, key: key, data: data, bytes: len(data)}
		s.writes = append(s.writes, w)
	default:
		a.Err = fmt.Errorf("kind is %q, expected publish, kv.put, kv.delete or objects.put", kind)
	}
}

// at is the last write, if it is of this kind and place, or else a new one.
func (s *staging) at(kind, place string, size int) *write {
	if n := len(s.writes); n == 0 || s.writes[n-1].kind != kind || s.writes[n-1].place != place {
		s.writes = append(s.writes, &write{kind: kind, place: place})
	}
	w := s.writes[len(s.writes)-1]
	w.bytes += size + perWrite
	return w
}

// perWrite is about what a record or an entry takes beside its bytes.
const perWrite = 128

// applyTime bounds one try of a staged write; after it the next begins.
const applyTime = 30 * time.Second

// staged makes of a write what the route does with the batch's result. Names are looked up now.
func (h *Handler) staged(w *write, l wire.Lease) (dispatch.Staged, error) {
	var err error
	var what string
	var apply func(ctx context.Context) error
	switch w.kind {
	case "publish":
		if names := h.c.Data.Streams(); !slices.Contains(names, w.place) {
			err = refusef("unknown_stream", "%s", program.Unknown("no stream", w.place, names, "Declared"))
		}
		identify(w.records, l)
		what, apply = "publish to "+w.place, func(ctx context.Context) error { return h.publishStaged(ctx, w) }
	case "kv.put", "kv.delete":
		err = h.knows(w.place, stores)
		what, apply = w.kind+" in "+w.place, func(ctx context.Context) error { return h.applyKeys(ctx, w) }
	default:
		err = h.knows(w.place, buckets)
		what, apply = fmt.Sprintf("%s %s in %s", w.kind, w.key, w.place), func(ctx context.Context) error { return h.applyObject(ctx, w) }
	}
	return dispatch.Staged{What: what, Bytes: w.bytes, Apply: func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, applyTime)
		defer cancel()
		return refusedForGood(h.masked(w.place, apply(ctx)))
	}}, err
}

// identify gives records ids of their lease: one that is written again, because its try was not answered, is known again where
// sinks know ids.
func identify(records []messaging.Outgoing, l wire.Lease) {
	sum := sha256.New()
	for i := range records {
		fmt.Fprintf(sum, "%d %d %d %d ", l.Nonce, l.Batch, l.Epoch, i)
		sum.Write(records[i].Value)
		records[i].ID = "staged:" + hex.EncodeToString(sum.Sum(nil)[:16])
	}
}

// refusedForGood marks what no further try can mend, so that it is given up and told instead of holding up its batch for ever.
func refusedForGood(err error) error {
	var call *wire.CallError
	if err == nil || !errors.As(err, &call) || call.Retry {
		return err
	}
	switch call.Code {
	case "bad_value", "not_supported", "write_refused", "damaged", "unknown_connection", "unknown_stream":
		return fmt.Errorf("%w: %w", dispatch.ErrRefused, err)
	}
	return err
}

// publishStaged tries again what is left to be tried.
func (h *Handler) publishStaged(ctx context.Context, w *write) (err error) {
	w.records, err = h.outlets.write(ctx, w.place, w.records)
	return err
}

func (h *Handler) applyKeys(ctx context.Context, w *write) error {
	store, err := h.c.Data.Store(ctx, w.place)
	if err != nil {
		return err
	}
	if w.kind == "kv.delete" {
		return store.Delete(ctx, w.keys)
	}
	return store.Put(ctx, w.entries)
}

func (h *Handler) applyObject(ctx context.Context, w *write) error {
	bucket, err := h.c.Data.Bucket(ctx, w.place)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(w.data)
	told := objects.Announced{Size: int64(len(w.data)), SHA256: hex.EncodeToString(sum[:])}
	to, err := bucket.Create(ctx, w.key, told)
	if err != nil {
		return err
	}
	number, rest := 0, w.data
	for len(rest) > 0 {
		part := rest[:min(len(rest), objects.PartBytes)]
		rest = rest[len(part):]
		number++
		if err := to.Part(ctx, number, part); err != nil {
			return errors.Join(err, to.Abort(ctx))
		}
	}
	return to.Finish(ctx, told.Size, told.SHA256)
}
