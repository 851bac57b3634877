// Package objects is the seam between the bridge and the places that keep large things: models, files, payloads that no
// stream takes. A bucket is a folder or an S3-compatible service; keys are paths with slashes.
//
// Objects are written whole or not at all, in parts that fit into a frame, and read by range, so that neither side ever
// holds one in memory and an interrupted transfer goes on where it stopped.
package objects

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"strings"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// ErrNotFound says that there is no object of that key.
var ErrNotFound = errors.New("no such object")

// ErrDamaged says that an object's bytes are not those that its writer announced: nothing was stored.
var ErrDamaged = errors.New("size or hash differ from what was announced")

// PartBytes is the largest part that a bucket is given, and the most that is read at once.
const PartBytes = 4 << 20

// Info is what a bucket knows of an object. SHA256 is in lower-case hexadecimal, empty where the object was not written by
// us.
type Info struct {
	Key    string
	Size   int64
	SHA256 string
}

// A Bucket is safe from any goroutine. Missing keys are ErrNotFound.
type Bucket interface {
	Head(ctx context.Context, key string) (Info, error)
	// Read returns up to length bytes from offset on, fewer at the end of the object.
	Read(ctx context.Context, key string, offset, length int64) ([]byte, error)
	// List returns up to most objects whose keys begin with prefix and come after a key, ascending.
	List(ctx context.Context, prefix, after string, most int) ([]Info, error)
	// Delete removes an object. One that is not there is no error.
	Delete(ctx context.Context, key string) error
	// Create begins an object. Readers see the old one, or none, until Finish.
	Create(ctx context.Context, key string) (Upload, error)
	Close(ctx context.Context) error
}

// An Upload is one object on its way. It is used by one goroutine and ended by Finish or Abort.
type Upload interface {
	// Part adds the bytes of one part. Parts are numbered from 1 in their order; a part given again replaces itself.
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
	base, query, _ := strings.Cut(o.URL, "?")
	scheme, _, _ := strings.Cut(base, ":")
	connect := connectors[scheme]
	if connect == nil {
		return nil, fmt.Errorf("connection %s: %s keeps no objects. These do: %s",
			o.Name, messaging.Mask(o.URL), strings.Join(Schemes(), ", "))
	}
	given, err := url.ParseQuery(query)
	if err != nil {
		return nil, fmt.Errorf("connection %s: settings in the URL: %w", o.Name, err)
	}
	settings := make(map[string]string, len(given)+len(o.Settings))
	for name, values := range given {
		settings[name] = values[len(values)-1]
	}
	maps.Copy(settings, o.Settings)
	o.URL, o.Settings = base, settings
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return connect(ctx, o)
}
