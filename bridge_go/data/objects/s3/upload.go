package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/minio/minio-go/v7"

	"ds-runner.dev/ds-runner/bridge_go/data/objects"
)

const (
	mostParts = 10_000  // S3's own limit
	mostBytes = 5 << 40 // of an object: an upload holds a part, and that is a ten thousandth of it at least
)

// An upload gathers what comes until it is a part of S3's, which are larger than ours. One part's worth is held.
type upload struct {
	b    *bucket
	key  string
	told objects.Announced
	*objects.Assembly

	size   int // of a part
	buffer bytes.Buffer
	id     string // of the multipart upload, when there is one
	sent   []minio.CompletePart
}

// Create implements [objects.Bucket]. Nothing is asked of the service before there is a part to send.
func (b *bucket) Create(_ context.Context, key string, told objects.Announced) (objects.Upload, error) {
	if err := objects.CheckKey(key); err != nil {
		return nil, b.mistake(err)
	}
	if told.Size > mostBytes {
		return nil, b.mistake(fmt.Errorf("the object %s has %d bytes, at most %d are taken", key, told.Size, int64(mostBytes)))
	}
	u := &upload{b: b, key: key, told: told, size: int(b.partSize)}
	if least := told.Size/mostParts + 1; least > b.partSize {
		u.size = int(least)
	}
	u.Assembly = objects.NewAssembly(told, u.append)
	return u, nil
}

// append gathers, and sends when there is more than a part: so the last one is never empty, and an object of one part needs no
// multipart upload. What it is given is gathered only once the part before is sent: a try that fails can be repeated.
func (u *upload) append(ctx context.Context, data []byte) error {
	if u.buffer.Len()+len(data) > u.size {
		if err := u.send(ctx); err != nil {
			return err
		}
	}
	u.buffer.Write(data)
	return nil
}

// send makes one part of what was gathered.
func (u *upload) send(ctx context.Context) error {
	if len(u.sent) == mostParts {
		return u.b.mistake(fmt.Errorf("the object %s is larger than %d parts of %d bytes: set part_size", u.key, mostParts, u.size))
	}
	if err := u.begin(ctx); err != nil {
		return err
	}
	ctx, cancel := u.b.within(ctx)
	defer cancel()
	data := u.buffer.Bytes()
	sum := sha256.Sum256(data)
	part, err := u.b.core.PutObjectPart(ctx, u.b.bucket, u.b.prefix+u.key, u.id, len(u.sent)+1, bytes.NewReader(data), int64(len(data)),
		minio.PutObjectPartOptions{Sha256Hex: hex.EncodeToString(sum[:])})
	if err != nil {
		return u.b.failed("write", u.key, err)
	}
	u.sent = append(u.sent, minio.CompletePart{PartNumber: part.PartNumber, ETag: part.ETag})
	u.buffer.Reset()
	return nil
}

func (u *upload) begin(ctx context.Context) (err error) {
	if u.id != "" {
		return nil
	}
	ctx, cancel := u.b.within(ctx)
	defer cancel()
	if u.id, err = u.b.core.NewMultipartUpload(ctx, u.b.bucket, u.b.prefix+u.key, described(u.told.SHA256)); err != nil {
		return u.b.failed("begin", u.key, err)
	}
	return nil
}

func described(sha256 string) minio.PutObjectOptions {
	o := minio.PutObjectOptions{ContentType: "application/octet-stream"}
	if sha256 != "" {
		o.UserMetadata = map[string]string{hashKey: sha256}
	}
	return o
}

// condition asks that the key is new, where it has to be.
func (u *upload) condition(o minio.PutObjectOptions) minio.PutObjectOptions {
	if u.told.New {
		o.SetMatchETagExcept("*")
	}
	return o
}

// Finish implements [objects.Upload]. Hash and size are compared before the object is there.
func (u *upload) Finish(ctx context.Context, size int64, sha256 string) error {
	err := u.Whole(ctx, size, sha256)
	if err != nil {
		return errors.Join(err, u.Abort(ctx))
	}
	if u.id == "" {
		return u.put(ctx, sha256)
	}
	if u.buffer.Len() > 0 {
		err = u.send(ctx)
	}
	if err == nil {
		err = u.complete(ctx, size)
	}
	if err != nil {
		return errors.Join(err, u.Abort(ctx))
	}
	u.id = ""
	return nil
}

// put writes an object of one part.
func (u *upload) put(ctx context.Context, sum string) error {
	ctx, cancel := u.b.within(ctx)
	defer cancel()
	options := u.condition(described(sum))
	_, err := u.b.core.PutObject(ctx, u.b.bucket, u.b.prefix+u.key, bytes.NewReader(u.buffer.Bytes()), int64(u.buffer.Len()), "", sum, options)
	if err != nil {
		return u.b.failed("write", u.key, err)
	}
	return nil
}

// complete makes the object visible. An error may come after that was done: then the object says so.
func (u *upload) complete(ctx context.Context, size int64) error {
	within, cancel := u.b.within(ctx)
	defer cancel()
	_, err := u.b.core.CompleteMultipartUpload(within, u.b.bucket, u.b.prefix+u.key, u.id, u.sent, u.condition(minio.PutObjectOptions{}))
	if err == nil {
		return nil
	}
	if there, e := u.b.Head(ctx, u.key); e == nil && u.told.SHA256 != "" && there.SHA256 == u.told.SHA256 && there.Size == size {
		return nil
	}
	return u.b.failed("finish", u.key, err)
}

// Abort implements [objects.Upload]. It is tried although the caller's time may be over.
func (u *upload) Abort(ctx context.Context) error {
	if u.id == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTime)
	defer cancel()
	err := u.b.core.AbortMultipartUpload(ctx, u.b.bucket, u.b.prefix+u.key, u.id)
	if err != nil && minio.ToErrorResponse(err).Code != "NoSuchUpload" {
		return u.b.failed("abort", u.key, err)
	}
	u.id = ""
	return nil
}
