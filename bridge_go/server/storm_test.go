package server_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"path/filepath"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/server"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// Workers that answer by columns, by lines, in parts, give back, hang up and lie, in any order: every event has its right output, and every
// misfit its dead letter, once each where nobody hung up behind an answer.
func TestNothingIsLostByColumnsWhateverWorkersDo(t *testing.T) {
	const events, seed = 20_000, 20131001
	t.Logf("seed %d", seed)
	src, sink, dead := &numbered{n: events}, &kept{}, &kept{}
	r := dispatch.New(dispatch.Config{
		Program: "p", Command: "c", Stream: "in", Nonce: 77, Bounded: true, Attempts: 2,
		Open: func(context.Context, []byte) (messaging.Source, error) { return src, nil },
		Outlet: dispatch.NewStreamOutlet(dispatch.StreamConfig{Program: "p", Command: "c",
			Main: dispatch.Target{Stream: "out", Sink: sink}, Dead: dispatch.Target{Stream: "dead", Sink: dead}}),
	})
	socket := filepath.Join(t.TempDir(), "s")
	registry := prometheus.NewRegistry()
	s, err := server.Listen(server.Config{Listen: []string{"unix://" + socket}, Token: token, Nonce: 77, Register: registry,
		Pool: func(string, string) (dispatch.Pool, error) { return r, nil }})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- r.Run(t.Context()) }()
	var workers sync.WaitGroup
	stop := make(chan struct{})
	for i := range 3 {
		workers.Go(func() {
			moody := &moody{dice: rand.New(rand.NewPCG(seed, uint64(i))), name: fmt.Sprint("w", i), lies: 4}
			for moody.work(socket) {
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	close(stop)
	s.Shutdown(context.Background())
	workers.Wait()
	sink.wants(t, "output", events, func(n int) bool { return n%misfitEach != 0 }, func(n int) float64 { return float64(2 * n) })
	if n := (&rig{t: t, registry: registry}).metric("ds_wire_events_total", "form=columns"); n < events*9/10 {
		t.Errorf("%v events went by columns", n)
	}
	dead.wants(t, "dead letter", events, func(n int) bool { return n%misfitEach == 0 }, nil)
}

// misfitEach is how often an event is one that no column takes.
const misfitEach = 97

const doubled = `{"columns": {"unknown": "skip", "fields": [{"name": "n", "kind": "float"}], "outputs": [{"name": "n", "kind": "float"}]}}`

type numbered struct{ next, n int }

func (s *numbered) Read(_ context.Context, limit messaging.Limit) ([]messaging.Record, error) {
	var records []messaging.Record
	for len(records) < limit.Events && s.next < s.n {
		value := fmt.Appendf(nil, `{"n": %d}`, s.next)
		if s.next%misfitEach == 0 {
			value = fmt.Appendf(nil, `{"n": "%d"}`, s.next)
		}
		records = append(records, messaging.Record{Value: value, Offset: int64(s.next)})
		s.next++
	}
	if len(records) == 0 {
		return nil, io.EOF
	}
	return records, nil
}

func (s *numbered) Commit(context.Context, []messaging.Position) error { return nil }
func (s *numbered) Lag(context.Context) int64                          { return 0 }
func (s *numbered) Close(context.Context) error                        { return nil }

// kept is a sink that remembers.
type kept struct{ values [][]byte }

func (k *kept) Write(_ context.Context, records []messaging.Outgoing) error {
	for i := range records {
		k.values = append(k.values, bytes.Clone(records[i].Value))
	}
	return nil
}
func (k *kept) Info() messaging.SinkInfo    { return messaging.SinkInfo{} }
func (k *kept) Close(context.Context) error { return nil }

// wants holds what was kept to one record for each of n events that belong here.
func (k *kept) wants(t *testing.T, what string, n int, belongs func(int) bool, value func(int) float64) {
	t.Helper()
	seen := map[float64]int{}
	for _, v := range k.values {
		var record struct{ N json.RawMessage }
		if err := json.Unmarshal(v, &record); err != nil {
			t.Fatalf("%s %q: %v", what, v, err)
		}
		var number float64
		if err := json.Unmarshal(bytes.Trim(record.N, `"`), &number); err != nil {
			t.Fatalf("%s %q: %v", what, v, err)
		}
		seen[number]++
	}
	wanted := 0
	for i := range n {
		if !belongs(i) {
			continue
		}
		wanted++
		at := float64(i)
		if value != nil {
			at = value(i)
		}
		if seen[at] != 1 {
			t.Errorf("event %d has %d of %s", i, seen[at], what)
		}
	}
	if len(k.values) != wanted {
		t.Errorf("%d of %s, wants %d", len(k.values), what, wanted)
	}
}

// A moody is a worker that doubles numbers in one way or another.
type moody struct {
	dice *rand.Rand
	name string
	lies int // that are left: each ends its connection, and blames what was in it
	conn net.Conn
}

// work is one connection of it. It is false when the bridge wants no more.
func (w *moody) work(socket string) (again bool) {
	conn, err := dial(socket)
	if err != nil {
		return false
	}
	defer conn.Close()
	w.conn = conn
	hello := &wire.Hello{Program: "p", Command: "c", Worker: w.name, MaxFrame: wire.DefaultMaxFrame, Wants: wire.WantColumns, Describe: []byte(doubled)}
	w.say(hello)
	in := wire.NewReader(conn)
	for {
		frame, err := in.Next()
		if err != nil {
			return true
		}
		m, err := wire.Decode(frame, wire.Minor)
		if err != nil {
			return false
		}
		switch m := m.(type) {
		case *wire.Welcome:
			in.SetLimit(m.MaxFrame)
			w.say(&wire.Ready{Events: 100, Bytes: 4000})
		case *wire.Columns:
			w.answer(m.Lease, rowsOf(m))
		case *wire.Batch:
			w.answer(m.Lease, make([]*float64, len(m.Payloads))) // misfits alone
		case *wire.Drain:
			w.say(&wire.Bye{})
			return false
		case *wire.Bye:
			return m.Code != wire.ByeDone && m.Code != wire.ByeDraining
		}
	}
}

func (w *moody) say(m wire.Message) {
	b, err := wire.AppendFrame(nil, m, wire.DefaultMaxFrame)
	if err != nil {
		panic(err)
	}
	_, _ = w.conn.Write(b) // the reader finds out
}

// rowsOf has the number of each event, nil for a misfit.
func rowsOf(m *wire.Columns) []*float64 {
	all := make([]*float64, m.Events())
	misfits, row := m.Misfits, 0
	for i := range all {
		if len(misfits) > 0 && misfits[0].Index == uint64(i) {
			misfits = misfits[1:]
			continue
		}
		v := math.Float64frombits(binary.LittleEndian.Uint64(m.Body[int(m.Layout[4])+8*row:]))
		all[i], row = &v, row+1
	}
	return all
}

func (w *moody) answer(l wire.Lease, rows []*float64) {
	switch mood := w.dice.IntN(40); {
	case mood == 0:
		w.say(&wire.Return{Lease: l, Code: "moody", Reason: "not now", RetryMS: 1})
	case mood == 1 && w.lies > 0:
		w.lies--
		w.conn.Close()
	case mood == 2 && w.lies > 0:
		w.lies--
		lie := delays(l) // of another plan
		lie.Count = uint64(len(rows))
		w.say(lie)
	case mood == 3:
		w.say(bomb(wire.Lease{Nonce: l.Nonce, Batch: l.Batch + 1_000_000}))
		w.part(l, rows, 0, len(rows))
	case mood < 12 && len(rows) > 1:
		cut := 1 + w.dice.IntN(len(rows)-1)
		w.part(l, rows, 0, cut)
		w.part(l, rows, cut, len(rows))
	default:
		w.part(l, rows, 0, len(rows))
	}
}

// part answers the events from first to end, by columns where it can and likes to.
func (w *moody) part(l wire.Lease, rows []*float64, first, end int) {
	var errors []wire.RowError
	var values []float64
	for i, v := range rows[first:end] {
		if v == nil {
			errors = append(errors, wire.RowError{Index: uint64(first + i), Kind: wire.KindFail, Code: "invalid_event"})
		} else {
			values = append(values, 2**v)
		}
	}
	if len(values) > 0 && w.dice.IntN(4) > 0 {
		n := uint64(len(values))
		w.say(&wire.Answers{Lease: l, First: uint64(first), Count: uint64(end - first), Errors: errors,
			Columnar: wire.Columnar{Rows: n, Layout: []uint64{0, 0, 0, 0, 0, 8 * n, 0, 0, 0, 0}, Body: floats(values...)}})
		return
	}
	lines := []byte{}
	for _, v := range values {
		lines = fmt.Appendf(lines, `{"n": %v}`+"\n", v)
	}
	w.say(&wire.Result{Lease: l, First: uint64(first), Count: uint64(end - first), Lines: lines, Errors: errors})
}
