package embedded

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/messaging/jetstream"
)

// A topic is one stream of the store.
type topic struct {
	engine  *engine
	name    string
	key     string // of its positions and of its book
	stream  string
	subject string
	shared  bool   // the stream holds other topics too
	lost    uint64 // records that the store had at its last end and has no more

	mu      sync.Mutex
	changed chan struct{} // closed and replaced when records were stored
	book    book
}

// streamState is the server's state of a stream. Ours, because the client's leaves Lost out.
type streamState struct {
	Messages uint64    `json:"messages"`
	FirstSeq uint64    `json:"first_seq"`
	LastSeq  uint64    `json:"last_seq"`
	LastTime time.Time `json:"last_ts"`
	Lost     *struct {
		Msgs  []uint64
		Bytes uint64
	} `json:"lost"`
}

// topic finds a topic or makes it. At the first use in this process it comes with its state, to be looked at for damage.
func (e *engine) topic(ctx context.Context, name string, s settings) (t *topic, state streamState, first bool, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := checkName(name); err != nil {
		return nil, state, false, err
	}
	t = e.place(name, s)
	if known := e.topics[t.key]; known != nil {
		return known, state, false, nil
	}
	life, err := t.ensure(ctx, s)
	if err != nil {
		return nil, state, false, err
	}
	if state, err = t.state(ctx); err == nil {
		err = t.openBook(life, state, s.maxAge > 0 && time.Since(state.LastTime) > s.maxAge)
	}
	if err == nil {
		e.topics[t.key] = t
	}
	return t, state, true, err
}

// place says where a topic's records are.
func (e *engine) place(name string, s settings) *topic {
	t := &topic{engine: e, name: name, key: name, stream: streamName(name), changed: make(chan struct{})}
	t.subject = "ds." + t.stream
	if s.stream != "" {
		t.shared = true
		t.stream = sharedPrefix + streamName(s.stream)
		t.subject = "ds." + t.stream + "." + streamName(name)
		t.key = t.stream + "/" + name
	}
	return t
}

// sharedPrefix keeps streams of many topics apart from those of one: no name of a topic is written so.
const sharedPrefix = "%-"

// markSubject is where a shared stream keeps what no topic has.
func markSubject(stream string) string { return "ds." + stream + ".%" }

// metaLife is where a stream keeps the name of this life of the topic. The server's own creation time will not do: opened again
// after a restart a stream believes that it was made just then, and the next change of its settings writes that down.
const metaLife = "ds-life"

// ensure makes the stream, or gives an old one the present settings, and returns the name of its life.
func (t *topic) ensure(ctx context.Context, s settings) (life string, err error) {
	old, err := t.engine.js.Stream(ctx, t.stream)
	if errors.Is(err, natsjs.ErrStreamNotFound) {
		return t.create(ctx, s)
	}
	if err != nil {
		return "", err
	}
	config := old.CachedInfo().Config
	if config.MaxBytes != s.maxBytes || config.MaxAge != s.maxAge || config.Duplicates != window(s) {
		config.MaxBytes, config.MaxAge, config.Duplicates = s.maxBytes, s.maxAge, window(s)
		_, err = t.engine.js.UpdateStream(ctx, config)
	}
	return config.Metadata[metaLife], err
}

func (t *topic) create(ctx context.Context, s settings) (life string, err error) {
	life = strings.ToLower(rand.Text()[:10])
	subject, about := t.subject, t.name
	if t.shared {
		subject, about = "ds."+t.stream+".>", s.stream
	}
	_, err = t.engine.js.CreateStream(ctx, natsjs.StreamConfig{
		Name: t.stream, Subjects: []string{subject}, Description: about, AllowAtomicPublish: t.shared, Metadata: map[string]string{metaLife: life},
		Storage: natsjs.FileStorage, Retention: natsjs.LimitsPolicy, Discard: natsjs.DiscardOld,
		MaxBytes: s.maxBytes, MaxAge: s.maxAge, Duplicates: window(s), AllowDirect: true,
	})
	return life, err
}

// window is the duplicate window, which the server wants to be within the age limit.
func window(s settings) time.Duration {
	if s.maxAge > 0 {
		return min(s.duplicates, s.maxAge)
	}
	return s.duplicates
}

func (t *topic) state(ctx context.Context) (streamState, error) {
	var answer struct {
		State streamState `json:"state"`
	}
	err := t.call(ctx, "INFO", `{}`, &answer)
	return answer.State, err
}

// call asks the server's API about this stream.
func (t *topic) call(ctx context.Context, method, request string, answer any) error {
	if err := t.engine.api.Call(ctx, "STREAM."+method+"."+t.stream, []byte(request), answer); err != nil {
		return t.explain(err)
	}
	return nil
}

// answerPatience is how long the store, which is in this process, may take for one answer.
const answerPatience = 10 * time.Second

// explain makes errors that callers tell apart.
func (t *topic) explain(err error) error {
	select {
	case <-t.engine.closed:
		return messaging.ErrClosed
	default:
	}
	if errors.Is(err, messaging.ErrClosed) {
		return err
	}
	if jetstream.HasCode(err, jetstream.CodeNoStream) {
		return fmt.Errorf("embedded: %s: %w", t.name, messaging.ErrNoTopic)
	}
	if !t.engine.server.JetStreamEnabled() {
		return fmt.Errorf("embedded: %s: the store has stopped, the log says why: %w", t.name, err)
	}
	return fmt.Errorf("embedded: %s: %w", t.name, err)
}

// changes is a channel that closes when records are stored after this call.
func (t *topic) changes() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.changed
}

func (t *topic) announce() {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.changed)
	t.changed = make(chan struct{})
}

// lookAgain bounds how long a reader trusts that no news is no news: a write whose acknowledgement was lost is announced by nobody.
const lookAgain = time.Second

// wait returns when something may have changed, and an error when the caller, its context or the store is done.
func (t *topic) wait(ctx context.Context, changed, done <-chan struct{}) error {
	timer := time.NewTimer(lookAgain)
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	case <-t.engine.closed:
		return messaging.ErrClosed
	case <-done:
		return messaging.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// fetcher reads the topic by position.
func (t *topic) fetcher() (*jetstream.Fetcher, error) {
	subject := ""
	if t.shared {
		subject = t.subject
	}
	f, err := t.engine.api.Fetcher(t.stream, subject, true)
	if err != nil {
		return nil, t.explain(err)
	}
	return f, nil
}

// fetch reads what there is from a sequence on.
func (t *topic) fetch(ctx context.Context, f *jetstream.Fetcher, from int64) ([]messaging.Record, error) {
	found, err := f.Fetch(ctx, uint64(from), jetstream.FetchEvents, jetstream.FetchBytes)
	if err != nil {
		return nil, t.explain(err)
	}
	return found, nil
}
