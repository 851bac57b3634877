// Package kv is the seam between the bridge and the stores that keep small values by key: features, counters, what a model
// has to look up for each event. A batch is one round trip.
//
// A store is one folder under this one. It registers itself by URL scheme in its init function, reads the settings that all share by
// [Limits], and is finished when the battery in kvtest passes.
package kv

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// A Store is safe from any goroutine, and holds to the context's deadline. Keys and values are any bytes; neither is changed or kept
// by the store after it has returned.
type Store interface {
	// Get returns a value for each key, in their order: nil for one that is absent or has expired, and an empty one for an empty
	// value.
	Get(ctx context.Context, keys []string) ([][]byte, error)
	// Put stores all entries, later ones over earlier ones of the same key. An error of the type [LimitError] says that none was stored; any
	// other one says nothing about any of them, and they may be put again.
	Put(ctx context.Context, entries []Entry) error
	// Delete removes keys. Those that are absent are no error.
	Delete(ctx context.Context, keys []string) error
	Close(ctx context.Context) error
}

// An Entry is one value. A nil value is stored as an empty one. TTL is how long it is there, 0 for ever; a put without one
// takes an earlier one back.
type Entry struct {
	Key   string
	Value []byte
	TTL   time.Duration
}

// Connect opens a store. The context bounds the opening alone.
type Connect func(ctx context.Context, o messaging.Options) (Store, error)

var connectors = map[string]Connect{}

// Register makes a kind of store known by its URL scheme. It is called from init functions.
func Register(scheme string, c Connect) {
	if _, dup := connectors[scheme]; dup {
		panic("kv: scheme registered twice: " + scheme)
	}
	connectors[scheme] = c
}

// Schemes lists the URL schemes that have a kind of store.
func Schemes() []string { return slices.Sorted(maps.Keys(connectors)) }

// Open opens the store of a connection by its URL's scheme. Settings may stand in the URL's query too; the options' own
// come first.
func Open(ctx context.Context, o messaging.Options) (Store, error) {
	scheme, _, _ := strings.Cut(o.URL, ":")
	connect := connectors[scheme]
	if connect == nil {
		return nil, fmt.Errorf("connection %s: %s keeps no values by key. These do: %s",
			o.Name, messaging.Mask(o.URL), strings.Join(Schemes(), ", "))
	}
	o, err := o.Ready()
	if err != nil {
		return nil, err
	}
	return connect(ctx, o)
}
