// Package s3 keeps objects in a bucket of an S3-compatible service.
//
//	s3://storage.example.com/bucket            a service of your own, with or without a port
//	s3://storage.example.com/bucket/below/it   keys begin there; programs do not see it
//	s3:///bucket?region=eu-west-1              Amazon's
//
// A small object is one request. A larger one goes in parts: it is there when the last has come and its hash is right, and an upload
// that fails is aborted; what a killed process leaves of one is for the bucket's lifecycle rule (abort incomplete uploads). The hash
// is in the object's metadata as sha256, if the writer knew it at the beginning or the object went in one request.
//
//	region=us-east-1       where the bucket is
//	insecure=false         http instead of https
//	style=auto             path (host/bucket/key) or host (bucket.host/key); auto knows Amazon's, and takes path elsewhere
//	access_key, secret_key, session_token
//	                       who asks; user and password of the URL are the first two
//	credentials=auto       given: those; environment: AWS_ACCESS_KEY_ID and so on; role: of the pod or machine; none. Auto is the
//	                       first of these that is there
//	tls_ca                 a file of certificates to trust beside the system's
//	part_size=8MiB         of what is sent at once, at least 5MiB; at most 10,000 parts make an object
//	timeout=30s            of one request
package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"ds-runner.dev/ds-runner/bridge_go/data/objects"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

func init() { objects.Register("s3", connect) }

// hashKey is the name of the metadata that holds the hash, as the client spells it.
const hashKey = "Sha256"

type bucket struct {
	settings
	core *minio.Core
}

func connect(ctx context.Context, o messaging.Options) (objects.Bucket, error) {
	settings, err := parse(o)
	if err != nil {
		return nil, err
	}
	core, err := settings.client(o)
	if err != nil {
		return nil, fmt.Errorf("connection %s: %w", o.Name, err)
	}
	b := &bucket{settings, core}
	return b, b.reach(ctx)
}

// reach asks whether the bucket is there, by a request whose refusal has a reason. Who may not list may still read and write.
func (b *bucket) reach(ctx context.Context) error {
	_, err := b.List(ctx, "", "", 1)
	if err != nil && minio.ToErrorResponse(errors.Unwrap(err)).Code == minio.AccessDenied {
		return nil
	}
	return err
}

// within bounds one request.
func (b *bucket) within(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, b.timeout)
}

// Head implements [objects.Bucket], as the methods below do.
func (b *bucket) Head(ctx context.Context, key string) (objects.Info, error) {
	ctx, cancel := b.within(ctx)
	defer cancel()
	found, err := b.core.StatObject(ctx, b.bucket, b.prefix+key, minio.StatObjectOptions{})
	if err != nil {
		return objects.Info{}, b.failed("head", key, err)
	}
	return objects.Info{Key: key, Size: found.Size, SHA256: strings.ToLower(found.UserMetadata[hashKey])}, nil
}

func (b *bucket) Read(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	if length = min(length, objects.PartBytes); length <= 0 {
		return nil, nil
	}
	ctx, cancel := b.within(ctx)
	defer cancel()
	var options minio.GetObjectOptions
	if err := options.SetRange(offset, offset+length-1); err != nil {
		return nil, b.failed("read", key, err)
	}
	body, found, _, err := b.core.GetObject(ctx, b.bucket, b.prefix+key, options)
	if err != nil {
		if minio.ToErrorResponse(err).Code == "InvalidRange" { // behind the end
			return nil, nil
		}
		return nil, b.failed("read", key, err)
	}
	defer body.Close()
	data := bytes.NewBuffer(make([]byte, 0, min(length, max(found.Size, 0))+bytes.MinRead))
	if _, err := io.Copy(data, io.LimitReader(body, length)); err != nil {
		return nil, b.failed("read", key, err)
	}
	return data.Bytes(), nil
}

func (b *bucket) List(ctx context.Context, prefix, after string, most int) ([]objects.Info, error) {
	if most <= 0 {
		return nil, nil
	}
	ctx, cancel := b.within(ctx)
	defer cancel() // which ends the listing, too, that has more to tell
	options := minio.ListObjectsOptions{Prefix: b.prefix + prefix, Recursive: true, MaxKeys: min(most, 1000)}
	if after != "" {
		options.StartAfter = b.prefix + after
	}
	var found []objects.Info
	for o := range b.core.ListObjectsIter(ctx, b.bucket, options) {
		if o.Err != nil {
			return nil, b.failed("list", prefix, o.Err)
		}
		key := strings.TrimPrefix(o.Key, b.prefix)
		if key == "" || strings.HasSuffix(key, "/") { // a folder, as consoles make them
			continue
		}
		if found = append(found, objects.Info{Key: key, Size: o.Size}); len(found) == most {
			return found, nil
		}
	}
	if err := ctx.Err(); err != nil { // which ends the listing without a word
		return nil, b.failed("list", prefix, err)
	}
	return found, nil
}

func (b *bucket) Delete(ctx context.Context, key string) error {
	ctx, cancel := b.within(ctx)
	defer cancel()
	err := b.core.RemoveObject(ctx, b.bucket, b.prefix+key, minio.RemoveObjectOptions{})
	if err != nil && minio.ToErrorResponse(err).Code != minio.NoSuchKey {
		return b.failed("delete", key, err)
	}
	return nil
}

// Close lets go of idle connections. Uploads belong to their callers.
func (b *bucket) Close(context.Context) error {
	b.transport.CloseIdleConnections()
	return nil
}

// abortTime bounds what is done for an upload that has failed.
const abortTime = 10 * time.Second
