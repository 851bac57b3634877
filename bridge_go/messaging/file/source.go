package file

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

type source struct {
	c            *connection
	topic, group string
	reader       *reader
	held         *read // one record that did not fit into the last Read
	head         fingerprint
	generation   int

	mu        sync.Mutex
	marks     []place // where the Reads since the last commit began, the first at or before the committed position
	committed int64   // the next record to be settled

	atEnd, closed atomic.Bool
	once          sync.Once
}

func (c *connection) openSource(f format, sc messaging.SourceConfig) (*source, error) {
	s := &source{c: c, topic: sc.Topic, group: sc.Group}
	kept, err := c.resumable(f, sc)
	if err != nil {
		return nil, err
	}
	if s.reader, err = openReader(c.path(sc.Topic), f, c.settings.maxLine, sc.Schema); err != nil {
		return nil, err
	}
	if kept.Next > 0 {
		if err := s.reader.resume(kept.At, kept.Next); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return c.startOver(f, sc, s, "it is shorter than what was read of it")
		} else if err != nil {
			s.reader.close()
			return nil, err
		}
	}
	s.committed, s.marks, s.generation = kept.Next, []place{kept.At}, kept.Generation
	if s.head, err = fingerprintOf(s.reader.file.Name(), headBytes); err != nil {
		s.reader.close()
		return nil, err
	}
	return s, nil
}

// resumable loads the group's position, if it is one in this file.
func (c *connection) resumable(f format, sc messaging.SourceConfig) (position, error) {
	var kept position
	if sc.Group == "" || c.options.StateDir == "" {
		return kept, nil
	}
	found, err := c.positions.Load(c.path(sc.Topic), sc.Group, &kept)
	if err != nil || !found || kept.Next == 0 && kept.Generation == 0 {
		return position{}, err
	}
	now, err := fingerprintOf(c.path(sc.Topic), kept.Head.Bytes)
	if os.IsNotExist(err) {
		return position{}, nil // the reader says it better
	}
	if err == nil && now != kept.Head {
		c.tellReplaced(sc, "its beginning is another one")
		return position{}, nil
	}
	return kept, err
}

func (c *connection) startOver(f format, sc messaging.SourceConfig, s *source, why string) (*source, error) {
	s.reader.close()
	c.tellReplaced(sc, why)
	if err := c.positions.Save(c.path(sc.Topic), sc.Group, position{}); err != nil {
		return nil, err
	}
	return c.openSource(f, sc)
}

func (c *connection) tellReplaced(sc messaging.SourceConfig, why string) {
	c.replaced.Inc()
	c.options.Log.Warn("the file was replaced since the last commit, reading it from the start",
		"topic", sc.Topic, "group", sc.Group, "because", why)
}

// A read is one record, and where the next begins.
type read struct {
	record messaging.Record
	behind place
}

func (s *source) Read(ctx context.Context, limit messaging.Limit) ([]messaging.Record, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var found []messaging.Record
	var last place
	for bytes := 0; len(found) < max(limit.Events, 1); {
		r, err := s.next()
		if err != nil && len(found) > 0 { // what was read comes first; the next Read finds the error again
			break
		}
		if err != nil {
			return nil, err
		}
		if bytes += len(r.record.Value); len(found) > 0 && bytes > limit.Bytes {
			s.held = &r
			break
		}
		found, last = append(found, r.record), r.behind
	}
	s.mark(last)
	return found, nil
}

func (s *source) next() (r read, err error) {
	if s.closed.Load() {
		return r, messaging.ErrClosed
	}
	if s.held != nil {
		r, s.held = *s.held, nil
		return r, nil
	}
	r.record, r.behind, err = s.reader.next()
	s.atEnd.Store(err == io.EOF)
	return r, err
}

func (s *source) mark(at place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.marks = append(s.marks, at)
}

func (s *source) Commit(_ context.Context, upTo []messaging.Position) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	moved := false
	for _, p := range upTo {
		if next := p.Offset + 1; next > s.committed {
			s.committed, moved = next, true
		}
	}
	for len(s.marks) > 1 && s.marks[1].Record <= s.committed {
		s.marks = s.marks[1:]
	}
	if !moved || s.group == "" || s.c.options.StateDir == "" {
		return nil
	}
	return s.c.positions.Save(s.c.path(s.topic), s.group,
		position{Topic: s.topic, Group: s.group, Next: s.committed, At: s.marks[0], Head: s.head, Generation: s.generation})
}

// Lag is known at the end alone: the number of lines left is not known without reading them.
func (s *source) Lag(context.Context) int64 {
	if s.atEnd.Load() {
		return 0
	}
	return -1
}

func (s *source) Close(context.Context) error {
	var err error
	s.once.Do(func() {
		s.closed.Store(true)
		err = s.reader.close()
		s.c.readers.Leave(s.topic, s.group)
		s.c.forget(s)
	})
	return err
}
