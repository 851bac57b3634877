package formats

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/twmb/franz-go/pkg/sr"
)

// Config is what a stream says of its registry.
type Config struct {
	Stream   string // its name
	Format   string
	Registry *Registry
	Subject  string // TOPIC-value when empty
	Topic    string
	// Schema is the text that results are written by; empty for the subject's latest version.
	Schema   string
	Register bool   // Schema, if it is not; otherwise it is only looked up
	Message  string // of Protobuf: which one results are, the file's first when empty
	Log      *slog.Logger
}

// NewRegistered is a format behind a registry. A schema that is given is compiled now, when it needs no others.
func NewRegistered(c Config) (*Stream, error) {
	kind, ok := kinds[c.Format]
	if !ok {
		return nil, fmt.Errorf("stream %s: no format %q", c.Stream, c.Format)
	}
	if c.Subject == "" {
		c.Subject = c.Topic + "-value"
	}
	r := &registered{Config: c, kind: kind, readers: map[int]reader{}}
	if c.Schema != "" {
		if _, err := kind.compile(c.Schema, nil, c.Message); err != nil {
			return nil, fmt.Errorf("stream %s: schema: %w", c.Stream, err)
		}
	}
	return newStream(c.Stream, r, c.Log), nil
}

// A kind compiles schemas of one language.
type kind struct {
	is      sr.SchemaType
	compile func(text string, needs []dependency, message string) (schema, error)
}

var kinds = map[string]kind{
	Avro:       {sr.TypeAvro, compileAvro},
	Protobuf:   {sr.TypeProtobuf, compileProtobuf},
	JSONSchema: {sr.TypeJSON, compileJSONSchema},
}

// A schema is one that is compiled. It is safe from any goroutine. Its errors are mistakes.
type schema interface {
	decode(payload []byte) (json []byte, err error)
	// encode appends, behind the id, all that follows it.
	encode(b, json []byte) ([]byte, error)
}

// A reader is what became of an id: a schema, or why it is none that this stream can be read by.
type reader struct {
	schema schema
	err    error
}

type registered struct {
	Config
	kind kind

	mu      sync.Mutex
	readers map[int]reader

	turn    sync.Mutex // held while the registry is asked for the writer, by one at a time
	writer  schema
	written int // id of writer
}

const (
	magic  = 0
	header = 5
)

func (r *registered) decode(ctx context.Context, value []byte) ([]byte, error) {
	if len(value) < header || value[0] != magic {
		return nil, mistakef("not the wire format of a schema registry: %d bytes, and they do not begin with 0 and a schema's id", len(value))
	}
	id := int(binary.BigEndian.Uint32(value[1:header]))
	by, err := r.reader(ctx, id)
	if err != nil {
		return nil, err
	}
	json, err := by.decode(value[header:])
	if err != nil {
		return nil, mistakef("schema %d: %v", id, err)
	}
	return json, nil
}

// reader is the schema of an id. What cannot be compiled is remembered too.
func (r *registered) reader(ctx context.Context, id int) (schema, error) {
	r.mu.Lock()
	known, ok := r.readers[id]
	r.mu.Unlock()
	if ok {
		return known.schema, known.err
	}
	text, err := r.Registry.byNumber(ctx, id)
	if err != nil {
		return nil, err
	}
	known.schema, err = r.built(ctx, text)
	var mistake *Mistake
	switch {
	case errors.As(err, &mistake):
		known.err = mistakef("schema %d: %v", id, err)
	case err != nil:
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.readers) >= maxKept {
		clear(r.readers)
	}
	r.readers[id] = known
	return known.schema, known.err
}

// built is a schema with those that it leads to. A [Mistake] is what is wrong with these, and stays.
func (r *registered) built(ctx context.Context, s sr.Schema) (schema, error) {
	needs, err := r.Registry.dependencies(ctx, s)
	if err != nil {
		return nil, err
	}
	return r.compile(s, needs)
}

func (r *registered) compile(s sr.Schema, needs []dependency) (_ schema, err error) {
	if s.Type != r.kind.is {
		return nil, mistakef("it is %s, and the stream's format is %s", s.Type, r.Format)
	}
	defer recovered(&err)
	compiled, err := r.kind.compile(s.Schema, needs, r.Message)
	return guarded{compiled}, err
}

// guarded makes a mistake of a payload that a library panics at (Protobuf's does, where a map's key has another type than its
// field): it is that event's trouble, and not the bridge's.
type guarded struct{ schema schema }

func (g guarded) decode(payload []byte) (json []byte, err error) {
	defer recovered(&err)
	return g.schema.decode(payload)
}

func (g guarded) encode(b, json []byte) (value []byte, err error) {
	defer recovered(&err)
	return g.schema.encode(b, json)
}

func recovered(err *error) {
	if p := recover(); p != nil {
		*err = mistakef("it cannot be read: %v", p)
	}
}

func (r *registered) encode(ctx context.Context, json []byte) ([]byte, error) {
	by, id, err := r.writing(ctx)
	if err != nil {
		return nil, err
	}
	b := make([]byte, header, header+len(json))
	binary.BigEndian.PutUint32(b[1:], uint32(id))
	b, err = by.encode(b, json)
	if err != nil {
		return nil, mistakef("the result does not fit schema %d (%s): %v", id, r.Subject, err)
	}
	return b, nil
}

// writing is the schema of results. It is asked for once: all results of one life of the bridge are written by the same.
func (r *registered) writing(ctx context.Context) (schema, int, error) {
	r.turn.Lock()
	defer r.turn.Unlock()
	if r.writer != nil {
		return r.writer, r.written, nil
	}
	found, err := r.find(ctx)
	if err != nil {
		return nil, 0, err
	}
	compiled, err := r.built(ctx, found.Schema)
	var mistake *Mistake
	if errors.As(err, &mistake) { // not the result's, and nothing that another result would mend
		return nil, 0, fmt.Errorf("schema registry %s: schema %d of %s: %s", r.Registry.name, found.ID, r.Subject, err)
	}
	if err != nil {
		return nil, 0, err
	}
	r.writer, r.written = compiled, found.ID
	return compiled, found.ID, nil
}

func (r *registered) find(ctx context.Context) (sr.SubjectSchema, error) {
	if r.Schema == "" {
		return r.Registry.latest(ctx, r.Subject)
	}
	return r.Registry.registered(ctx, r.Subject, sr.Schema{Schema: r.Schema, Type: r.kind.is}, r.Register)
}
