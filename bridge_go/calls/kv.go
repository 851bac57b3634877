package calls

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/tinylib/msgp/msgp"

	"ds-runner.dev/ds-runner/bridge_go/arguments"
	"ds-runner.dev/ds-runner/bridge_go/data/kv"
)

// answerBytes bounds what one answer holds of values: well below a frame's limit.
const answerBytes = 12 << 20

func keysOf(a *arguments.Arguments) (keys []string) {
	a.List("keys", func(item *arguments.Arguments) {
		keys = append(keys, item.Text(fmt.Sprintf("keys[%d]", len(keys))))
	})
	return keys
}

// entryOf reads key, value, ttl_ms?.
func entryOf(a *arguments.Arguments) kv.Entry {
	e := kv.Entry{Key: a.Text("key"), Value: a.Bytes("value")}
	if a.Optional() {
		e.TTL = time.Duration(a.Number("ttl_ms", 1, math.MaxInt64/int64(time.Millisecond))) * time.Millisecond
	}
	return e
}

// kvGet answers a value for each key.
func (h *Handler) kvGet(ctx context.Context, r *request) ([]byte, error) {
	con, err := h.connectionOf(r, stores)
	keys := keysOf(r.Arguments)
	if r.End(); r.Err != nil || err != nil {
		return nil, err
	}
	store, err := h.c.Data.Store(ctx, con)
	if err != nil {
		return nil, err
	}
	values, err := store.Get(ctx, keys)
	if err != nil {
		return nil, h.masked(con, err)
	}
	size := 0
	for _, v := range values {
		size += len(v) + 5
	}
	if size > answerBytes {
		return nil, refusef("answer_too_large", "kv.get: %d values have %d bytes, an answer at most %d: ask for fewer keys at once", len(values), size, answerBytes)
	}
	out := msgp.AppendArrayHeader(make([]byte, 0, size+8), uint32(len(values)))
	for _, v := range values {
		if v == nil {
			out = msgp.AppendNil(out)
		} else {
			out = msgp.AppendBytes(out, v)
		}
	}
	return out, nil
}

func (h *Handler) kvPut(ctx context.Context, r *request) ([]byte, error) {
	con, err := h.connectionOf(r, stores)
	var entries []kv.Entry
	r.List("entries", func(item *arguments.Arguments) {
		item.Tuple(fmt.Sprintf("entries[%d]", len(entries)), func(fields *arguments.Arguments) {
			entries = append(entries, entryOf(fields))
		})
	})
	if r.End(); r.Err != nil || err != nil {
		return nil, err
	}
	store, err := h.c.Data.Store(ctx, con)
	if err != nil {
		return nil, err
	}
	return nil, h.masked(con, store.Put(ctx, entries))
}

func (h *Handler) kvDelete(ctx context.Context, r *request) ([]byte, error) {
	con, err := h.connectionOf(r, stores)
	keys := keysOf(r.Arguments)
	if r.End(); r.Err != nil || err != nil {
		return nil, err
	}
	store, err := h.c.Data.Store(ctx, con)
	if err != nil {
		return nil, err
	}
	return nil, h.masked(con, store.Delete(ctx, keys))
}
