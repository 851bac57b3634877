package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// A topic is one stream of the store.
type topic struct {
	engine      *engine
	name        string
	stream      string
	subject     string
	incarnation string

	mu      sync.Mutex
	changed chan struct{} // closed and replaced when records were stored
	floor   uint64        // below it records were deleted one by one, which is no gap
}

// streamState is the server's state of a stream. Ours, because the client's leaves Lost out.
type streamState struct {
	Messages uint64                   `json:"messages"`
	FirstSeq uint64                   `json:"first_seq"`
	LastSeq  uint64                   `json:"last_seq"`
	Deleted  []uint64                 `json:"deleted"`
	Lost     *struct{ Msgs []uint64 } `json:"lost"`
}

// deletions is what is kept of a topic's deleted head.
type deletions struct{ Floor uint64 }

const deletionsGroup = "/deleted" // no program/command begins with a slash

// topic finds a topic or makes it. The state comes with the first use in this process only, to be looked at for damage.
func (e *engine) topic(ctx context.Context, name string, s settings) (*topic, streamState, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if t := e.topics[name]; t != nil {
		return t, streamState{}, nil
	}
	if err := checkName(name); err != nil {
		return nil, streamState{}, err
	}
	t := &topic{engine: e, name: name, stream: streamName(name), changed: make(chan struct{})}
	t.subject = "ds." + t.stream
	made, err := e.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: t.stream, Subjects: []string{t.subject}, Description: name,
		Storage: jetstream.FileStorage, Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardOld,
		MaxBytes: s.maxBytes, MaxAge: s.maxAge, Duplicates: window(s), AllowDirect: true,
	})
	if err != nil {
		return nil, streamState{}, err
	}
	t.incarnation = incarnation(made.CachedInfo().Created)
	var kept deletions
	if _, err := e.positions.Load(name, deletionsGroup, &kept); err != nil {
		return nil, streamState{}, err
	}
	t.floor = kept.Floor
	state, err := t.state(ctx)
	if err == nil {
		e.topics[name] = t
	}
	return t, state, err
}

// window is the duplicate window, which the server wants to be within the age limit.
func window(s settings) time.Duration {
	if s.maxAge > 0 {
		return min(s.duplicates, s.maxAge)
	}
	return s.duplicates
}

func (t *topic) state(ctx context.Context) (streamState, error) { return t.info(ctx, `{}`) }

// details is the state with the sequences of deleted records.
func (t *topic) details(ctx context.Context) (streamState, error) {
	return t.info(ctx, `{"deleted_details":true}`)
}

func (t *topic) info(ctx context.Context, request string) (streamState, error) {
	var answer struct {
		State streamState `json:"state"`
	}
	err := t.call(ctx, "INFO", request, &answer)
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
		return fmt.Errorf("embedded: %s: the store has stopped, most likely because the disk is full: %w", t.name, err)
	}
	return fmt.Errorf("embedded: %s: %w", t.name, err)
}

func (t *topic) delete(ctx context.Context, offsets []int64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	before, err := t.state(ctx)
	if err != nil {
		return err
	}
	for _, offset := range offsets {
		if offset < int64(before.FirstSeq) || offset > int64(before.LastSeq) {
			continue
		}
		err := t.call(ctx, "MSG.DELETE", fmt.Sprintf(`{"seq":%d,"no_erase":true}`, offset), &struct{}{})
		if err != nil && !hasCode(err, codeNoMessage, codeNoSequence, codeDeleteRefused) { // gone already
			return err
		}
	}
	return t.raiseFloor(ctx, before)
}

// raiseFloor notes that the oldest records went because they were deleted, so that no reader takes that for a gap.
func (t *topic) raiseFloor(ctx context.Context, before streamState) error {
	after, err := t.state(ctx)
	if err != nil || after.FirstSeq == before.FirstSeq {
		return err
	}
	t.floor = after.FirstSeq
	return t.engine.positions.Save(t.name, deletionsGroup, deletions{Floor: t.floor})
}

// deletedUpTo is the sequence below which records were deleted on purpose.
func (t *topic) deletedUpTo() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.floor
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
