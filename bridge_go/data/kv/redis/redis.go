// Package redis keeps values by key in Redis: SET, with PX where a value has a time to live, MGET and DEL. A key is prefix and
// key, a value its bytes, so that other programs read and write the same ones.
//
// A batch is one round trip. It is no transaction: when a put fails some entries may be stored, and all may be put again. One that
// does not reach the server fails at once, in the sense of messaging.Away: who asked for it waits, and does not hold a worker meanwhile.
// What was acknowledged is as durable as the server is set to make it, see package messaging/redis; a server with maxmemory
// and an eviction policy forgets keys as if they had expired.
//
//	timeout=5s         of one batch
//	cluster=false      the server is a node of a cluster
//	tls_ca, tls_cert, tls_key   files in PEM form, for rediss:
//	prefix, max_value  as package kv has them
package redis

import (
	"context"
	"fmt"
	"strconv"

	"github.com/redis/rueidis"

	"ds-runner.dev/ds-runner/bridge_go/data/kv"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/messaging/redis/client"
)

func init() {
	kv.Register("redis", connect)
	kv.Register("rediss", connect)
}

// keysAtOnce is how many keys one command takes: about a millisecond, in which the server does nothing else.
const keysAtOnce = 1000

type store struct {
	name   string
	client *client.Client
}

func connect(ctx context.Context, o messaging.Options) (kv.Store, error) {
	s := o.Parse()
	config, limits := client.Settings(s), kv.ReadLimits(o, s)
	client.OfStreams(s)
	if err := s.Done(); err != nil {
		return nil, err
	}
	opened, err := client.Open(ctx, o, config.AtOnce())
	if err != nil {
		return nil, err
	}
	return limits.Hold(&store{name: o.Name, client: opened}), nil
}

func (s *store) Get(ctx context.Context, keys []string) ([][]byte, error) {
	found := make([][]byte, 0, len(keys))
	for _, answer := range s.client.RunAll(ctx, s.reads(keys)) {
		values, err := s.values(answer)
		if err != nil {
			return nil, s.explain("get", err)
		}
		found = append(found, values...)
	}
	if len(found) != len(keys) {
		return nil, s.explain("get", fmt.Errorf("%d keys were answered by %d values", len(keys), len(found)))
	}
	return found, nil
}

// reads are the commands of a batch. Keys of one command lie in one slot, so a cluster is asked key by key.
func (s *store) reads(keys []string) []rueidis.Completed {
	var commands []rueidis.Completed
	for len(keys) > 0 {
		n := min(len(keys), s.client.Together(keysAtOnce))
		if n == 1 {
			commands = append(commands, s.client.B().Get().Key(keys[0]).Build())
		} else {
			commands = append(commands, s.client.B().Mget().Key(keys[:n]...).Build())
		}
		keys = keys[n:]
	}
	return commands
}

func (s *store) values(answer rueidis.RedisResult) ([][]byte, error) {
	m, err := answer.ToMessage()
	if rueidis.IsRedisNil(err) {
		return [][]byte{nil}, nil
	}
	if err != nil {
		return nil, err
	}
	if !m.IsArray() {
		value, err := m.AsBytes()
		return [][]byte{there(value)}, err
	}
	list, err := m.ToArray()
	if err != nil {
		return nil, err
	}
	found := make([][]byte, len(list))
	for i := range list {
		if list[i].IsNil() { // absent, or no string
			continue
		}
		value, err := list[i].AsBytes()
		if err != nil {
			return nil, err
		}
		found[i] = there(value)
	}
	return found, nil
}

// there keeps an empty value apart from none.
func there(value []byte) []byte {
	if value == nil {
		return []byte{}
	}
	return value
}

func (s *store) Put(ctx context.Context, entries []kv.Entry) error {
	commands := make([]rueidis.Completed, len(entries))
	for i, e := range entries {
		set := s.client.B().Arbitrary("SET").Keys(e.Key).Args(rueidis.BinaryString(e.Value))
		if e.TTL > 0 {
			set = set.Args("PX", strconv.FormatInt(e.TTL.Milliseconds(), 10))
		}
		commands[i] = set.Build()
	}
	return s.all(ctx, "put", commands)
}

func (s *store) Delete(ctx context.Context, keys []string) error {
	var commands []rueidis.Completed
	for len(keys) > 0 {
		n := min(len(keys), s.client.Together(keysAtOnce))
		commands = append(commands, s.client.B().Del().Key(keys[:n]...).Build())
		keys = keys[n:]
	}
	return s.all(ctx, "delete", commands)
}

// all reports the first of the refusals, when every answer is there.
func (s *store) all(ctx context.Context, verb string, commands []rueidis.Completed) error {
	for _, answer := range s.client.RunAll(ctx, commands) {
		if err := answer.Error(); err != nil {
			return s.explain(verb, err)
		}
	}
	return nil
}

func (s *store) explain(verb string, err error) error {
	return client.Starting(fmt.Errorf("connection %s: %s: %w", s.name, verb, err))
}

func (s *store) Close(context.Context) error {
	s.client.Close()
	return nil
}
