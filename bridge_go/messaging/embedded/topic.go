package embedded

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// A topic is one stream of the store.
type topic struct {
	engine  *engine
	name    string
	stream  string
	subject string
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
	if t := e.topics[name]; t != nil {
		return t, state, false, nil
	}
	if err := checkName(name); err != nil {
		return nil, state, false, err
	}
	t = &topic{engine: e, name: name, stream: streamName(name), changed: make(chan struct{})}
	t.subject = "ds." + t.stream
	life, err := t.ensure(ctx, s)
	if err != nil {
		return nil, state, false, err
	}
	if state, err = t.state(ctx); err == nil {
		err = t.openBook(life, state, s.maxAge > 0 && time.Since(state.LastTime) > s.maxAge)
	}
	if err == nil {
		e.topics[name] = t
	}
	return t, state, true, err
}

// metaLife is where a stream keeps the name of this life of the topic. The server's own creation time will not do: opened again
// after a restart a stream believes that it was made just then, and the next change of its settings writes that down.
const metaLife = "ds-life"

// ensure makes the stream, or gives an old one the present settings, and returns the name of its life.
func (t *topic) ensure(ctx context.Context, s settings) (life string, err error) {
	old, err := t.engine.js.Stream(ctx, t.stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
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
	_, err = t.engine.js.CreateStream(ctx, jetstream.StreamConfig{
		Name: t.stream, Subjects: []string{t.subject}, Description: t.name, Metadata: map[string]string{metaLife: life},
		Storage: jetstream.FileStorage, Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardOld,
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
	ctx, cancel := context.WithTimeout(ctx, answerPatience)
	defer cancel()
	msg, err := t.engine.conn.RequestWithContext(ctx, "$JS.API.STREAM."+method+"."+t.stream, []byte(request))
	if err != nil {
		return t.explain(err)
	}
	var refused struct {
		Error *apiError `json:"error"`
	}
	if err := errors.Join(json.Unmarshal(msg.Data, &refused), json.Unmarshal(msg.Data, answer)); err != nil {
		return t.explain(err)
	}
	if refused.Error != nil {
		return t.explain(refused.Error)
	}
	return nil
}

// An apiError is the server's word on a request or a record that it does not take.
type apiError struct {
	Code        int    `json:"code"`
	ErrCode     int    `json:"err_code"`
	Description string `json:"description"`
}

func (e *apiError) Error() string { return fmt.Sprintf("%s (%d)", e.Description, e.ErrCode) }

// Codes of the server that mean something here.
const (
	codeNoMessage       = 10037
	codeNoSequence      = 10043
	codeMessageTooLarge = 10054
	codeDeleteRefused   = 10057
	codeNoStream        = 10059
	codeHeaderTooLarge  = 10097
)

func hasCode(err error, codes ...int) bool {
	var api *apiError
	return errors.As(err, &api) && slices.Contains(codes, api.ErrCode)
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
	if hasCode(err, codeNoStream) {
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
