package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/program"
)

// streams finds a stream's connection and topic by the stream's name, and opens each connection once, on first use.
type streams struct {
	program  *program.Program
	stateDir string
	sync     string // of the embedded store: interval or always
	log      *slog.Logger
	metrics  prometheus.Registerer

	mu     sync.Mutex
	closed bool
	open   map[string]*slot[messaging.Connection]

	known known // formats
}

// Names implements control.Streams.
func (s *streams) Names() []string { return slices.Sorted(maps.Keys(s.program.Spec.Streams)) }

// DeadLetters implements control.Streams.
func (s *streams) DeadLetters() map[string]string {
	inputs := map[string]string{}
	for _, c := range s.program.Spec.Commands {
		if c.DeadLetter != "" {
			inputs[c.DeadLetter] = c.Input
		}
	}
	return inputs
}

// Open implements control.Streams: the connection and topic of a stream that program.yaml declares or implies.
func (s *streams) Open(ctx context.Context, name string) (messaging.Connection, string, error) {
	stream, ok := s.program.Stream(name)
	if !ok {
		return nil, "", fmt.Errorf("no stream %q in %s", name, s.program.Name())
	}
	conn, err := s.connect(ctx, stream.Connection)
	return conn, stream.Topic, err
}

// connect opens a connection of program.yaml, with its secrets in place. They go to the connector and nowhere else.
func (s *streams) connect(ctx context.Context, name string) (messaging.Connection, error) {
	return s.once(ctx, name, func() (messaging.Connection, error) {
		revealed, err := s.program.Reveal(name)
		if err != nil {
			return nil, err
		}
		conn, err := s.dial(ctx, name, revealed.URL, revealed.Settings)
		if err != nil {
			masked := errors.New(revealed.Mask(fmt.Sprintf("connection %s: %v", name, err)))
			if messaging.Away(err) {
				return nil, messaging.MarkAway(masked)
			}
			return nil, masked
		}
		return conn, nil
	})
}

// at opens the connection of a URL that names its topic too, such as file:///data/in.jsonl.
func (s *streams) at(ctx context.Context, url string) (messaging.Connection, string, error) {
	base, topic, err := messaging.Split(url)
	if err != nil {
		return nil, "", err
	}
	name := "url " + base
	conn, err := s.once(ctx, name, func() (messaging.Connection, error) { return s.dial(ctx, name, base, nil) })
	return conn, topic, err
}

// once gives the connection that is open, or opens it. One that is slow to open keeps those alone waiting who ask for it.
func (s *streams) once(ctx context.Context, name string, dial func() (messaging.Connection, error)) (messaging.Connection, error) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, messaging.ErrClosed
	}
	found := s.open[name]
	if found == nil {
		found = &slot[messaging.Connection]{turn: make(chan struct{}, 1)}
		s.open[name] = found
	}
	s.mu.Unlock()
	select {
	case found.turn <- struct{}{}:
		defer func() { <-found.turn }()
	case <-ctx.Done():
		return nil, fmt.Errorf("connection %s is being opened: %w", name, ctx.Err())
	}
	if found.ready {
		return found.value, nil
	}
	conn, err := dial()
	if err != nil {
		return nil, err
	}
	found.value, found.ready = conn, true
	return conn, nil
}

// dial opens a connection. How often the embedded store syncs is the operator's to say, unless the program does.
func (s *streams) dial(ctx context.Context, name, url string, settings map[string]string) (messaging.Connection, error) {
	if _, said := settings["sync"]; strings.HasPrefix(url, "embedded:") && !said {
		settings = maps.Clone(settings)
		if settings == nil {
			settings = map[string]string{}
		}
		settings["sync"] = s.sync
	}
	return messaging.Open(ctx, s.options(name, url, settings))
}

func (s *streams) options(name, url string, settings map[string]string) messaging.Options {
	return messaging.Options{
		Name: name, URL: url, Settings: settings, Dir: s.program.Folder(), StateDir: s.stateDir, Log: s.log, Metrics: s.metrics,
		Topics: s.topics(name), Other: s.connect,
	}
}

// topics are those of the streams on a connection.
func (s *streams) topics(connection string) (all []string) {
	for _, stream := range s.program.Spec.Streams {
		if stream.Connection == connection {
			all = append(all, stream.Topic)
		}
	}
	return all
}

// close closes every connection that was opened. Those that wrap others have closed what they opened there.
func (s *streams) close(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	var errs []error
	for _, found := range s.open {
		select {
		case found.turn <- struct{}{}:
			if found.ready {
				errs = append(errs, found.value.Close(ctx))
			}
		case <-ctx.Done():
			errs = append(errs, ctx.Err())
		}
	}
	return errors.Join(errs...)
}
