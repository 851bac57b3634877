package server_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/server"
	"ds-runner.dev/ds-runner/bridge_go/server/servertest"
	"ds-runner.dev/ds-runner/bridge_go/wire"
	"ds-runner.dev/ds-runner/bridge_go/wire/wiretest"
)

// ping sends one event to a healthy worker and has it answered.
func (r *rig) ping(c *servertest.Client, w dispatch.Worker, number uint64) time.Duration {
	r.t.Helper()
	began := time.Now()
	w.Send(batch(number, "a"))
	c.Send(result(servertest.Expect[*wire.Batch](c)))
	r.pool.Wait(r.t, "Result", w.ID(), int(number))
	return time.Since(began)
}

// heap is what is reachable now.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestT22HostileLengthsCloseTheirConnectionAlone(t *testing.T) {
	r := start(t, nil)
	healthy, w := r.ready("healthy", 100, 1<<20)
	for i, length := range []uint32{0xFFFFFFFF, 0x7FFFFFFF, 16<<20 + 1, 0, 1} {
		before, best := heap(), time.Hour // other load on the machine disturbs the best of some least: of as many as it takes
		for try, end := 0, time.Now().Add(servertest.Patience); try < 5 || best > 10*time.Millisecond && time.Now().Before(end); try++ {
			best = min(best, r.hostileLength(fmt.Sprint("hostile", i, ".", try), length))
		}
		if best > 10*time.Millisecond {
			t.Errorf("length %d: closed after %v", length, best)
		}
		if more := int64(heap()) - int64(before); more > 1<<20 {
			t.Errorf("length %d: %d bytes more memory", length, more)
		}
		r.ping(healthy, w, uint64(i+1))
	}
}

// hostileLength announces a frame of that length and measures how long its connection lives.
func (r *rig) hostileLength(name string, length uint32) time.Duration {
	r.t.Helper()
	c := r.worker(name)
	frame := binary.BigEndian.AppendUint32(nil, length)
	if length == 1 {
		frame = append(frame, 0xc1)
	}
	code := wire.ByeLimit
	if length <= 1 {
		code = wire.ByeMalformed
	}
	began := time.Now()
	c.Bytes(frame)
	m, err := c.Receive()
	if bye, ok := m.(*wire.Bye); !ok || bye.Code != code {
		r.t.Errorf("length %d: %+v, %v", length, m, err)
	}
	c.ExpectEnd()
	return time.Since(began)
}

func TestT22AnAnnouncedFrameTakesOnlyTheMemoryOfItsBytes(t *testing.T) {
	r := start(t, nil)
	before := heap()
	var clients []*servertest.Client
	for i := range 20 {
		c := r.worker(fmt.Sprint("w", i))
		c.Bytes(append(binary.BigEndian.AppendUint32(nil, 16<<20), 0x96, 0x09)) // 16 MiB are announced, 2 bytes come
		clients = append(clients, c)
	}
	waitFor(t, "the bytes to arrive", func() bool { return r.metric("ds_wire_frames_total", "direction=in") == 20 })
	if more := int64(heap()) - int64(before); more > 20*256<<10 {
		t.Errorf("%d bytes more memory for 20 connections", more)
	}
	for _, c := range clients {
		c.Close()
	}
}

func TestT23SlowConnectionsAreClosedAtTheirDeadlineAndDisturbNobody(t *testing.T) {
	const slow = 300
	r := start(t, func(c *server.Config) { c.PrefaceTimeout = 2 * time.Second })
	healthy, w := r.ready("healthy", 100, 1<<20)
	var quiet []time.Duration
	for n := range uint64(100) {
		quiet = append(quiet, r.ping(healthy, w, n+1))
	}
	opening := wire.Opening{Lowest: 1, Highest: 1, Role: wire.RoleEvents}.Bytes()
	began := time.Now()
	var closed sync.WaitGroup
	for range slow {
		nc := servertest.Connect(t, r.address)
		closed.Go(func() { drip(nc, opening[:], 60*time.Millisecond) }) // longer than they may take
	}
	var busy []time.Duration
	for n := range uint64(100) {
		busy = append(busy, r.ping(healthy, w, n+101))
	}
	closed.Wait()
	if took := time.Since(began); took > servertest.Patience/2 {
		t.Errorf("the last was closed after %v", took)
	}
	waitFor(t, "refusals", func() bool { return r.metric("ds_wire_refused_total", "reason=timeout") == slow })
	slices.Sort(quiet)
	slices.Sort(busy)
	t.Logf("median ping %v alone, %v beside %d slow connections", quiet[50], busy[50], slow)
	if busy[50] > 10*quiet[50]+time.Second { // who waits for one of them waits for longer
		t.Errorf("median ping %v alone, %v beside %d slow connections", quiet[50], busy[50], slow)
	}
}

// drip writes a byte now and then until the other side has closed.
func drip(nc net.Conn, b []byte, every time.Duration) {
	defer nc.Close()
	for i := range b {
		if _, err := nc.Write(b[i : i+1]); err != nil {
			return
		}
		nc.SetReadDeadline(time.Now().Add(every))
		if _, err := nc.Read(make([]byte, 1)); err != nil && !isTimeout(err) {
			return
		}
	}
	nc.SetReadDeadline(time.Now().Add(servertest.Patience))
	_, _ = io.Copy(io.Discard, nc)
}

func isTimeout(err error) bool {
	timeout, ok := err.(net.Error)
	return ok && timeout.Timeout()
}

func TestT23AConnectionThatNeverSaysHelloIsClosed(t *testing.T) {
	r := start(t, func(c *server.Config) { c.PrefaceTimeout = time.Second }) // in which the preface itself must be done
	c, err := servertest.Dial(t, r.address, token, wire.RoleEvents)
	if err != nil {
		t.Fatal(err)
	}
	c.ExpectEnd()
	waitFor(t, "its end", func() bool { return r.metric("ds_wire_ended_total", "reason=lost") == 1 })
}

func TestT23ConnectionsAreBounded(t *testing.T) {
	r := start(t, func(c *server.Config) { c.MaxConnections = 3 })
	for i := range 3 {
		r.worker(fmt.Sprint("w", i))
	}
	if _, err := servertest.Dial(t, r.address, token, wire.RoleEvents); err != wire.RefusedTooMany {
		t.Errorf("dialled with %v", err)
	}
	for range 200 { // more than are told
		servertest.Connect(t, r.address)
	}
	waitFor(t, "refusals", func() bool { return r.metric("ds_wire_refused_total", "reason=too_many") > 100 })
}

func TestT25T26T27HostileFramesCloseTheirConnectionAlone(t *testing.T) {
	r := start(t, nil)
	healthy, w := r.ready("healthy", 100, 1<<20)
	malformed := 0
	for i, v := range wiretest.Invalid(t) {
		if v.Minor > wire.Minor || slices.Contains(v.Codes, uint8(wire.ByeUnknownType)) && v.Minor < wire.Minor || i%4 != 0 && v.Pieces == nil {
			continue
		}
		c := r.worker(fmt.Sprint("hostile", i))
		body := v.Body(t)
		before := heap()
		c.SetWriteDeadline(time.Now().Add(servertest.Patience))
		_, _ = c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...))
		bye := servertest.Expect[*wire.Bye](c)
		if !slices.Contains(v.Codes, uint8(bye.Code)) {
			t.Errorf("%s: BYE %d (%s), wants %v", v.Name, bye.Code, bye.Reason, v.Codes)
		}
		c.ExpectEnd()
		malformed++
		if more := int64(heap()) - int64(before); more > 1<<20 {
			t.Errorf("%s: %d bytes more memory", v.Name, more)
		}
	}
	r.ping(healthy, w, 1)
	if n := r.metric("ds_wire_malformed_total"); n != float64(malformed) {
		t.Errorf("%v malformed frames, wants %d", n, malformed)
	}
}

func TestT24RandomBytesNeverHarmTheServer(t *testing.T) {
	r := start(t, nil)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for i := range 200 {
		c := r.worker(fmt.Sprint("hostile", i))
		frame := make([]byte, random.IntN(200)+1)
		for j := range frame {
			frame[j] = byte(random.Uint32())
		}
		if i%2 == 0 { // something that gets further than its length
			frame = binary.BigEndian.AppendUint32(nil, uint32(len(frame)))
			frame = append(frame, 0x90|byte(random.IntN(16)), byte(random.IntN(14)))
		}
		c.Bytes(frame)
		c.CloseWithReset()
	}
	r.worker("healthy").Send(&wire.Bye{})
	r.pool.Wait(t, "Leave", "healthy", 1)
	waitFor(t, "all to leave", func() bool { return r.pool.Count("Leave") == 201 })
}

func TestT28ResultsOfLeasesThatAreNotOpenReachTheDispatcherAndEndNothing(t *testing.T) {
	r := start(t, nil)
	c, w := r.ready("w", 100, 1<<20)
	b := batch(7, "a", "b")
	early, stale, unknown := result(b), result(b), result(batch(99, "a"))
	stale.Nonce = 76
	c.Send(early, stale, unknown)
	r.pool.Wait(t, "Result", "w", 3)
	w.Send(b)
	servertest.Expect[*wire.Batch](c)
	c.Send(result(b), result(b), &wire.Return{Lease: b.Lease, Code: "late"})
	r.pool.Wait(t, "Result", "w", 5)
	r.pool.Wait(t, "Return", "w", 1)
	r.pingOn(c, w)
}

// pingOn is one more event on a connection that is expected to live.
func (r *rig) pingOn(c *servertest.Client, w dispatch.Worker) {
	r.t.Helper()
	w.Send(batch(1000, "z"))
	c.Send(result(servertest.Expect[*wire.Batch](c)), &wire.Bye{})
	if h := r.pool.Wait(r.t, "Leave", w.ID(), 1); h.Err != nil {
		r.t.Errorf("left with %v", h.Err)
	}
}

func TestT28ABatchThatIsLeasedAlreadyIsTheBridgesMistake(t *testing.T) {
	r := start(t, nil)
	c, w := r.ready("w", 100, 1<<20)
	w.Send(batch(7, "a"))
	w.Send(batch(7, "a"))
	c.ExpectBye(wire.ByeInternal)
	r.pool.Wait(t, "Leave", "w", 1)
}

func TestT28AResultOutOfTurnClosesAndTheLeasesReturn(t *testing.T) {
	r := start(t, nil)
	c, w := r.ready("w", 100, 1<<20)
	first, second := batch(7, "a"), batch(8, "b")
	w.Send(first)
	w.Send(second)
	servertest.Expect[*wire.Batch](c)
	servertest.Expect[*wire.Batch](c)
	c.Send(result(second))
	c.ExpectBye(wire.ByeOrder)
	if h := r.pool.Wait(t, "Leave", "w", 1); h.Err == nil || r.pool.Count("Result") != 0 {
		t.Errorf("left with %v after %d results", h.Err, r.pool.Count("Result"))
	}
}

func TestT29WrongMissingAndReplayedProofsAreRefused(t *testing.T) {
	r := start(t, nil)
	if _, err := servertest.Dial(t, r.address, wire.Token("another token, long enough"), wire.RoleEvents); err != wire.ErrBridge {
		t.Errorf("a client with another token: %v", err)
	}
	opening := wire.Opening{Lowest: 1, Highest: 1, Role: wire.RoleEvents, Nonce: wire.NewNonce()}.Bytes()
	proofs := map[string][]byte{"wrong": bytes.Repeat([]byte{7}, 32), "the token": token[:32], "the bridge's own": nil}
	for name, proof := range proofs {
		nc := servertest.Connect(t, r.address)
		nc.SetDeadline(time.Now().Add(servertest.Patience))
		nc.Write(opening[:])
		challenge := make([]byte, 80)
		if _, err := io.ReadFull(nc, challenge); err != nil {
			t.Fatal(err)
		}
		if proof == nil {
			proof = challenge[48:]
		}
		nc.Write(proof)
		rest, err := io.ReadAll(nc)
		if err != nil || !bytes.Equal(rest, []byte{uint8(wire.RefusedProof)}) {
			t.Errorf("%s: answered %x, %v", name, rest, err)
		}
	}
	replayed(t, r)
	waitFor(t, "refusals", func() bool { return r.metric("ds_wire_refused_total", "reason=proof") == 4 })
	if len(r.pool.Heard()) > 0 {
		t.Errorf("heard %+v", r.pool.Heard())
	}
}

// replayed sends what a client sent on an earlier connection that was admitted, byte by byte.
func replayed(t *testing.T, r *rig) {
	t.Helper()
	tape := &taped{Conn: servertest.Connect(t, r.address)}
	if _, err := wire.Open(tape, token, wire.RoleEvents, wire.NewNonce()); err != nil {
		t.Fatal(err)
	}
	nc := servertest.Connect(t, r.address)
	nc.SetDeadline(time.Now().Add(servertest.Patience))
	nc.Write(tape.sent)
	rest, err := io.ReadAll(nc)
	if err != nil || len(rest) != 81 || rest[80] != uint8(wire.RefusedProof) {
		t.Errorf("replayed: answered %x, %v", rest, err)
	}
}

type taped struct {
	net.Conn
	sent []byte
}

func (c *taped) Write(b []byte) (int, error) {
	c.sent = append(c.sent, b...)
	return c.Conn.Write(b)
}

func TestT30VersionsAreNegotiatedOrRefused(t *testing.T) {
	r := start(t, nil)
	var refusals []struct {
		Name, Hello, Challenge, Proof string
	}
	wiretest.Load(t, "preface/refused_by_bridge.json", &refusals)
	for _, v := range refusals {
		if v.Proof != "" {
			continue
		}
		nc := servertest.Connect(t, r.address)
		nc.SetDeadline(time.Now().Add(servertest.Patience))
		nc.Write(wiretest.Hex(t, v.Hello))
		if answer, err := io.ReadAll(nc); err != nil || hex.EncodeToString(answer) != v.Challenge {
			t.Errorf("%s: answered %x, %v", v.Name, answer, err)
		}
	}
	c := r.worker("w")
	c.Bytes([]byte{0, 0, 0, 4, 0x92, 0xcc, 0xc8, 0x01}) // a type of a later version that may be skipped
	c.Send(&wire.Ready{Events: 1, Bytes: 1})
	r.pool.Wait(t, "Ready", "w", 1)
	c.Bytes([]byte{0, 0, 0, 2, 0x91, 0x64}) // one that may not
	c.ExpectBye(wire.ByeUnknownType)
}

func TestT31APeerThatSendsWithoutCreditIsBounded(t *testing.T) {
	r := start(t, withCalls(nil))
	c := r.worker("w")
	c.Send(result(batch(1, "a")))
	c.ExpectBye(wire.ByeOrder)

	c, _ = r.ready("flood", 1, 1) // results that nobody asked for are dropped one by one, and nothing is kept of them
	before := heap()
	for range 200 {
		c.Send(result(batch(1, "a")))
	}
	r.pool.Wait(t, "Result", "flood", 200)
	if more := int64(heap()) - int64(before); more > 4<<20 {
		t.Errorf("%d bytes more memory", more)
	}
}

func TestT31APeerThatDoesNotReadIsClosed(t *testing.T) {
	r := start(t, func(c *server.Config) { c.QueueBytes = 1 << 20 })
	c, _ := servertest.Greeted(t, r.address, token, wire.RoleSupervisor, servertest.Hello("p", "c", "parent"))
	s := r.pool.Wait(t, "Supervise", "", 1).Supervisor
	before := heap()
	for range 200_000 { // far above the socket's buffers and the outbox
		s.Cut("w", string(bytes.Repeat([]byte("x"), 200)))
	}
	r.pool.Wait(t, "Unsupervise", "", 1)
	if more := int64(heap()) - int64(before); more > 8<<20 {
		t.Errorf("%d bytes more memory", more)
	}
	c.Close()
}

func TestT31AWindowWithoutEndIsCutToWhatTheBridgeHolds(t *testing.T) {
	r := start(t, nil)
	c := r.worker("greedy")
	c.Send(&wire.Ready{Events: 1<<63 - 1, Bytes: 1<<63 - 1})
	h := r.pool.Wait(t, "Ready", "greedy", 1)
	if h.Events > 2<<20 || h.Bytes > 32<<20 {
		t.Errorf("window of %d events, %d bytes", h.Events, h.Bytes)
	}
	never := r.worker("never ready")
	never.Send(&wire.Bye{})
	r.pool.Wait(t, "Leave", "never ready", 1)
	for _, h := range r.pool.Heard() {
		if h.Method == "Ready" && h.Worker == "never ready" {
			t.Error("a worker that never granted a window was given one")
		}
	}
}
