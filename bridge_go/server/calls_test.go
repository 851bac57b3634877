package server_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tinylib/msgp/msgp"

	"ds-runner.dev/ds-runner/bridge_go/server"
	"ds-runner.dev/ds-runner/bridge_go/server/servertest"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

var noArgs = []byte{0x90}

func (r *rig) calls() *servertest.Client {
	r.t.Helper()
	c, _ := servertest.Greeted(r.t, r.address, token, wire.RoleCalls, servertest.Hello("p", "c", "w"))
	return c
}

func withCalls(h server.Handler) func(*server.Config) {
	return func(c *server.Config) { c.Calls, c.Control = h, h }
}

func TestCallsAreAnsweredInAnyOrder(t *testing.T) {
	first := make(chan struct{})
	r := start(t, withCalls(func(ctx context.Context, hello *wire.Hello, c *wire.Call) ([]byte, error) {
		if c.Method == "slow" {
			<-first
		}
		return msgp.AppendString(nil, hello.Worker+" "+c.Method), nil
	}))
	c := r.calls()
	c.Send(&wire.Call{ID: 1, Method: "slow", Args: noArgs}, &wire.Call{ID: 2, Method: "fast", Args: noArgs})
	if a := servertest.Expect[*wire.Answer](c); a.ID != 2 || string(a.Value[1:]) != "w fast" {
		t.Fatalf("first answer %+v", a)
	}
	close(first)
	if a := servertest.Expect[*wire.Answer](c); a.ID != 1 || !a.OK {
		t.Fatalf("second answer %+v", a)
	}
}

func TestFailedCallsAreToldTheirCode(t *testing.T) {
	r := start(t, withCalls(func(ctx context.Context, _ *wire.Hello, c *wire.Call) ([]byte, error) {
		switch c.Method {
		case "stale":
			return nil, fmt.Errorf("wrapped: %w", &wire.CallError{Code: "stale_lease", Reason: "gone", Retry: false})
		case "late":
			<-ctx.Done()
			return nil, ctx.Err()
		case "large":
			return msgp.AppendBytes(nil, make([]byte, 16<<20)), nil
		case "nothing":
			return nil, nil
		}
		return nil, fmt.Errorf("broken")
	}))
	c := r.calls()
	for _, want := range []struct {
		method, code string
		retry        bool
		deadline     uint64 // ms
	}{{"stale", "stale_lease", false, 60_000}, {"late", "deadline", true, 20}, {"large", "answer_too_large", false, 60_000}, {"other", "internal", false, 60_000}} {
		c.Send(&wire.Call{ID: 1, DeadlineMS: want.deadline, Method: want.method, Args: noArgs})
		a := servertest.Expect[*wire.Answer](c)
		if a.OK || a.Failure().Code != want.code || a.Failure().Retry != want.retry {
			t.Errorf("%s: %+v", want.method, a.Failure())
		}
	}
	c.Send(&wire.Call{ID: 1, Method: "nothing", Args: noArgs})
	if a := servertest.Expect[*wire.Answer](c); !a.OK || a.Value[0] != 0xc0 {
		t.Errorf("answered %+v", a)
	}
}

func TestCallsEndWithTheirConnection(t *testing.T) {
	var ended atomic.Int32
	r := start(t, withCalls(func(ctx context.Context, _ *wire.Hello, c *wire.Call) ([]byte, error) {
		<-ctx.Done()
		ended.Add(1)
		return nil, ctx.Err()
	}))
	c := r.calls()
	for id := range uint64(64) {
		c.Send(&wire.Call{ID: id, DeadlineMS: 1 << 62, Method: "wait", Args: noArgs})
	}
	c.Send(&wire.Pulse{Seq: 1})
	servertest.Expect[*wire.Pulse](c) // all 64 have been read
	c.Close()
	waitFor(t, "64 calls to end", func() bool { return ended.Load() == 64 })
}

func TestThe65thCallInFlightIsOneTooMany(t *testing.T) {
	r := start(t, withCalls(func(ctx context.Context, _ *wire.Hello, c *wire.Call) ([]byte, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}))
	c := r.calls()
	for id := range uint64(65) {
		c.Send(&wire.Call{ID: id, DeadlineMS: 60000, Method: "wait", Args: noArgs})
	}
	c.ExpectBye(wire.ByeLimit)
}

// Large answers wait for room in the outbox instead of closing a peer that reads them.
func TestAnswersLargerThanTheOutboxTogetherAllArrive(t *testing.T) {
	r := start(t, func(c *server.Config) {
		c.QueueBytes = 2 << 20
		c.Calls = func(context.Context, *wire.Hello, *wire.Call) ([]byte, error) {
			return msgp.AppendBytes(nil, make([]byte, 1<<20)), nil
		}
	})
	c := r.calls()
	for id := range uint64(40) {
		c.Send(&wire.Call{ID: id, Method: "get", Args: noArgs})
	}
	seen := map[uint64]bool{}
	for range 40 {
		seen[servertest.Expect[*wire.Answer](c).ID] = true
	}
	if len(seen) != 40 {
		t.Errorf("%d answers", len(seen))
	}
}

func TestAConnectionOfARoleThatNobodyServesIsRefused(t *testing.T) {
	r := start(t, func(c *server.Config) { c.Pool = nil })
	for _, role := range []wire.Role{wire.RoleEvents, wire.RoleCalls, wire.RoleSupervisor, wire.RoleControl} {
		c, err := servertest.Dial(t, r.address, token, role)
		if err != nil {
			t.Fatal(err)
		}
		c.Send(servertest.Hello("p", "c", "w"))
		if bye := c.ExpectBye(wire.ByeRefused); !strings.HasPrefix(bye.Reason, "this bridge") {
			t.Errorf("%v: told %q", role, bye.Reason)
		}
	}
}

func TestACommandLineNeedsNoName(t *testing.T) {
	r := start(t, withCalls(func(context.Context, *wire.Hello, *wire.Call) ([]byte, error) { return nil, nil }))
	for range 2 { // and the second does not replace the first
		c, _ := servertest.Greeted(t, r.address, token, wire.RoleControl, servertest.Hello("", "", ""))
		c.Send(&wire.Call{ID: 1, Method: "status", Args: noArgs})
		servertest.Expect[*wire.Answer](c)
		defer c.Send(&wire.Bye{})
	}
}

func TestSilenceIsAMetricAndNotAVerdict(t *testing.T) {
	r := start(t, withCalls(func(context.Context, *wire.Hello, *wire.Call) ([]byte, error) { return nil, nil }))
	if s := r.metric("ds_wire_silence_seconds"); s != 0 {
		t.Errorf("%v s of silence without a connection", s)
	}
	c := r.calls()
	waitFor(t, "silence", func() bool { return r.metric("ds_wire_silence_seconds") > 0.4 })
	waitFor(t, "an end of the silence by a pulse", func() bool {
		c.Send(&wire.Pulse{Seq: 1})
		servertest.Expect[*wire.Pulse](c)
		return r.metric("ds_wire_silence_seconds") <= 0.4
	})
}
