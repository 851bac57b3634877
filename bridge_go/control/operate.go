package control

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/tinylib/msgp/msgp"

	"ds-runner.dev/ds-runner/bridge_go/arguments"
	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/program"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// A Route is a command that reads a stream. Its methods are safe from any goroutine.
type Route interface {
	Command() string
	Input() string // the stream that it reads
	Group() string // whose positions are moved by a seek
	// Pause stops the intake, finishes what is out and commits it, and leaves the source, also when the context ends first:
	// then what was not settled is read again.
	Pause(ctx context.Context) error
	Resume()
	Paused() bool
	// Keep has the wish to be paused, or not, outlive the bridge.
	Keep(paused bool) error
	// Movable says why positions of the group do not decide where it reads, if so.
	Movable() error
	// Moved tells that the group was moved: what is written from now on is of its generation. The route is paused.
	Moved(ctx context.Context) error
	// Record begins a recording of what is sent to workers from now on; dispatch.ErrRecording when there is one.
	Record(ctx context.Context, c dispatch.RecordConfig) (*dispatch.Recording, error)
}

// pauseTime is what of a call's time is left for the answer when a pause takes long.
const pauseTime = time.Second

// pause has commands read nothing until they are resumed, over restarts of the bridge too.
func (k *Control) pause(ctx context.Context, r *request) ([]byte, error) {
	return k.eachRoute(ctx, r, func(ctx context.Context, route Route) error {
		if err := route.Keep(true); err != nil {
			return err
		}
		return k.stop(ctx, route)
	})
}

// stop pauses a route within the call's time.
func (k *Control) stop(ctx context.Context, route Route) error {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-pauseTime))
		defer cancel()
	}
	err := route.Pause(ctx)
	if err == nil && ctx.Err() != nil {
		k.c.Log.Warn("paused with events at work, which are read again", "command", route.Command())
	}
	return errors.Join(err, ctx.Err())
}

func (k *Control) resume(ctx context.Context, r *request) ([]byte, error) {
	return k.eachRoute(ctx, r, func(_ context.Context, route Route) error {
		if err := route.Keep(false); err != nil {
			return err
		}
		route.Resume()
		return nil
	})
}

// eachRoute answers [[command, stream, was paused]...] for the commands that a name means: a command's, or a stream's.
func (k *Control) eachRoute(ctx context.Context, r *request, act func(context.Context, Route) error) ([]byte, error) {
	name := r.Text("name")
	if r.End(); r.Err != nil {
		return nil, r.Err
	}
	meant, err := k.meant(name)
	if err != nil {
		return nil, err
	}
	out := msgp.AppendArrayHeader(nil, uint32(len(meant)))
	for _, route := range meant {
		was := route.Paused()
		if err := act(ctx, route); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return nil, fmt.Errorf("%s: %w", route.Command(), err)
		}
		out = msgp.AppendString(msgp.AppendString(msgp.AppendArrayHeader(out, 3), route.Command()), route.Input())
		out = msgp.AppendBool(out, was)
	}
	return out, nil
}

// meant are the routes that a name means, which is a command's or that of a stream which commands read.
func (k *Control) meant(name string) (meant []Route, err error) {
	var known []string
	for _, route := range k.c.Routes() {
		if route.Command() == name || route.Input() == name {
			meant = append(meant, route)
		}
		for _, n := range []string{route.Command(), route.Input()} {
			if !slices.Contains(known, n) {
				known = append(known, n)
			}
		}
	}
	if len(meant) == 0 {
		return nil, &wire.CallError{Code: "unknown_stream",
			Reason: program.Unknown("this bridge runs no command that is or reads", name, known, "It knows")}
	}
	return meant, nil
}

// seek moves the group of a command to a target, and says what that means.
func (k *Control) seek(ctx context.Context, r *request) ([]byte, error) {
	name, command := r.Text("stream"), r.Text("command")
	var to messaging.Target
	r.Tuple("target", func(fields *arguments.Arguments) { to = targetOf(fields) })
	dry := r.Bool("dry")
	if r.End(); r.Err != nil {
		return nil, r.Err
	}
	route, err := k.reader(name, command)
	if err != nil {
		return nil, err
	}
	if err := route.Movable(); err != nil {
		return nil, &wire.CallError{Code: "not_supported", Reason: fmt.Sprintf("%s: %v", route.Command(), err)}
	}
	s, err := k.stream(ctx, route.Input())
	if err != nil {
		return nil, err
	}
	seeker, ok := s.conn.(messaging.Seeker)
	if !ok {
		return nil, &wire.CallError{Code: "not_supported", Reason: fmt.Sprintf("positions on %s cannot be moved: its connection keeps none that can", s.name)}
	}
	if err := s.requirePartition(ctx, to); err != nil {
		return nil, err
	}
	m := mover{k: k, route: route, seeker: seeker, topic: s.topic, to: to}
	paused := route.Paused()
	moves, err := m.move(ctx, dry)
	if err != nil {
		return nil, fmt.Errorf("seek %s: %w", s.name, err)
	}
	return appendMoves(nil, route.Command(), paused, moves), nil
}

// reader is the one command that reads a stream, or that of several which is named.
func (k *Control) reader(stream, command string) (Route, error) {
	meant, err := k.meant(stream)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, route := range meant {
		if route.Command() == command || command == "" && len(meant) == 1 {
			return route, nil
		}
		names = append(names, route.Command())
	}
	reason := fmt.Sprintf("%s is read by %s, each from its own position: name one with --command", stream, strings.Join(names, ", "))
	if command != "" {
		reason = program.Unknown(fmt.Sprintf("%s is not read by", stream), command, names, "These read it")
	}
	return nil, &wire.CallError{Code: "bad_arguments", Reason: reason}
}

// requirePartition refuses a target in a partition that the stream does not have.
func (s *stream) requirePartition(ctx context.Context, to messaging.Target) error {
	if to.Kind != messaging.TargetOffset || to.Partition < 0 {
		return nil
	}
	_, end, err := s.conn.Browse(ctx, s.topic, messaging.Newest, 0)
	if err != nil {
		return err
	}
	ends, err := end.Next()
	if _, ok := ends[to.Partition]; ok || err != nil {
		return err
	}
	return &wire.CallError{Code: "bad_arguments", Reason: fmt.Sprintf("%s has no partition %d. It has: %s", s.name, to.Partition,
		strings.Trim(fmt.Sprint(slices.Sorted(maps.Keys(ends))), "[]"))}
}

// targetOf reads ["oldest"], ["newest"], ["offset", offset, partition] or ["time", nanoseconds].
func targetOf(a *arguments.Arguments) (to messaging.Target) {
	switch kind := a.Text("kind"); kind {
	case "oldest":
		to.Kind = messaging.TargetOldest
	case "newest":
		to.Kind = messaging.TargetNewest
	case "offset":
		to.Kind, to.Offset = messaging.TargetOffset, a.Number("offset", 0, math.MaxInt64)
		to.Partition = int32(a.Number("partition", -1, math.MaxInt32))
	case "time":
		to.Kind, to.Time = messaging.TargetTime, time.Unix(0, a.Number("time", 0, math.MaxInt64))
	default:
		if a.Err == nil {
			a.Err = fmt.Errorf("kind: expected oldest, newest, offset or time, got %q", kind)
		}
	}
	return to
}

// A mover moves one group.
type mover struct {
	k      *Control
	route  Route
	seeker messaging.Seeker
	topic  string
	to     messaging.Target
}

// move seeks dry first, so that what is wrong with a target is found before anything is stopped.
func (m *mover) move(ctx context.Context, dry bool) ([]messaging.Move, error) {
	moves, err := m.seeker.Seek(ctx, m.topic, m.route.Group(), m.to, true)
	if err != nil || dry {
		return moves, err
	}
	if !m.route.Paused() {
		defer m.route.Resume()
		if err := m.k.stop(ctx, m.route); errors.Is(err, context.DeadlineExceeded) {
			return nil, &wire.CallError{Code: "busy", Retry: true, Reason: "events were still at work when time was up, and nothing was moved. " +
				"Pause it first, or give more time: ds-runner pause " + m.route.Command()}
		} else if err != nil {
			return nil, err
		}
	}
	if moves, err = m.seeker.Seek(ctx, m.topic, m.route.Group(), m.to, false); err != nil {
		return nil, err
	}
	m.k.c.Log.Info("positions moved by the command line", "command", m.route.Command(), "stream", m.route.Input(), "moves", fmt.Sprint(moves))
	return moves, m.route.Moved(ctx)
}

// appendMoves writes [command, paused, [[partition, from, to, end]...]].
func appendMoves(b []byte, command string, paused bool, moves []messaging.Move) []byte {
	b = msgp.AppendString(msgp.AppendArrayHeader(b, 3), command)
	b = msgp.AppendBool(b, paused)
	b = msgp.AppendArrayHeader(b, uint32(len(moves)))
	for _, m := range moves {
		b = msgp.AppendInt64(msgp.AppendArrayHeader(b, 4), int64(m.Partition))
		b = msgp.AppendInt64(msgp.AppendInt64(msgp.AppendInt64(b, m.From), m.To), m.End)
	}
	return b
}
