package calls

import (
	"context"
	"errors"
	"math"

	"github.com/tinylib/msgp/msgp"

	"ds-runner.dev/ds-runner/bridge_go/data/objects"
)

// maxListed is how many keys one answer lists.
const maxListed = 1000

// objectOf reads con and key, and opens the bucket when all arguments are right.
func (h *Handler) objectOf(ctx context.Context, r *request, more func()) (bucket objects.Bucket, con, key string, err error) {
	con, err = h.connectionOf(r, buckets)
	key = r.Text("key")
	more()
	if r.End(); r.Err != nil || err != nil {
		return nil, con, key, errors.Join(r.Err, err)
	}
	bucket, err = h.c.Data.Bucket(ctx, con)
	return bucket, con, key, err
}

// objectsHead answers [size, sha256] or nil.
func (h *Handler) objectsHead(ctx context.Context, r *request) ([]byte, error) {
	bucket, con, key, err := h.objectOf(ctx, r, func() {})
	if err != nil {
		return nil, err
	}
	info, err := bucket.Head(ctx, key)
	if errors.Is(err, objects.ErrNotFound) {
		return nil, nil
	}
	out := msgp.AppendInt64(msgp.AppendArrayHeader(nil, 2), info.Size)
	if info.SHA256 == "" {
		return msgp.AppendNil(out), h.masked(con, err)
	}
	return msgp.AppendString(out, info.SHA256), h.masked(con, err)
}

// objectsGet answers [bytes, size of the whole].
func (h *Handler) objectsGet(ctx context.Context, r *request) ([]byte, error) {
	var offset, length int64
	bucket, con, key, err := h.objectOf(ctx, r, func() {
		offset, length = r.Number("offset", 0, math.MaxInt64), r.Number("length", 0, objects.PartBytes)
	})
	if err != nil {
		return nil, err
	}
	info, err := bucket.Head(ctx, key)
	if err != nil {
		return nil, h.masked(con, err)
	}
	var data []byte
	if length = min(length, info.Size-offset); length > 0 {
		data, err = bucket.Read(ctx, key, offset, length)
	}
	out := msgp.AppendArrayHeader(make([]byte, 0, len(data)+32), 2)
	return msgp.AppendInt64(msgp.AppendBytes(out, data), info.Size), h.masked(con, err)
}

// objectsList answers [[key, size], ...].
func (h *Handler) objectsList(ctx context.Context, r *request) ([]byte, error) {
	con, err := h.connectionOf(r, buckets)
	prefix, after := r.Text("prefix"), r.Text("after")
	if r.End(); r.Err != nil || err != nil {
		return nil, err
	}
	bucket, err := h.c.Data.Bucket(ctx, con)
	if err != nil {
		return nil, err
	}
	found, err := bucket.List(ctx, prefix, after, maxListed)
	out := msgp.AppendArrayHeader(nil, uint32(len(found)))
	for _, info := range found {
		out = msgp.AppendString(msgp.AppendArrayHeader(out, 2), info.Key)
		out = msgp.AppendInt64(out, info.Size)
	}
	return out, h.masked(con, err)
}

func (h *Handler) objectsDelete(ctx context.Context, r *request) ([]byte, error) {
	bucket, con, key, err := h.objectOf(ctx, r, func() {})
	if err != nil {
		return nil, err
	}
	return nil, h.masked(con, bucket.Delete(ctx, key))
}
