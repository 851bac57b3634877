// Package memory keeps values by key in this process, for tests and for programs that need a cache and no more. All is gone with the
// process. Connections of one URL (memory:features) in a process share what they keep.
//
//	max_keys=1000000   how many it holds; further ones are refused until some have expired or were deleted
package memory

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/data/kv"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

func init() { kv.Register("memory", connect) }

type value struct {
	data  []byte
	until time.Time // zero for ever
}

func (v value) expired(now time.Time) bool { return !v.until.IsZero() && !v.until.After(now) }

type store struct {
	name string
	most int
	*shared
}

type shared struct {
	mu     sync.Mutex
	values map[string]value
	swept  int // size after the last sweep
}

var (
	mu     sync.Mutex
	stores = map[string]*shared{}
)

func connect(_ context.Context, o messaging.Options) (kv.Store, error) {
	s := o.Parse()
	limits := kv.ReadLimits(o, s)
	most := s.Int("max_keys", 1_000_000, 1)
	if err := s.Done(); err != nil {
		return nil, err
	}
	mu.Lock()
	defer mu.Unlock()
	if stores[o.URL] == nil {
		stores[o.URL] = &shared{values: map[string]value{}}
	}
	return limits.Hold(&store{name: o.Name, most: int(most), shared: stores[o.URL]}), nil
}

func (s *store) Get(ctx context.Context, keys []string) ([][]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := make([][]byte, len(keys))
	for i, key := range keys {
		if v, ok := s.values[key]; ok && !v.expired(time.Now()) {
			found[i] = append([]byte{}, v.data...)
		}
	}
	return found, ctx.Err()
}

func (s *store) Put(ctx context.Context, entries []kv.Entry) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if len(s.values) > 2*s.swept+1000 || len(s.values)+len(entries) > s.most {
		s.sweep(now)
	}
	if len(s.values)+len(entries) > s.most {
		return fmt.Errorf("connection %s: %d keys are kept, and %d more are over the limit of %d (max_keys)",
			s.name, len(s.values), len(entries), s.most)
	}
	for _, e := range entries {
		v := value{data: bytes.Clone(e.Value)}
		if e.TTL > 0 {
			v.until = now.Add(e.TTL)
		}
		s.values[e.Key] = v
	}
	return nil
}

// sweep lets go of what has expired. It looks at all values, so it waits until they have doubled.
func (s *store) sweep(now time.Time) {
	for key, v := range s.values {
		if v.expired(now) {
			delete(s.values, key)
		}
	}
	s.swept = len(s.values)
}

func (s *store) Delete(ctx context.Context, keys []string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range keys {
		delete(s.values, key)
	}
	return nil
}

func (s *store) Close(context.Context) error { return nil }
