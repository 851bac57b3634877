package kv

import (
	"context"
	"fmt"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// Limits are the settings that all stores share.
//
//	prefix=          what each key begins with in the store; programs do not see it
//	max_value=1MiB   largest value that is stored
type Limits struct {
	name     string
	prefix   string
	maxValue int64
}

// largestKey is far above what a key should be. A longer one is a value in the wrong place.
const largestKey = 4 << 10

// longestTTL keeps the time at which a value expires within what every store can write down.
const longestTTL = 100 * 365 * 24 * time.Hour

// ReadLimits reads them from a connection's settings.
func ReadLimits(o messaging.Options, s *messaging.Settings) Limits {
	return Limits{name: o.Name, prefix: s.String("prefix", ""), maxValue: s.Bytes("max_value", 1<<20, 1)}
}

// A LimitError says that an entry or a key is none that may be stored: nothing was. It is the caller's mistake, and comes again when it
// is tried again.
type LimitError struct{ Reason string }

func (e *LimitError) Error() string { return e.Reason }

func (l Limits) refuse(format string, args ...any) error {
	return &LimitError{fmt.Sprintf("connection %s: ", l.name) + fmt.Sprintf(format, args...)}
}

// Hold puts the limits in front of a store: it is asked for nothing that they do not allow.
func (l Limits) Hold(s Store) Store { return &held{l, s} }

type held struct {
	limits Limits
	store  Store
}

func (h *held) Get(ctx context.Context, keys []string) ([][]byte, error) {
	names, err := h.limits.keys(keys)
	if err != nil || len(names) == 0 {
		return make([][]byte, len(names)), err
	}
	return h.store.Get(ctx, names)
}

func (h *held) Put(ctx context.Context, entries []Entry) error {
	checked, err := h.limits.entries(entries)
	if err != nil || len(checked) == 0 {
		return err
	}
	return h.store.Put(ctx, checked)
}

func (h *held) Delete(ctx context.Context, keys []string) error {
	names, err := h.limits.keys(keys)
	if err != nil || len(names) == 0 {
		return err
	}
	return h.store.Delete(ctx, names)
}

func (h *held) Close(ctx context.Context) error { return h.store.Close(ctx) }

func (l Limits) keys(keys []string) ([]string, error) {
	names := make([]string, len(keys))
	for i, key := range keys {
		if err := l.key(key); err != nil {
			return nil, err
		}
		names[i] = l.prefix + key
	}
	return names, nil
}

func (l Limits) key(key string) error {
	switch {
	case key == "":
		return l.refuse("a key is empty")
	case len(key) > largestKey:
		return l.refuse("key %.40q... has %d bytes, at most %d are allowed", key, len(key), largestKey)
	}
	return nil
}

// entries checks all of them before any is stored.
func (l Limits) entries(entries []Entry) ([]Entry, error) {
	checked := make([]Entry, len(entries))
	for i, e := range entries {
		if err := l.entry(e); err != nil {
			return nil, err
		}
		checked[i] = Entry{l.prefix + e.Key, e.Value, roundUp(e.TTL)}
	}
	return checked, nil
}

func (l Limits) entry(e Entry) error {
	if err := l.key(e.Key); err != nil {
		return err
	}
	switch {
	case int64(len(e.Value)) > l.maxValue:
		return l.refuse("the value of %.60q has %d bytes, at most %d are allowed (max_value). Keep large ones as objects", e.Key, len(e.Value), l.maxValue)
	case e.TTL < 0:
		return l.refuse("the time to live of %.60q is %s; it has to be positive, or 0 for ever", e.Key, e.TTL)
	case e.TTL > longestTTL:
		return l.refuse("the time to live of %.60q is %s, at most %s is allowed; 0 is for ever", e.Key, e.TTL, longestTTL)
	}
	return nil
}

// roundUp makes whole milliseconds, which is what stores count, of a time: none becomes 0, which is for ever.
func roundUp(ttl time.Duration) time.Duration {
	if rest := ttl % time.Millisecond; rest != 0 {
		ttl += time.Millisecond - rest
	}
	return ttl
}
