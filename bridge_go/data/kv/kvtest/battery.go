// Package kvtest is the battery that every store of values by key passes.
package kvtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/data/kv"
)

// A Harness describes a store to the battery.
type Harness struct {
	// Open opens the same, empty, store each time it is called by one test, with these settings among others. The battery closes it.
	Open func(t *testing.T, settings map[string]string) kv.Store
	// Persistent stores outlive their closing.
	Persistent bool
}

const patience = 2 * time.Minute

// Run is the battery.
func Run(t *testing.T, h Harness) {
	for _, part := range []struct {
		name string
		test func(*bench)
	}{
		{"a batch has a value for each key, in their order", order},
		{"an empty value is not an absent one", empty},
		{"values and keys are any bytes", binary},
		{"a put replaces", replaces},
		{"the last of one key in a batch stays", last},
		{"deleting what is not there is no error", deletes},
		{"nothing is no error", nothing},
		{"a value is gone when its time is over", expires},
		{"a put without a time takes an earlier one back", forever},
		{"ten thousand keys in one batch", many},
		{"a value that is too large is refused, and its neighbours with it", tooLarge},
		{"keys and times that cannot be are refused", refused},
		{"a prefix keeps apart", prefixed},
		{"what the caller does with its bytes afterwards changes nothing", copies},
		{"many at once", concurrent},
		{"a context that has ended ends a call", ended},
		{"closing and opening again", persists},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(start(t, h)) })
	}
}

type bench struct {
	*testing.T
	h     Harness
	store kv.Store
	ctx   context.Context
}

func start(t *testing.T, h Harness) *bench {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	b := &bench{T: t, h: h, ctx: ctx, store: h.Open(t, nil)}
	t.Cleanup(func() {
		b.must(b.store.Close(ctx))
		cancel()
	})
	return b
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *bench) put(pairs ...string) {
	b.Helper()
	var entries []kv.Entry
	for i := 0; i < len(pairs); i += 2 {
		entries = append(entries, kv.Entry{Key: pairs[i], Value: []byte(pairs[i+1])})
	}
	b.must(b.store.Put(b.ctx, entries))
}

// want asks for keys and values by turns; "-" is absent.
func (b *bench) want(pairs ...string) {
	b.Helper()
	b.wantIn(b.store, pairs...)
}

func (b *bench) wantIn(s kv.Store, pairs ...string) {
	b.Helper()
	var keys []string
	for i := 0; i < len(pairs); i += 2 {
		keys = append(keys, pairs[i])
	}
	got, err := s.Get(b.ctx, keys)
	b.must(err)
	if len(got) != len(keys) {
		b.Fatalf("%d values for %d keys", len(got), len(keys))
	}
	for i, value := range got {
		want := pairs[2*i+1]
		if absent := value == nil; absent != (want == "-") || !absent && string(value) != want {
			b.Fatalf("%q is %.60q (absent: %v), want %.60q", keys[i], value, absent, want)
		}
	}
}

func order(b *bench) {
	b.put("a", "1", "b", "2", "c", "3")
	b.want("c", "3", "x", "-", "a", "1", "b", "2", "a", "1", "y", "-")
}

func empty(b *bench) {
	b.put("empty", "", "full", "x")
	b.must(b.store.Put(b.ctx, []kv.Entry{{Key: "nil"}}))
	b.want("empty", "", "none", "-", "nil", "", "full", "x")
	b.want("empty", "")
	b.want("none", "-")
}

func binary(b *bench) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	odd := []string{string(every), "\xff\xfe", "a\x00b", "a\x00", "a", "ключ", "'; DROP TABLE kv; --", "a b", "A", "%s", "*", "{tag}"}
	var pairs []string
	for _, key := range odd {
		pairs = append(pairs, key, key+string(every))
	}
	b.put(pairs...)
	b.want(pairs...)
}

func replaces(b *bench) {
	b.put("k", "old and long", "other", "o")
	b.put("k", "new")
	b.want("k", "new", "other", "o")
}

func last(b *bench) {
	b.put("k", "1", "k", "2", "j", "x", "k", "3")
	b.want("k", "3", "j", "x")
}

func deletes(b *bench) {
	b.put("a", "1", "b", "2")
	b.must(b.store.Delete(b.ctx, []string{"a", "none", "a"}))
	b.must(b.store.Delete(b.ctx, []string{"a"}))
	b.want("a", "-", "b", "2")
}

func nothing(b *bench) {
	b.must(b.store.Put(b.ctx, nil))
	b.must(b.store.Delete(b.ctx, nil))
	b.want()
}

func expires(b *bench) {
	const ttl = 300 * time.Millisecond
	put := time.Now()
	b.must(b.store.Put(b.ctx, []kv.Entry{{Key: "short", Value: []byte("s"), TTL: ttl}, {Key: "long", Value: []byte("l"), TTL: time.Hour}, {Key: "ever", Value: []byte("e")}}))
	if got, err := b.store.Get(b.ctx, []string{"short"}); err != nil || got[0] == nil && time.Since(put) < ttl {
		b.Fatalf("gone before its time: %v, %v", got, err)
	}
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		got, err := b.store.Get(b.ctx, []string{"short"})
		b.must(err)
		if got[0] == nil {
			break
		}
		if time.Now().After(end) {
			b.Fatal("still there")
		}
	}
	if took := time.Since(put); took < ttl-10*time.Millisecond {
		b.Fatalf("gone after %s, want %s", took, ttl)
	}
	b.want("long", "l", "ever", "e")
	b.put("short", "again")
	b.want("short", "again")
	b.must(b.store.Put(b.ctx, []kv.Entry{{Key: "k", Value: []byte("v"), TTL: 1}})) // a nanosecond is not for ever
	time.Sleep(20 * time.Millisecond)
	b.want("k", "-")
}

func forever(b *bench) {
	b.must(b.store.Put(b.ctx, []kv.Entry{{Key: "k", Value: []byte("1"), TTL: 50 * time.Millisecond}}))
	b.put("k", "2")
	time.Sleep(80 * time.Millisecond)
	b.want("k", "2")
}

func many(b *bench) {
	const n = 10_000
	pairs := make([]string, 0, 2*n)
	for i := range n {
		pairs = append(pairs, fmt.Sprint("key-", i), fmt.Sprint("value-", i))
	}
	b.put(pairs...)
	b.want(pairs...)
	keys := make([]string, n)
	for i := range keys {
		keys[i] = pairs[2*i]
	}
	b.must(b.store.Delete(b.ctx, keys[:n/2]))
	for i := range n / 2 {
		pairs[2*i+1] = "-"
	}
	b.want(pairs...)
}

func tooLarge(b *bench) {
	s := b.h.Open(b.T, map[string]string{"max_value": "1KiB"})
	defer s.Close(b.ctx)
	full := strings.Repeat("x", 1024)
	b.must(s.Put(b.ctx, []kv.Entry{{Key: "full", Value: []byte(full)}}))
	b.wantIn(s, "full", full)
	err := s.Put(b.ctx, []kv.Entry{{Key: "small", Value: []byte("x")}, {Key: "big one", Value: []byte(full + "x")}})
	b.limit(err, "big one", "1025", "1024", "max_value")
	b.wantIn(s, "small", "-", "big one", "-")
	b.put("mega", strings.Repeat("y", 1<<20)) // what is allowed without a setting
	b.want("mega", strings.Repeat("y", 1<<20))
}

// limit wants an error of the limits that says all of these.
func (b *bench) limit(err error, says ...string) {
	b.Helper()
	var limit *kv.LimitError
	if !errors.As(err, &limit) {
		b.Fatalf("got %v, want a LimitError", err)
	}
	for _, word := range says {
		if !strings.Contains(err.Error(), word) {
			b.Fatalf("%q does not say %q", err, word)
		}
	}
}

func refused(b *bench) {
	for _, e := range []kv.Entry{{Key: ""}, {Key: strings.Repeat("k", 5000)}, {Key: "k", TTL: -1}, {Key: "k", TTL: 1<<63 - 1}} {
		b.limit(b.store.Put(b.ctx, []kv.Entry{e}))
	}
	_, err := b.store.Get(b.ctx, []string{"fine", ""})
	b.limit(err, "empty")
	b.limit(b.store.Delete(b.ctx, []string{""}), "empty")
}

func prefixed(b *bench) {
	one, two := b.h.Open(b.T, map[string]string{"prefix": "one:"}), b.h.Open(b.T, map[string]string{"prefix": "two:"})
	defer one.Close(b.ctx)
	defer two.Close(b.ctx)
	b.must(one.Put(b.ctx, []kv.Entry{{Key: "k", Value: []byte("1")}}))
	b.wantIn(two, "k", "-")
	b.wantIn(one, "k", "1")
	b.want("one:k", "1", "k", "-")
	b.must(two.Delete(b.ctx, []string{"k"}))
	b.wantIn(one, "k", "1")
}

func copies(b *bench) {
	value := []byte("first")
	b.must(b.store.Put(b.ctx, []kv.Entry{{Key: "k", Value: value}}))
	copy(value, "other")
	got, err := b.store.Get(b.ctx, []string{"k"})
	b.must(err)
	copy(got[0], "third")
	b.want("k", "first")
}

func concurrent(b *bench) {
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			for i := range 25 {
				own := fmt.Sprintf("%d-%d", worker, i)
				err := b.store.Put(b.ctx, []kv.Entry{{Key: own, Value: []byte(own)}, {Key: "shared", Value: bytes.Repeat([]byte{byte('a' + worker)}, 100)}})
				if err != nil {
					b.Error(err)
					return
				}
				got, err := b.store.Get(b.ctx, []string{own, "shared"})
				if err != nil {
					b.Error(err)
					return
				}
				if string(got[0]) != own || len(got[1]) != 100 || bytes.Count(got[1], got[1][:1]) != 100 {
					b.Errorf("read %q and %q", got[0], got[1])
				}
				if err := b.store.Delete(b.ctx, []string{own}); err != nil {
					b.Error(err)
				}
			}
		})
	}
	all.Wait()
}

func ended(b *bench) {
	b.put("k", "1")
	ctx, cancel := context.WithCancel(b.ctx)
	cancel()
	if _, err := b.store.Get(ctx, []string{"k"}); !errors.Is(err, context.Canceled) {
		b.Fatalf("get: %v", err)
	}
	if err := b.store.Put(ctx, []kv.Entry{{Key: "k", Value: []byte("2")}}); !errors.Is(err, context.Canceled) {
		b.Fatalf("put: %v", err)
	}
	if err := b.store.Delete(ctx, []string{"k"}); !errors.Is(err, context.Canceled) {
		b.Fatalf("delete: %v", err)
	}
	b.want("k", "1")
}

func persists(b *bench) {
	b.put("k", "1", "e", "")
	b.must(b.store.Put(b.ctx, []kv.Entry{{Key: "t", Value: []byte("2"), TTL: time.Hour}}))
	b.must(b.store.Close(b.ctx))
	b.store = b.h.Open(b.T, nil)
	if b.h.Persistent {
		b.want("k", "1", "e", "", "t", "2")
	}
	b.put("k", "3")
	b.want("k", "3")
}
