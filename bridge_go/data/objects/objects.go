// Package objects is the seam between the bridge and the places that keep large things: models, files, payloads that no
// stream takes. A bucket is a folder or an S3-compatible service; keys are paths with slashes.
//
// Objects are written whole or not at all, in parts that fit into a frame, and read by range, so that neither side ever
// holds one in memory and an interrupted transfer goes on where it stopped.
package objects

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// PartBytes is the largest part that a bucket is given, and the most that is read at once.
const PartBytes = 4 << 20

// Info is what a bucket knows of an object. SHA256 is in lower-case hexadecimal, empty where the object was not written by
// us.
type Info struct {
	Key    string
	Size   int64
	SHA256 string
}

// Announced is what a writer knows of an object before it sends it. A bucket that can say a hash only at the beginning of a
// large object (S3) keeps the announced one; Finish holds the writer to it.
type Announced struct {
	Size   int64  // -1 when it is not known
	SHA256 string // in lower-case hexadecimal, empty when it is not known
	// New asks that there is no object of this key when it is finished. Of several writers one succeeds; the others get an [Error] with
	// the code exists. A service that knows no such condition stores the last.
	New bool
}

// A Bucket is safe from any goroutine. Missing keys are ErrNotFound. What is wrong for another reason that callers can tell is an
// [Error].
type Bucket interface {
	Head(ctx context.Context, key string) (Info, error)
	// Read returns up to length bytes from offset on, fewer at the end of the object.
	Read(ctx context.Context, key string, offset, length int64) ([]byte, error)
	// List returns up to most objects whose keys begin with prefix and come after a key, ascending.
	List(ctx context.Context, prefix, after string, most int) ([]Info, error)
	// Delete removes an object. One that is not there is no error.
	Delete(ctx context.Context, key string) error
	// Create begins an object. Readers see the old one, or none, until Finish.
	Create(ctx context.Context, key string, told Announced) (Upload, error)
	Close(ctx context.Context) error
}

// An Upload is one object on its way. It is used by one goroutine and ended by Finish or Abort.
type Upload interface {
	// Part adds the bytes of one part, at most PartBytes, which are the caller's again when it has returned. Parts are numbered from
	// 1 in their order and may come up to [Ahead] too early. One may be given again with the same bytes, for whoever has missed the
	// answer.
	Part(ctx context.Context, number int, data []byte) error
	// Finish makes the object visible if it has this size and hash, else it returns ErrDamaged and keeps nothing.
	Finish(ctx context.Context, size int64, sha256 string) error
	Abort(ctx context.Context) error
}

// Connect opens a bucket. The context bounds the opening alone.
type Connect func(ctx context.Context, o messaging.Options) (Bucket, error)

var connectors = map[string]Connect{}

// Register makes a kind of bucket known by its URL scheme. It is called from init functions.
func Register(scheme string, c Connect) {
	if _, dup := connectors[scheme]; dup {
		panic("objects: scheme registered twice: " + scheme)
	}
	connectors[scheme] = c
}

// Schemes lists the URL schemes that have a kind of bucket.
func Schemes() []string { return slices.Sorted(maps.Keys(connectors)) }

// Open opens the bucket of a connection by its URL's scheme. Settings may stand in the URL's query too; the options' own
// come first.
func Open(ctx context.Context, o messaging.Options) (Bucket, error) {
	scheme, _, _ := strings.Cut(o.URL, ":")
	connect := connectors[scheme]
	if connect == nil {
		return nil, fmt.Errorf("connection %s: %s keeps no objects. These do: %s",
			o.Name, messaging.Mask(o.URL), strings.Join(Schemes(), ", "))
	}
	o, err := o.Ready()
	if err != nil {
		return nil, err
	}
	return connect(ctx, o)
}
