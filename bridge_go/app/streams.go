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

	mu   sync.Mutex
	open map[string]messaging.Connection
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
	s.mu.Lock()
	defer s.mu.Unlock()
	if conn, ok := s.open[name]; ok {
		return conn, nil
	}
	revealed, err := s.program.Reveal(name)
	if err != nil {
		return nil, err
	}
	conn, err := s.dial(ctx, name, revealed.URL, revealed.Settings)
	if err != nil {
		return nil, errors.New(revealed.Mask(fmt.Sprintf("connection %s: %v", name, err)))
	}
	s.open[name] = conn
	return conn, nil
}

// at opens the connection of a URL that names its topic too, such as file:///data/in.jsonl.
func (s *streams) at(ctx context.Context, url string) (messaging.Connection, string, error) {
	base, topic, err := messaging.Split(url)
	if err != nil {
		return nil, "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	name := "url " + base
	if conn, ok := s.open[name]; ok {
		return conn, topic, nil
	}
	conn, err := s.dial(ctx, name, base, nil)
	if err != nil {
		return nil, "", err
	}
	s.open[name] = conn
	return conn, topic, nil
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
	}
}

// close closes every connection that was opened.
func (s *streams) close(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, conn := range s.open {
		errs = append(errs, conn.Close(ctx))
	}
	clear(s.open)
	return errors.Join(errs...)
}
