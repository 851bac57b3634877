package nats

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	natsgo "github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/messaging/jetstream"
)

// A topic is where records of a name stand at this moment: a stream, and a subject for each partition.
type topic struct {
	c        *connection
	name     string
	config   natsjs.StreamConfig
	stream   string
	subjects []string
	alone    bool // the stream holds nothing else
	life     string
}

// What a stream that we made says of itself.
const (
	metaLife       = "ds-life"       // drawn when it was made: a creation time changes when a server that was restarted writes it down
	metaPartitions = "ds-partitions" // of its topic
)

func (c *connection) topic(ctx context.Context, name string) (*topic, error) {
	if c.isClosed() {
		return nil, messaging.ErrClosed
	}
	t := &topic{c: c, name: name}
	if err := checkSubject(name); err != nil {
		return nil, fmt.Errorf("nats: topic %q: %w", name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, c.settings.timeout)
	defer cancel()
	info, err := t.find(ctx)
	if errors.Is(err, natsjs.ErrStreamNotFound) {
		info, err = t.create(ctx)
	}
	if err != nil {
		return nil, t.explain(err)
	}
	return t, t.describe(ctx, info)
}

// checkSubject asks for a name that is a subject without wildcards.
func checkSubject(name string) error {
	for _, b := range []byte(name) {
		if b <= ' ' || b >= 0x7f || b == '*' || b == '>' {
			return fmt.Errorf("a subject has no blanks, wildcards or letters beyond ASCII")
		}
	}
	switch {
	case name == "" || slices.Contains(strings.Split(name, "."), ""):
		return fmt.Errorf("a subject is words with dots between them")
	case strings.HasPrefix(name, "$") || strings.HasPrefix(name, "_INBOX."):
		return fmt.Errorf("subjects that begin so are the server's")
	case len(name) > jetstream.LongestName-8:
		return fmt.Errorf("the name is longer than %d bytes", jetstream.LongestName-8)
	}
	return nil
}

// find looks for the stream that keeps the topic's subject, or the first of its partitions'.
func (t *topic) find(ctx context.Context) (*natsjs.StreamInfo, error) {
	name := t.c.settings.stream
	if name == "" {
		var err error
		if name, err = t.c.js.StreamNameBySubject(ctx, t.name); errors.Is(err, natsjs.ErrStreamNotFound) {
			name, err = t.c.js.StreamNameBySubject(ctx, t.name+".0")
		}
		if err != nil {
			return nil, err
		}
	}
	s, err := t.c.js.Stream(ctx, name)
	if err != nil {
		return nil, err
	}
	return s.CachedInfo(), nil
}

func (t *topic) create(ctx context.Context) (*natsjs.StreamInfo, error) {
	s := t.c.settings
	if !s.create {
		return nil, fmt.Errorf("no stream keeps this subject, and create=false: %w", messaging.ErrNoTopic)
	}
	config := natsjs.StreamConfig{
		Name: strings.ReplaceAll(t.name, ".", "_"), Subjects: t.subjectsOf(s.partitions), Description: "made by ds-runner for " + t.name,
		Metadata: map[string]string{metaLife: strings.ToLower(rand.Text()[:10])},
		Storage:  natsjs.FileStorage, Retention: natsjs.LimitsPolicy, Discard: natsjs.DiscardOld, Replicas: s.replicas,
		MaxBytes: -1, MaxAge: s.maxAge, Duplicates: s.duplicates, AllowDirect: true,
	}
	if s.stream != "" {
		config.Name, config.Description, config.AllowAtomicPublish = s.stream, "made by ds-runner", true
		config.Subjects = append(config.Subjects, markSubject(s.stream))
	}
	if s.partitions > 1 {
		config.Metadata[metaPartitions] = strconv.Itoa(s.partitions)
	}
	if s.memory {
		config.Storage = natsjs.MemoryStorage
	}
	if s.maxBytes > 0 {
		config.MaxBytes = s.maxBytes
	}
	if s.maxAge > 0 {
		config.Duplicates = min(s.duplicates, s.maxAge)
	}
	made, err := t.c.js.CreateStream(ctx, config)
	if errors.Is(err, natsjs.ErrStreamNameAlreadyInUse) { // by somebody who was faster, or for something else
		return t.claim(ctx, config.Name, err)
	}
	if err != nil {
		return nil, fmt.Errorf("making the stream %s: %w", config.Name, err)
	}
	t.c.options.Log.Info("stream made", "stream", config.Name, "topic", t.name)
	return made.CachedInfo(), nil
}

func (t *topic) claim(ctx context.Context, name string, taken error) (*natsjs.StreamInfo, error) {
	s, err := t.c.js.Stream(ctx, name)
	if err != nil {
		return nil, err
	}
	info := s.CachedInfo()
	if t.c.settings.stream == "" && !slices.Contains(info.Config.Subjects, t.subjectsOf(t.c.settings.partitions)[0]) {
		return nil, fmt.Errorf("a stream %s exists and keeps %s: add %s to it, or choose another topic: %w",
			name, strings.Join(info.Config.Subjects, ", "), t.name, taken)
	}
	return info, nil
}

// describe takes from the stream what there is to know, and adds the topic's subjects to a stream of many topics.
func (t *topic) describe(ctx context.Context, info *natsjs.StreamInfo) error {
	partitions := t.c.settings.partitions
	if n, err := strconv.Atoi(info.Config.Metadata[metaPartitions]); err == nil && n > 0 && n <= maxPartitions {
		partitions = n
	}
	t.subjects = t.subjectsOf(partitions)
	config, err := t.add(ctx, info.Config)
	if err != nil {
		return t.explain(err)
	}
	t.config, t.stream = config, config.Name
	t.alone = len(config.Subjects) == 1 && config.Subjects[0] == t.subjects[0]
	t.life = config.Metadata[metaLife]
	if t.life == "" {
		t.life = strconv.FormatInt(info.Created.UnixNano(), 36)
	}
	t.seen()
	return nil
}

// add makes sure that the stream named by the setting keeps the topic's subjects.
func (t *topic) add(ctx context.Context, config natsjs.StreamConfig) (natsjs.StreamConfig, error) {
	missing := t.subjects
	if t.c.settings.stream == "" {
		return config, nil
	}
	missing = slices.DeleteFunc(slices.Clone(missing), func(s string) bool { return slices.ContainsFunc(config.Subjects, covers(s)) })
	if len(missing) == 0 {
		return config, nil
	}
	if !t.c.settings.create {
		return config, fmt.Errorf("the stream %s does not keep %s, and create=false: %w", config.Name, missing[0], messaging.ErrNoTopic)
	}
	config.Subjects = append(slices.Clone(config.Subjects), missing...)
	updated, err := t.c.js.UpdateStream(ctx, config)
	if err != nil {
		return config, fmt.Errorf("adding %s to the stream %s: %w", missing[0], config.Name, err)
	}
	return updated.CachedInfo().Config, nil
}

// covers says whether a subject, maybe with wildcards, takes another.
func covers(subject string) func(string) bool {
	words := strings.Split(subject, ".")
	return func(pattern string) bool {
		for i, p := range strings.Split(pattern, ".") {
			switch {
			case p == ">":
				return len(words) > i
			case i >= len(words) || p != "*" && p != words[i]:
				return false
			}
		}
		return strings.Count(pattern, ".") == len(words)-1
	}
}

func (t *topic) subjectsOf(partitions int) []string {
	if partitions == 1 {
		return []string{t.name}
	}
	all := make([]string, partitions)
	for i := range all {
		all[i] = t.name + "." + strconv.Itoa(i)
	}
	return all
}

// markSubject is where a stream of many topics keeps what no topic has.
func markSubject(stream string) string { return "ds-fate." + stream }

// seen compares the life of the topic with the one that this connection last saw.
func (t *topic) seen() {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	if old := t.c.lives[t.name]; old != "" && old != t.life {
		t.c.remade.Inc()
		t.c.options.Log.Warn("the topic was made again: groups read it from the start", "topic", t.name, "stream", t.stream)
	}
	t.c.lives[t.name] = t.life
}

// limits says that what was stored stays until a limit is reached: only then ids outlive a restart of the server.
func (t *topic) limits() bool { return t.config.Retention == natsjs.LimitsPolicy }

func (t *topic) state(ctx context.Context) (first, end int64, err error) {
	var answer struct {
		State struct {
			First int64 `json:"first_seq"`
			Last  int64 `json:"last_seq"`
		} `json:"state"`
	}
	if err := t.c.api.Call(ctx, "STREAM.INFO."+t.stream, nil, &answer); err != nil {
		return 0, 0, t.explain(err)
	}
	return max(answer.State.First, 1), answer.State.Last + 1, nil
}

func (t *topic) fetcher(partition int) (*jetstream.Fetcher, error) {
	subject := t.subjects[partition]
	if t.alone {
		subject = ""
	}
	f, err := t.c.api.Fetcher(t.stream, subject, t.config.AllowDirect)
	if err != nil {
		return nil, t.explain(err)
	}
	return f, nil
}

// explain makes errors that callers tell apart.
func (t *topic) explain(err error) error {
	switch {
	case err == nil:
		return nil
	case t.c.isClosed() || errors.Is(err, messaging.ErrClosed):
		return messaging.ErrClosed
	case jetstream.HasCode(err, jetstream.CodeNoStream) || errors.Is(err, natsjs.ErrStreamNotFound):
		return fmt.Errorf("nats: %s: %w: %w", t.name, messaging.ErrNoTopic, err)
	case errors.Is(err, natsgo.ErrReconnectBufExceeded):
		return fmt.Errorf("nats: %s: the server is lost and is being dialled: %w", t.name, err)
	case errors.Is(err, natsgo.ErrNoResponders):
		return fmt.Errorf("nats: %s: the server's JetStream does not answer: %w", t.name, err)
	}
	return fmt.Errorf("nats: %s: %w", t.name, err)
}

// away says whether an error means that the server is not there just now.
func away(err error) bool {
	for _, known := range []error{
		natsgo.ErrReconnectBufExceeded, natsgo.ErrConnectionReconnecting, natsgo.ErrDisconnected, natsgo.ErrNoResponders,
		natsgo.ErrTimeout, context.DeadlineExceeded,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}
