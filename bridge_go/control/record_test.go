package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/dispatch/dispatchtest"
	"ds-runner.dev/ds-runner/bridge_go/tape"
)

// A live route is one at work.
type liveRoute struct {
	*fakeRoute
	*dispatch.Route
	log *dispatchtest.Log
}

func (r liveRoute) Command() string                 { return r.name }
func (r liveRoute) Pause(ctx context.Context) error { return r.Route.Pause(ctx) }
func (r liveRoute) Resume()                         { r.Route.Resume() }
func (r liveRoute) Paused() bool                    { return r.Route.Paused() }
func (r liveRoute) Record(ctx context.Context, c dispatch.RecordConfig) (*dispatch.Recording, error) {
	return r.Route.Record(ctx, c)
}

// recorded is a fixture with one command at work, which scores what is appended to its log.
func recordedFixture(t *testing.T) (*fixture, liveRoute) {
	t.Helper()
	log := dispatchtest.NewLog(0, 1, 0, false)
	r := liveRoute{&fakeRoute{name: "score-stream", input: "departures"}, dispatch.New(dispatch.Config{
		Program: "flights", Command: "score-stream", Stream: "departures", Open: log.Open, Outlet: dispatchtest.NewBook(), Nonce: 7,
	}), log}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); r.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	dispatchtest.Hire(r.Route, "w1", 1, dispatchtest.Echo)
	f := newFixture(t, "memory:")
	f.c.Routes = func() []Route { return []Route{r} }
	f.c.Version = "1.2.3"
	return f, r
}

func TestATapeIsTakenOffInPieces(t *testing.T) {
	f, r := recordedFixture(t)
	opened := f.ask("record.open", "departures", "", true, 0).(list)
	number := opened[0]
	if opened[1] != "score-stream" {
		t.Fatalf("got %v", opened)
	}
	f.refuses("busy", "being recorded already", "record.open", "departures", "", true, 0)
	r.log.Append(1_000, 1, 0)
	var data []byte
	var last list
	for deadline := time.Now().Add(time.Minute); last == nil || last[6] != true; {
		last = f.ask("record.next", number, 100).(list)
		data = append(data, last[0].([]byte)...)
		if fmt.Sprint(last[2], last[6]) == "1000 false" {
			f.ask("record.stop", number)
		}
		if time.Now().After(deadline) {
			t.Fatalf("no end: %v", last[1:])
		}
	}
	if counted := fmt.Sprint(last[2:]); counted != "[1000 1000 0 0 true]" {
		t.Fatalf("counted %v", last[1:])
	}
	f.refuses("unknown_recording", "it has ended", "record.next", number, 0)
	f.refuses("unknown_recording", "it has ended", "record.stop", number)
	events := 0
	frames, err := tape.NewReader(bytes.NewReader(data))
	for err == nil {
		var frame tape.Frame
		frame, err = frames.Next()
		if b, ok := frame.(*tape.Batch); ok {
			events += len(b.Batch.Payloads)
		}
		if head, ok := frame.(*tape.Recording); ok && head.Bridge != "1.2.3" {
			t.Errorf("%+v", head)
		}
	}
	if !errors.Is(err, io.EOF) || events != 1_000 {
		t.Fatalf("%d events, %v", events, err)
	}
}

func TestWhatCannotBeRecordedIsTold(t *testing.T) {
	f, _ := recordedFixture(t)
	f.refuses("unknown_stream", "estimates", "record.open", "estimates", "", true, 0)
	f.refuses("bad_arguments", "lookups", "record.open", "departures", "", 1, 0)
	f.refuses("bad_arguments", "score-batch", "record.open", "departures", "score-batch", true, 0)
}
