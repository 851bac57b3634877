package control

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/tinylib/msgp/msgp"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// recordings are those that somebody reads. One that nobody asks for ends in its route; here it stays until its command is
// recorded again, so there is at most one a command.
type recordings struct {
	mu   sync.Mutex
	last int64
	open []recorded
}

type recorded struct {
	number  int64
	command string
	*dispatch.Recording
}

func (l *recordings) add(command string, x *dispatch.Recording) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remove(func(r recorded) bool { return r.command == command })
	l.last++
	l.open = append(l.open, recorded{l.last, command, x})
	return l.last
}

func (l *recordings) find(number int64) (*dispatch.Recording, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.open {
		if r.number == number {
			return r.Recording, nil
		}
	}
	return nil, &wire.CallError{Code: "unknown_recording", Reason: fmt.Sprintf("there is no recording %d: it has ended, or nobody asked for it for too long", number)}
}

func (l *recordings) end(number int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remove(func(r recorded) bool { return r.number == number })
}

func (l *recordings) remove(which func(recorded) bool) { l.open = slices.DeleteFunc(l.open, which) }

// recordOpen begins to keep what a command does and answers [recording, command].
func (k *Control) recordOpen(ctx context.Context, r *request) ([]byte, error) {
	name, command := r.Text("stream"), r.Text("command")
	c := dispatch.RecordConfig{Bridge: k.c.Version, Lookups: r.Bool("lookups"), Bytes: int(r.Number("bytes", 0, math.MaxInt32))}
	if r.End(); r.Err != nil {
		return nil, r.Err
	}
	route, err := k.reader(name, command)
	if err != nil {
		return nil, err
	}
	x, err := route.Record(ctx, c)
	switch {
	case errors.Is(err, dispatch.ErrRecording):
		return nil, &wire.CallError{Code: "busy", Retry: true,
			Reason: route.Command() + " is being recorded already. Wait for the end of that, or stop it"}
	case err != nil:
		return nil, err
	}
	k.c.Log.Info("recorded by the command line", "command", route.Command(), "stream", route.Input())
	out := msgp.AppendInt64(msgp.AppendArrayHeader(nil, 2), k.recordings.add(route.Command(), x))
	return msgp.AppendString(out, route.Command()), nil
}

// recordNext answers the next bytes of a tape.
func (k *Control) recordNext(ctx context.Context, r *request) ([]byte, error) {
	number, wait := r.Number("recording", 0, math.MaxInt64), time.Duration(r.Number("wait_ms", 0, math.MaxInt32))*time.Millisecond
	if r.End(); r.Err != nil {
		return nil, r.Err
	}
	x, err := k.recordings.find(number)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(deadline)-answerTime)
	}
	ctx, cancel := context.WithTimeout(ctx, max(wait, 0))
	defer cancel()
	data, n, done := x.Next(ctx)
	if done {
		k.recordings.end(number)
	}
	out := msgp.AppendBytes(msgp.AppendArrayHeader(make([]byte, 0, len(data)+64), 7), data)
	for _, count := range []uint64{n.Batches, n.Events, n.Fates, n.DroppedBatches, n.DroppedEvents} {
		out = msgp.AppendUint64(out, count)
	}
	return msgp.AppendBool(out, done), nil
}

// recordStop has a recording come to its end.
func (k *Control) recordStop(_ context.Context, r *request) ([]byte, error) {
	number := r.Number("recording", 0, math.MaxInt64)
	if r.End(); r.Err != nil {
		return nil, r.Err
	}
	x, err := k.recordings.find(number)
	if err == nil {
		x.Stop()
	}
	return nil, err
}
