package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/delivery"
	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/dispatch/dispatchtest"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// A cluster is a broker with transactions in memory: partitions that are given and taken, outputs and positions that are
// stored together. Its faults are drawn: aborts, answers that are lost before and after the commit, records refused.
type cluster struct {
	mu      sync.Mutex
	topic   [][]messaging.Record // by partition
	stored  map[int32]int64      // next offset
	epoch   map[int32]int32      // of the present assignment
	read    map[int32]int64
	outputs []messaging.Outgoing
	rng     *rand.Rand
	faults  bool
	refuse  func(*messaging.Outgoing) bool
	counts  map[string]int
	tried   int // transactions
	onGone  func([]int32)
	grown   chan struct{}
}

func newCluster(partitions, each int, seed uint64) *cluster {
	c := &cluster{stored: map[int32]int64{}, epoch: map[int32]int32{}, read: map[int32]int64{},
		rng: rand.New(rand.NewPCG(seed, 1)), faults: true, counts: map[string]int{}, grown: make(chan struct{})}
	c.topic = make([][]messaging.Record, partitions)
	c.grow(each)
	return c
}

// grow appends events to each partition, with gaps between the offsets as the markers of transactions leave.
func (c *cluster) grow(each int) {
	for p := range c.topic {
		for range each {
			offset := int64(2 * len(c.topic[p]))
			c.topic[p] = append(c.topic[p], messaging.Record{Partition: int32(p), Offset: offset,
				Key: fmt.Appendf(nil, "k%d", p), Value: fmt.Appendf(nil, "%d/%d ", p, offset)})
		}
	}
}

func (c *cluster) open(context.Context, []byte) (messaging.Source, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for p := range c.topic {
		c.assign(int32(p))
	}
	return &clusterSource{c}, nil
}

// assign gives a partition again, from its stored position.
func (c *cluster) assign(p int32) {
	c.epoch[p]++
	c.read[p] = c.stored[p]
	close(c.grown)
	c.grown = make(chan struct{})
}

// rebalance takes a partition away and gives it back.
func (c *cluster) rebalance() {
	p := int32(rand.IntN(len(c.topic)))
	c.onGone([]int32{p})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.assign(p)
}

type clusterSource struct{ *cluster }

func (c *clusterSource) Read(ctx context.Context, limit messaging.Limit) ([]messaging.Record, error) {
	for {
		c.mu.Lock()
		var out []messaging.Record
		for p, records := range c.topic {
			for _, r := range records {
				if r.Offset >= c.read[int32(p)] && len(out) < limit.Events {
					r.Epoch = c.epoch[int32(p)]
					out = append(out, r)
					c.read[int32(p)] = r.Offset + 1
				}
			}
		}
		grown := c.grown
		c.mu.Unlock()
		if len(out) > 0 {
			return out, nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (c *clusterSource) Transact(_ context.Context, writes []messaging.Write, upTo []messaging.Position) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tried++
	for _, p := range upTo {
		if p.Epoch != c.epoch[p.Partition] {
			c.counts["revoked"]++
			return &messaging.RevokedError{Partitions: []int32{p.Partition}}
		}
	}
	draw := 100
	if c.faults {
		draw = c.rng.IntN(10)
	}
	switch draw {
	case 0:
		c.counts["aborted"]++
		return &messaging.WriteError{Failed: []messaging.WriteFailure{{Index: 0, Err: errors.New("timeout")}}}
	case 1:
		c.counts["unknown, not stored"]++
		return io.ErrUnexpectedEOF
	}
	if e := c.refused(writes); e != nil {
		c.counts["refused"]++
		return e
	}
	for _, w := range writes {
		for i := range w.Records {
			c.outputs = append(c.outputs, copyOf(&w.Records[i]))
		}
	}
	for _, p := range upTo {
		c.stored[p.Partition] = p.Offset + 1
	}
	if draw == 2 {
		c.counts["unknown, stored"]++
		return io.ErrUnexpectedEOF
	}
	return nil
}

func (c *cluster) refused(writes []messaging.Write) error {
	var e messaging.WriteError
	n := 0
	for _, w := range writes {
		for i := range w.Records {
			if c.refuse != nil && c.refuse(&w.Records[i]) {
				e.Failed = append(e.Failed, messaging.WriteFailure{Index: n, Permanent: true, Err: errors.New("too large")})
			}
			n++
		}
	}
	if e.Failed == nil {
		return nil
	}
	return &e
}

func (c *clusterSource) Commit(context.Context, []messaging.Position) error {
	panic("positions of a transactional source are stored with the outputs alone")
}
func (c *clusterSource) Lag(context.Context) int64   { return -1 }
func (c *clusterSource) Close(context.Context) error { return nil }

func (c *cluster) settled() (all bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for p, records := range c.topic {
		if c.stored[int32(p)] <= records[len(records)-1].Offset {
			return false
		}
	}
	return true
}

// audit counts outputs by source, and those that came in another order than their partition has.
func (c *cluster) audit(t *testing.T) (scored, dead int) {
	t.Helper()
	seen, last := map[string]int{}, map[string]int64{}
	for _, o := range c.outputs {
		var source, code string
		for _, h := range o.Headers {
			switch h.Name {
			case dispatch.HeaderSource:
				source = string(h.Value)
			case dispatch.HeaderCode:
				code = string(h.Value)
			}
		}
		seen[source]++
		if code != "" {
			dead++
			continue
		}
		scored++
		at := strings.LastIndex(source, "/")
		var offset int64
		fmt.Sscan(source[at+1:], &offset)
		if before, ok := last[source[:at]]; ok && before >= offset {
			t.Errorf("%s came behind %d", source, before)
		}
		last[source[:at]] = offset
	}
	for p, records := range c.topic {
		for _, r := range records {
			if n := seen[fmt.Sprintf("in/%d/%d", p, r.Offset)]; n != 1 {
				t.Errorf("event %d/%d came out %d times", p, r.Offset, n)
			}
		}
	}
	return scored, dead
}

func transactional(t *testing.T, c *cluster, with ...func(*dispatch.Config)) *rig {
	target := func(topic string) dispatch.Target {
		return dispatch.Target{Stream: topic, Topic: topic, Sink: &shelf{}}
	}
	outlet := dispatch.NewStreamOutlet(dispatch.StreamConfig{Program: "p", Command: "c", Main: target("out"), Dead: target("in.dead")})
	r := start(t, dispatchtest.NewLog(0, 1, 1, false), func(g *dispatch.Config) {
		g.Open, g.Outlet, g.Order = c.open, outlet, delivery.ByKey
		g.Transaction = &dispatch.Transaction{Every: 2 * time.Millisecond, Events: 300}
		for _, change := range with {
			change(g)
		}
	})
	c.onGone = r.Revoke
	return r
}

func TestTransactionsStoreEachOutputOnceThroughAbortsLostAnswersAndRebalances(t *testing.T) { // DELIVERY 25
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	c := newCluster(4, 1_000, seed)
	r := transactional(t, c)
	for i := range 3 {
		dispatchtest.Hire(r, fmt.Sprint("w", i), uint64(i+1), dispatchtest.Echo)
	}
	seen := 0
	r.until("each fault has happened", func() bool {
		c.mu.Lock()
		tried := c.tried
		c.mu.Unlock()
		if tried > seen || rand.IntN(3) == 0 { // at each moment, and seldom enough for a slow machine to come to the end between two
			seen = tried
			c.rebalance()
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if int64(2*len(c.topic[0]))-c.stored[0] < 2_000 {
			c.grow(200)
		}
		return len(c.counts) == 4
	})
	c.mu.Lock()
	c.faults = false
	c.mu.Unlock()
	r.until("all positions are stored", c.settled)
	scored, dead := c.audit(t)
	if want := 4 * len(c.topic[0]); scored != want || dead != 0 {
		t.Fatalf("%d scored of %d, %d dead", scored, want, dead)
	}
	t.Log(scored, c.counts)
}

func TestT10AnOutputThatATransactionRefusesIsDeadAndItsNeighboursAreNot(t *testing.T) {
	c := newCluster(2, 500, 1)
	c.faults = false
	c.refuse = func(o *messaging.Outgoing) bool {
		for _, h := range o.Headers {
			if h.Name == dispatch.HeaderCode {
				return string(o.Value) == "0/40 " // the letter, until its payload is left out
			}
		}
		return strings.HasPrefix(string(o.Value), "f 0/40.")
	}
	r := transactional(t, c)
	dispatchtest.Hire(r, "w", 1, dispatchtest.Echo)
	r.until("all positions are stored", c.settled)
	if scored, dead := c.audit(t); scored != 999 || dead != 1 {
		t.Fatalf("%d scored, %d dead: %v", scored, dead, c.counts)
	}
}

func TestADrainStoresWhatIsScoredAndNothingBehindAGap(t *testing.T) {
	c := newCluster(1, 2_000, 1)
	c.faults = false
	r := transactional(t, c)
	stuck, once := make(chan struct{}), sync.Once{}
	dispatchtest.Hire(r, "w", 1, func(w *dispatchtest.Worker, b *wire.Batch) *wire.Result {
		if b.Positions[0].First > 500 {
			once.Do(func() { close(stuck) })
			return nil // never answered
		}
		return dispatchtest.Echo(w, b)
	})
	<-stuck
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	r.Drain(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if int64(len(c.outputs)) != c.stored[0]/2+c.stored[0]%2 {
		t.Fatalf("%d outputs with a position of %d", len(c.outputs), c.stored[0])
	}
}
