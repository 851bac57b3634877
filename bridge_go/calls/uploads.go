package calls

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/tinylib/msgp/msgp"

	"ds-runner.dev/ds-runner/bridge_go/data/objects"
)

// dropTime bounds the end of an upload that nobody will finish.
const dropTime = 10 * time.Second

// An upload is an object on its way. Its parts may come at once, and are handed on one after the other.
type upload struct {
	con string

	mu sync.Mutex
	to objects.Upload // nil when it has ended
}

func (u *upload) drop() {
	ctx, cancel := context.WithTimeout(context.Background(), dropTime)
	defer cancel()
	u.do(objects.Upload.Abort, ctx) //nolint:errcheck // what is left of it expires in the bucket
}

// do ends the upload.
func (u *upload) do(end func(objects.Upload, context.Context) error, ctx context.Context) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.to == nil {
		return nil
	}
	err := end(u.to, ctx)
	u.to = nil
	return err
}

func (h *Handler) objectsBegin(ctx context.Context, r *request) ([]byte, error) {
	told := objects.Announced{Size: -1}
	bucket, con, key, err := h.objectOf(ctx, r, func() {
		if r.More() {
			told.Size, told.SHA256 = r.Number("size", 0, math.MaxInt64), r.Text("sha256")
		}
		if r.More() {
			told.New = r.Bool("new")
		}
	})
	if err != nil {
		return nil, err
	}
	to, err := bucket.Create(ctx, key, told)
	if err != nil {
		return nil, h.masked(con, err)
	}
	u := &upload{con: con, to: to}
	number, err := h.of(ctx).addUpload(u, h.c.MaxUploads)
	if err != nil {
		u.drop()
		return nil, err
	}
	return msgp.AppendInt64(nil, number), nil
}

func (c *connection) addUpload(u *upload, most int) (int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	number, err := c.number(len(c.uploads), most, "uploads")
	if err == nil {
		c.uploads[number] = u
	}
	return number, err
}

func (c *connection) upload(number int64) (*upload, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if u := c.uploads[number]; u != nil {
		return u, nil
	}
	return nil, unknown("upload", number)
}

func (c *connection) forgetUpload(number int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.uploads, number)
}

func (h *Handler) objectsPart(ctx context.Context, r *request) ([]byte, error) {
	number, part, data := r.Number("upload", 1, math.MaxInt64), r.Number("number", 1, 1_000_000), r.Bytes("data")
	if r.End(); r.Err != nil {
		return nil, r.Err
	}
	if len(data) > objects.PartBytes {
		return nil, refusef("bad_arguments", "objects.part: data has %d bytes, at most %d are taken at once", len(data), objects.PartBytes)
	}
	u, err := h.of(ctx).upload(number)
	if err != nil {
		return nil, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.to == nil {
		return nil, unknown("upload", number)
	}
	return nil, h.masked(u.con, u.to.Part(ctx, int(part), data))
}

// objectsFinish ends an upload, also when that fails: what is kept of it then is for nobody.
func (h *Handler) objectsFinish(ctx context.Context, r *request) ([]byte, error) {
	number, size, sum := r.Number("upload", 1, math.MaxInt64), r.Number("size", 0, math.MaxInt64), r.Text("sha256")
	if r.End(); r.Err != nil {
		return nil, r.Err
	}
	conn := h.of(ctx)
	u, err := conn.upload(number)
	if err != nil {
		return nil, err
	}
	conn.forgetUpload(number)
	err = u.do(func(to objects.Upload, ctx context.Context) error { return to.Finish(ctx, size, sum) }, ctx)
	return nil, h.masked(u.con, err)
}

func (h *Handler) objectsAbort(ctx context.Context, r *request) ([]byte, error) {
	number := r.Number("upload", 1, math.MaxInt64)
	if r.End(); r.Err != nil {
		return nil, r.Err
	}
	conn := h.of(ctx)
	u, err := conn.upload(number)
	if err != nil {
		return nil, nil
	}
	conn.forgetUpload(number)
	return nil, h.masked(u.con, u.do(objects.Upload.Abort, ctx))
}
