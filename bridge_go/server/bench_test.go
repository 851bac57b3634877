package server_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/server"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// BenchmarkBridge is what an event of twelve fields and 300 bytes costs the bridge, from a source in memory to a sink in memory, with a
// worker in a process of its own behind a Unix socket: as payloads, as columns, and with answers of either kind. cpu-ns/event is the
// bridge's process alone. Whoever sends columns parses JSON, so these rows are to be set beside what parsing costs Python.
func BenchmarkBridge(b *testing.B) {
	for _, c := range []struct {
		name, plan string
		answers    string
	}{
		{"payloads", "", "result"},
		{"columns=5", planOf(clickFields[2:3], clickFields[8:12]), "result"},
		{"columns=12", planOf(clickFields), "result"},
		{"columns=12/answers", planOf(clickFields), "answers"},
	} {
		b.Run(c.name, func(b *testing.B) { benchBridge(b, c.plan, c.answers) })
	}
}

var clickFields = strings.Fields("event_id:str ts:int user_id:int session:str kind:str path:str referrer:str country:str dwell_ms:float scroll:float priority:int is_member:bool")

func planOf(parts ...[]string) string {
	var fields []string
	for _, part := range parts {
		for _, f := range part {
			name, kind, _ := strings.Cut(f, ":")
			fields = append(fields, fmt.Sprintf(`{"name":%q,"wire":%q,"kind":%q,"nullable":false}`, name, name, kind))
		}
	}
	return `{"columns":{"unknown":"skip","fields":[` + strings.Join(fields, ",") + `],"outputs":[
		{"name":"event_id","wire":"event_id","kind":"str","nullable":false},{"name":"score","wire":"score","kind":"float","nullable":false}]}}`
}

func benchBridge(b *testing.B, plan, answers string) {
	src := &clicks{payloads: clickPayloads(1024), n: b.N}
	sink := &counted{}
	r := dispatch.New(dispatch.Config{
		Program: "p", Command: "c", Stream: "clicks", Nonce: 77, Bounded: true,
		Open:   func(context.Context, []byte) (messaging.Source, error) { return src, nil },
		Outlet: dispatch.NewStreamOutlet(dispatch.StreamConfig{Program: "p", Command: "c", Main: dispatch.Target{Stream: "scores", Sink: sink}}),
	})
	socket := filepath.Join(b.TempDir(), "s")
	s, err := server.Listen(server.Config{Listen: []string{"unix://" + socket}, Token: token, Nonce: 77,
		Pool: func(string, string) (dispatch.Pool, error) { return r, nil }})
	if err != nil {
		b.Fatal(err)
	}
	worker := exec.Command(os.Args[0])
	worker.Env = append(os.Environ(), "DS_BENCH_WORKER="+socket, "DS_BENCH_PLAN="+plan, "DS_BENCH_ANSWERS="+answers)
	worker.Stderr = os.Stderr
	b.ReportAllocs()
	b.ResetTimer()
	before := cpu()
	if err := worker.Start(); err != nil {
		b.Fatal(err)
	}
	if err := r.Run(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(cpu()-before)/float64(b.N), "cpu-ns/event")
	if err := worker.Wait(); err != nil {
		b.Fatal(err)
	}
	s.Shutdown(context.Background())
	if sink.n != b.N {
		b.Fatalf("%d outputs of %d events", sink.n, b.N)
	}
}

func cpu() int64 {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return u.Utime.Nano() + u.Stime.Nano()
}

// TestMain lets the test binary be the worker of a benchmark.
func TestMain(m *testing.M) {
	if socket := os.Getenv("DS_BENCH_WORKER"); socket != "" {
		if err := work(socket, os.Getenv("DS_BENCH_PLAN"), os.Getenv("DS_BENCH_ANSWERS") == "answers"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// work is a worker that thinks nothing: it answers by buffers that were made before.
func work(socket, plan string, byColumns bool) error {
	nc, err := dial(socket)
	if err != nil {
		return err
	}
	defer nc.Close()
	in, out := wire.NewReader(nc), []byte(nil)
	say := func(m wire.Message) error {
		out, _ = wire.AppendFrame(out[:0], m, wire.DefaultMaxFrame)
		_, err := nc.Write(out)
		return err
	}
	hello := &wire.Hello{Program: "p", Command: "c", Worker: "w", PID: 1, MaxFrame: wire.DefaultMaxFrame, Describe: []byte(plan)}
	if plan != "" {
		hello.Wants = wire.WantColumns
	}
	if err := say(hello); err != nil {
		return err
	}
	for {
		frame, err := in.Next()
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		m, err := wire.Decode(frame, wire.Minor)
		if err != nil {
			return err
		}
		switch m := m.(type) {
		case *wire.Welcome:
			in.SetLimit(m.MaxFrame)
			err = say(&wire.Ready{Events: 2048, Bytes: 8 << 20})
		case *wire.Batch:
			err = say(scored(m.Lease, len(m.Payloads), byColumns))
		case *wire.Columns:
			err = say(scored(m.Lease, m.Events(), byColumns))
		case *wire.Drain:
			return say(&wire.Bye{})
		case *wire.Bye:
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func scored(l wire.Lease, n int, byColumns bool) wire.Message {
	const line = `{"event_id":"0123456789abcdef0123456789abcdef","score":0.7310585786300049}` + "\n"
	if !byColumns {
		return &wire.Result{Lease: l, Count: uint64(n), Lines: bytes.Repeat([]byte(line), n)}
	}
	var offsets, scores []byte
	for i := range n {
		offsets = binary.LittleEndian.AppendUint32(offsets, uint32(32*i))
		scores = append(scores, floats(0.7310585786300049)...)
	}
	offsets = binary.LittleEndian.AppendUint32(offsets, uint32(32*n))
	m := &wire.Answers{Lease: l, Count: uint64(n), Columnar: wire.Columnar{Rows: uint64(n)}}
	put := func(b []byte) (at, size uint64) {
		m.Body = append(m.Body, make([]byte, -len(m.Body)&63)...)
		at, size = uint64(len(m.Body)), uint64(len(b))
		m.Body = append(m.Body, b...)
		return at, size
	}
	o, osize := put(offsets)
	t, tsize := put(bytes.Repeat([]byte("0123456789abcdef0123456789abcdef"), n))
	d, dsize := put(scores)
	m.Layout = []uint64{3, 0, 0, 0, 0, 0, o, osize, t, tsize, 0, 0, 0, 0, d, dsize, 0, 0, 0, 0}
	return m
}

// clickPayloads are events like those of tests/bench/events.py.
func clickPayloads(n int) [][]byte {
	r := rand.New(rand.NewPCG(7, 7))
	all := make([][]byte, n)
	for i := range all {
		all[i] = fmt.Appendf(nil, `{"event_id":"%016x%016x","ts":%d,"user_id":%d,"session":"s-%012x","kind":"issue_viewed","path":"/projects/PAY/issues/PAY-%d?tab=activity",`+
			`"referrer":"/projects/OPS/board/%d","country":"DE","dwell_ms":%v,"scroll":%v,"priority":%d,"is_member":%v}`,
			r.Uint64(), r.Uint64(), 1718031234567+13*i, 1+r.IntN(500_000), r.Uint64()>>16, 1+r.IntN(9000), 1+r.IntN(40),
			float64(r.IntN(400_000))/100, float64(r.IntN(10_000))/10_000, 1+r.IntN(5), r.IntN(5) > 0)
	}
	return all
}

// clicks is a source of events that cost nothing to make.
type clicks struct {
	payloads [][]byte
	next, n  int
}

func (c *clicks) Read(_ context.Context, limit messaging.Limit) ([]messaging.Record, error) {
	n := min(limit.Events, c.n-c.next, limit.Bytes/400+1)
	if n == 0 {
		return nil, io.EOF
	}
	records := make([]messaging.Record, n)
	for i := range records {
		records[i] = messaging.Record{Value: c.payloads[c.next%len(c.payloads)], Offset: int64(c.next)}
		c.next++
	}
	return records, nil
}

func (c *clicks) Commit(context.Context, []messaging.Position) error { return nil }
func (c *clicks) Lag(context.Context) int64                          { return 0 }
func (c *clicks) Close(context.Context) error                        { return nil }

type counted struct{ n int }

func (c *counted) Write(_ context.Context, records []messaging.Outgoing) error {
	c.n += len(records)
	return nil
}
func (c *counted) Info() messaging.SinkInfo    { return messaging.SinkInfo{} }
func (c *counted) Close(context.Context) error { return nil }

func dial(socket string) (net.Conn, error) {
	nc, err := net.Dial("unix", socket)
	if err != nil {
		return nil, err
	}
	_, err = wire.Open(nc, token, wire.RoleEvents, wire.NewNonce())
	return nc, err
}
