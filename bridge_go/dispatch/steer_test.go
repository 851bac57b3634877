package dispatch_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/delivery"
	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/dispatch/dispatchtest"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/messaging/messagingtest"
	"ds-runner.dev/ds-runner/bridge_go/providers"
	"ds-runner.dev/ds-runner/bridge_go/wire"

	_ "ds-runner.dev/ds-runner/bridge_go/messaging/kafka"
	_ "ds-runner.dev/ds-runner/bridge_go/messaging/memory"
)

// brokers are a partitioned topic in memory and one of a real Kafka.
func brokers(t *testing.T) map[string]func(t *testing.T) messaging.Connection {
	open := func(t *testing.T, url string, settings map[string]string) messaging.Connection {
		c, err := messaging.Open(context.Background(), messaging.Options{Name: "events", URL: url, Settings: settings, StateDir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close(context.Background()) })
		return c
	}
	return map[string]func(t *testing.T) messaging.Connection{
		"memory": func(t *testing.T) messaging.Connection {
			return messagingtest.Partitions(open(t, "memory:steer-"+t.Name(), nil), 3)
		},
		"kafka": func(t *testing.T) messaging.Connection {
			return open(t, providers.URL(t, "kafka"), map[string]string{"partitions": "3"})
		},
	}
}

// publish writes n events whose values are "key number ", with number counting by key.
func publish(t *testing.T, c messaging.Connection, topic string, keys []string, from, n int) {
	t.Helper()
	s, err := c.Sink(context.Background(), messaging.SinkConfig{Topic: topic})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(context.Background())
	var records []messaging.Outgoing
	for i := range n {
		for _, key := range keys {
			records = append(records, messaging.Outgoing{Record: messaging.Record{Key: []byte(key), Value: fmt.Appendf(nil, "%s-%d ", key, from+i)}})
		}
	}
	if err := s.Write(context.Background(), records); err != nil {
		t.Fatal(err)
	}
}

func over(c messaging.Connection, topic string, r **rig) func(*dispatch.Config) {
	return func(g *dispatch.Config) {
		g.Open = func(ctx context.Context, _ []byte) (messaging.Source, error) {
			return c.Source(ctx, messaging.SourceConfig{Topic: topic, Group: "p/c", OnRevoke: func(ids []int32) { (*r).Revoke(ids) }})
		}
	}
}

// journal notes the fates of a route, in their order.
type journal struct {
	mu    sync.Mutex
	lines []string // of a partition: partition/offset
	of    map[int32]int
}

func (j *journal) Settle(_ context.Context, fates []dispatch.Fate) ([]dispatch.Refusal, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for i := range fates {
		r := fates[i].Record
		j.lines = append(j.lines, fmt.Sprintf("%d/%d", r.Partition, r.Offset))
		j.of[r.Partition]++
	}
	return nil, nil
}

func (j *journal) Close(context.Context) error { return nil }

func (j *journal) count(p int32) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.of[p]
}

func TestAStuckEventStopsItsPartitionAndNoOther(t *testing.T) { // DELIVERY 21
	for name, connect := range brokers(t) {
		t.Run(name, func(t *testing.T) {
			c, topic, keys := connect(t), fmt.Sprintf("stuck-%d", time.Now().UnixNano()), []string{"a", "b", "c", "d", "e", "f", "g", "h"}
			publish(t, c, topic, keys, 0, 1_000)
			j := &journal{of: map[int32]int{}}
			var freed atomic.Bool
			var first atomic.Int32 // 1 + the partition of the event that is stuck, the first of all
			var r *rig
			r = start(t, noLog(), func(g *dispatch.Config) {
				over(c, topic, &r)(g)
				// Less than the smallest partition has; all may have four times as many, which is more than one read brings.
				g.Outlet, g.Order, g.Span = j, delivery.Unordered, delivery.Room{Events: 900}
			})
			score := func(w *dispatchtest.Worker, b *wire.Batch) *wire.Result {
				first.CompareAndSwap(0, 1+b.Positions[0].Partition)
				answer := dispatchtest.Echo(w, b)
				if !freed.Load() && b.Positions[0].Partition == first.Load()-1 && b.Positions[0].First == 0 {
					lines := strings.SplitAfterN(string(answer.Lines), "\n", 2)
					answer.Lines = []byte(lines[1])
					answer.Errors = []wire.RowError{{Index: 0, Kind: wire.KindRetry, Code: "later", RetryMS: 50}}
				}
				return answer
			}
			for i := range 2 {
				dispatchtest.Hire(r, fmt.Sprint("w", i), uint64(i+1), score)
			}
			r.until("the partition is stopped, and all else is done", func() bool {
				s := r.Status()
				return s.Stopped == 1 && s.Unsettled == 1
			})
			at := first.Load() - 1
			others := func() int { return j.count((at+1)%3) + j.count((at+2)%3) }
			before := ofPartition(t, c, topic, at)
			publish(t, c, topic, keys, 1_000, 500)
			mine := ofPartition(t, c, topic, at)
			r.until("the others are read to their end", func() bool { return others() == 1500*len(keys)-mine })
			if now := j.count(at); now > before {
				t.Fatalf("%d of the stuck partition have a fate, it had %d when it was stopped", now, before)
			}
			freed.Store(true)
			r.until("all have a fate", func() bool { return others()+j.count(at) >= 1500*len(keys) })
			if n := others() + j.count(at); n != 1500*len(keys) {
				t.Fatalf("%d fates", n)
			}
		})
	}
}

// ofPartition is how many events a partition has.
func ofPartition(t *testing.T, c messaging.Connection, topic string, partition int32) int {
	t.Helper()
	_, end, err := c.Browse(context.Background(), topic, messaging.Newest, 0)
	if err != nil {
		t.Fatal(err)
	}
	next, err := end.Next()
	if err != nil {
		t.Fatal(err)
	}
	return int(next[partition])
}

// noLog is for routes that read something else.
func noLog() *dispatchtest.Log { return dispatchtest.NewLog(0, 1, 1, false) }

func TestTheOrderOfEachPartitionIsKeptWithSeveralWorkers(t *testing.T) { // DELIVERY 20
	for name, connect := range brokers(t) {
		t.Run(name, func(t *testing.T) {
			c, topic := connect(t), fmt.Sprintf("order-%d", time.Now().UnixNano())
			var keys []string
			for i := range 30 {
				keys = append(keys, fmt.Sprint("key", i))
			}
			publish(t, c, topic, keys, 0, 200)
			j := &journal{of: map[int32]int{}}
			var r *rig
			r = start(t, noLog(), func(g *dispatch.Config) {
				over(c, topic, &r)(g)
				g.Outlet, g.Order, g.Batch = j, delivery.ByPartition, dispatch.Batch{Events: 50}
			})
			for i := range 3 {
				failed := map[string]bool{}
				dispatchtest.Hire(r, fmt.Sprint("w", i), uint64(i+1), func(w *dispatchtest.Worker, b *wire.Batch) *wire.Result {
					time.Sleep(time.Duration(b.Batch%3) * time.Millisecond)
					return dispatchtest.Failing(func(id string) wire.ErrKind {
						if strings.HasSuffix(id, "7") && !failed[id] {
							failed[id] = true
							return wire.KindRetry
						}
						return 0
					})(w, b)
				})
			}
			r.until("all have a fate", func() bool { return j.count(0)+j.count(1)+j.count(2) == 6_000 })
			next := map[int32]int64{}
			for _, line := range j.lines {
				var p int32
				var offset int64
				fmt.Sscanf(line, "%d/%d", &p, &offset)
				if offset < next[p] {
					t.Fatalf("%s came when %d was next", line, next[p])
				}
				next[p] = offset + 1
			}
		})
	}
}
