package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/formats"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/program"
)

// known are the formats of streams and the registries that they are looked up in, each made once.
type known struct {
	mu         sync.Mutex
	streams    map[string]*formats.Stream
	registries map[string]*formats.Registry
}

// format is that of a stream, nil where payloads are JSON.
func (s *streams) format(name string) (*formats.Stream, error) {
	stream, _ := s.program.Stream(name)
	if stream.Format == "" || stream.Format == formats.JSON {
		return nil, nil
	}
	s.known.mu.Lock()
	defer s.known.mu.Unlock()
	if found := s.known.streams[name]; found != nil {
		return found, nil
	}
	made, err := s.makeFormat(name, stream)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMistake, err)
	}
	if s.known.streams == nil {
		s.known.streams = map[string]*formats.Stream{}
	}
	s.known.streams[name] = made
	return made, nil
}

func (s *streams) makeFormat(name string, stream program.Stream) (*formats.Stream, error) {
	if stream.Format == formats.Raw {
		return formats.NewRaw(name), nil
	}
	registry, err := s.registry(stream.Registry)
	if err != nil {
		return nil, err
	}
	config := formats.Config{
		Stream: name, Format: stream.Format, Registry: registry, Subject: stream.Subject, Topic: stream.Topic,
		Register: stream.Register, Message: stream.Message, Log: s.log,
	}
	if stream.SchemaFile != "" {
		path := stream.SchemaFile
		if !filepath.IsAbs(path) {
			path = filepath.Join(s.program.Folder(), path)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("stream %s: schema_file: %w", name, err)
		}
		config.Schema = string(text)
	}
	return formats.NewRegistered(config)
}

// registry is the one of a connection. Nothing is asked of it before there is an event.
func (s *streams) registry(connection string) (*formats.Registry, error) {
	if found := s.known.registries[connection]; found != nil {
		return found, nil
	}
	revealed, err := s.program.Reveal(connection)
	if err != nil {
		return nil, err
	}
	made, err := formats.NewRegistry(s.options(connection, revealed.URL, revealed.Settings))
	if err != nil {
		return nil, errors.New(revealed.Mask(err.Error()))
	}
	if s.known.registries == nil {
		s.known.registries = map[string]*formats.Registry{}
	}
	s.known.registries[connection] = made
	return made, nil
}

// OpenJSON implements control.Streams: Open, for those who write and look at JSON whatever the stream carries.
func (s *streams) OpenJSON(ctx context.Context, name string) (messaging.Connection, string, error) {
	format, err := s.format(name)
	if err != nil {
		return nil, "", err
	}
	conn, topic, err := s.Open(ctx, name)
	if err == nil && format != nil {
		conn = format.Spoken(conn)
	}
	return conn, topic, err
}

// decoder is how a command's input is read, nil where it is JSON: its stream's format, unless --input replaces that.
func (b *bridge) decoder(c program.Command) (func(context.Context, []messaging.Record) error, error) {
	if b.Input != "" {
		return nil, nil
	}
	format, err := b.streams.format(c.Input)
	if format == nil || err != nil {
		return nil, err
	}
	return format.Reader(c.Breaker.Run), nil
}

// encoders gives outputs the formats of their streams. Dead letters and rejected events stay as they were.
func (b *bridge) encoders(config *dispatch.StreamConfig) error {
	if b.Output == "" {
		if err := b.encoder(&config.Main); err != nil {
			return err
		}
	}
	for name, target := range config.Routed {
		if err := b.encoder(&target); err != nil {
			return err
		}
		config.Routed[name] = target
	}
	return nil
}

func (b *bridge) encoder(to *dispatch.Target) error {
	format, err := b.streams.format(to.Stream)
	if format != nil {
		to.Encode = format.Encode
	}
	return err
}
