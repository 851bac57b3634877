package redis

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// pageEvents and pageBytes bound what is asked of the server at once; bytes are reckoned by the size of earlier values.
const (
	pageEvents = 512
	pageBytes  = 8 << 20
)

// blockFor is how long one wait for new entries lasts at most before the source looks about itself.
const blockFor = time.Second

// handedBack is the consumer that holds what readers that ended in order had not dealt with.
const handedBack = "ds-handed-back"

type source struct {
	c            *connection
	topic, group string
	onRevoke     func([]int32)
	life         context.Context // ends with Close
	end          context.CancelFunc
	once         sync.Once
	kept         sync.WaitGroup // the keeper

	// Of Read alone.
	from    int64 // the offset of the last entry fetched in this assignment
	history bool  // entries that are pending here may lie behind from: they come before new ones
	last    string
	average int

	mu       sync.Mutex
	ahead    []messaging.Record // fetched, not handed out
	flight   []int64            // handed out in this assignment and not acknowledged, ascending
	newest   int64              // the last one handed out
	epoch    int32
	claimed  time.Time // when entries that lie before newest were taken over, zero when none wait
	revoked  bool      // entries in flight belong to another reader
	gap      error     // found by the keeper
	paused   bool
	behind   int // claimed entries that were not fetched
	progress chan struct{}

	asking sync.Mutex // held over an acknowledgement and a refresh, which would not understand each other
}

func (c *connection) openSource(ctx context.Context, sc messaging.SourceConfig) (*source, error) {
	life, end := context.WithCancel(context.Background())
	s := &source{
		c: c, topic: sc.Topic, group: sc.Group, onRevoke: sc.OnRevoke, life: life, end: end,
		history: sc.Group != "", last: "0-0", progress: make(chan struct{}), average: 1 << 10,
	}
	if err := s.begin(ctx, sc.Start); err != nil {
		end()
		return nil, err
	}
	c.mu.Lock()
	c.sources[s] = true
	c.mu.Unlock()
	if s.group != "" {
		s.kept.Go(s.keep)
	}
	return s, nil
}

func (s *source) begin(ctx context.Context, start func(context.Context, []int32) (map[int32]int64, error)) error {
	if s.group != "" {
		if err := s.join(ctx); err != nil {
			return err
		}
	}
	if start == nil {
		return s.beginWithPending(ctx)
	}
	at, err := start(ctx, []int32{0})
	if err != nil {
		return err
	}
	offset, given := at[0]
	switch {
	case !given:
		return s.beginWithPending(ctx)
	case s.group == "":
		s.from, s.last = offset, idOf(offset).String()
		return nil
	}
	s.history = false
	_, err = s.c.move(ctx, s.topic, s.group, offset)
	return err
}

// beginWithPending takes over before anything is read: the first assignment has it all in order.
func (s *source) beginWithPending(ctx context.Context) error {
	err := s.takeOver(ctx)
	s.claimed = time.Time{}
	return err
}

// join makes the group if there is none. One that had been there is gone only together with the stream.
func (s *source) join(ctx context.Context) error {
	made, err := s.c.script(ctx, join, []string{s.topic}, s.group).AsInt64()
	if err != nil {
		return fmt.Errorf("group %s: %w", s.group, err)
	}
	if made == 0 {
		return nil
	}
	book := bookKey(s.topic)
	added, err := s.c.client.Run(ctx, s.c.client.B().Hset().Key(book).FieldValue().FieldValue("group:"+s.group, s.c.me.name).Build()).AsInt64()
	if err != nil || added == 1 {
		return err
	}
	s.c.remade.Inc()
	s.c.options.Log.Warn("the topic or its group was deleted since the last commit, reading it from the start", "topic", s.topic, "group", s.group)
	_, err = s.c.incarnation(ctx, s.topic, "renew")
	return err
}

func (s *source) Read(ctx context.Context, limit messaging.Limit) ([]messaging.Record, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.life, cancel)()
	for {
		if s.life.Err() != nil {
			return nil, messaging.ErrClosed
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		found, wait, err := s.step(ctx, limit)
		if err != nil {
			if ctx.Err() != nil {
				continue
			}
			return nil, fmt.Errorf("redis: read %s: %w", s.topic, err)
		}
		if len(found) > 0 {
			return found, nil
		}
		if wait != nil {
			if err := wait(ctx); err != nil && ctx.Err() == nil {
				return nil, fmt.Errorf("redis: read %s: %w", s.topic, err)
			}
		}
	}
}

// step hands out what there is, or says how to wait for more; nil to come again at once.
func (s *source) step(ctx context.Context, limit messaging.Limit) ([]messaging.Record, func(context.Context) error, error) {
	s.mu.Lock()
	if err := s.gap; err != nil {
		s.mu.Unlock()
		return nil, nil, err
	}
	if s.paused {
		progress := s.progress
		s.mu.Unlock()
		return nil, waitFor(progress, blockFor), nil
	}
	if s.revoked || !s.claimed.IsZero() {
		progress, due := s.progress, s.due()
		s.mu.Unlock()
		if !due {
			return nil, waitFor(progress, s.c.settings.takeover/4), nil
		}
		s.reassign()
		return nil, nil, nil
	}
	if found := s.take(limit); found != nil {
		s.mu.Unlock()
		return found, nil, nil
	}
	s.mu.Unlock()
	more, err := s.fetch(ctx, limit)
	if err != nil || more {
		return nil, nil, err
	}
	return nil, s.await, nil
}

func waitFor(changed <-chan struct{}, atMost time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		timer := time.NewTimer(atMost)
		defer timer.Stop()
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
		}
		return ctx.Err()
	}
}

// due says whether a new assignment may begin: at once when the old one is lost or dealt with, else when it has had its time.
func (s *source) due() bool {
	return s.revoked || len(s.flight) == 0 || time.Since(s.claimed) > s.c.settings.takeover
}

// reassign begins a new assignment: all that is pending here is read, in order, before new entries. What is in flight comes again, so
// the dispatcher is told to forget it first; nothing of it is acknowledged any more, by its epoch.
func (s *source) reassign() {
	s.mu.Lock()
	dropped := len(s.flight)
	s.mu.Unlock()
	if dropped > 0 && s.onRevoke != nil {
		s.onRevoke([]int32{0})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epoch++
	s.flight, s.ahead, s.newest = nil, nil, 0
	s.claimed, s.revoked = time.Time{}, false
	s.from, s.history = 0, true
	s.c.options.Log.Info("reading what is pending again, in order", "topic", s.topic, "group", s.group, "dropped", dropped)
}

// take hands out what fits into the limit, at least one record. It is called with the lock.
func (s *source) take(limit messaging.Limit) []messaging.Record {
	if len(s.ahead) == 0 {
		return nil
	}
	n, bytes := 1, len(s.ahead[0].Value)
	for n < len(s.ahead) && n < limit.Events {
		if bytes += len(s.ahead[n].Value); bytes > limit.Bytes {
			break
		}
		n++
	}
	found := s.ahead[:n:n]
	s.ahead = s.ahead[n:]
	s.newest = found[n-1].Offset
	if s.group != "" {
		for i := range found {
			s.flight = append(s.flight, found[i].Offset)
		}
	}
	return found
}

// fetch gets entries from the server, and tells whether it is worth while to look again at once.
func (s *source) fetch(ctx context.Context, limit messaging.Limit) (more bool, err error) {
	count := strconv.Itoa(s.count(limit))
	switch {
	case s.group == "":
		return s.fetchPlain(ctx, count)
	case s.history:
		return s.fetchPending(ctx, count)
	}
	return s.fetchNew(ctx, count)
}

// count asks for no more than the caller wants: what one reader has fetched no other gets.
func (s *source) count(limit messaging.Limit) int {
	fit := min(limit.Bytes, pageBytes) / max(s.average, 1)
	return max(1, min(limit.Events, fit, pageEvents))
}

func (s *source) fetchNew(ctx context.Context, count string) (bool, error) {
	answer, err := s.c.script(ctx, readNew, []string{s.topic, deletedKey(s.topic)}, s.group, s.c.me.name, count, s.gapSetting(), idOf(s.from).String()).ToArray()
	if err != nil {
		s.history = true // the server may have given out entries of which nothing was heard
		return false, err
	}
	if len(answer) != 5 {
		return false, fmt.Errorf("a read was answered by %d parts", len(answer))
	}
	status, err := answer[0].ToString()
	if err != nil {
		return false, err
	}
	if status == "pending" {
		s.history = true
		return true, nil
	}
	if err := s.explain(status, answer); err != nil {
		return false, err
	}
	found, err := entries(answer[4])
	s.hold(found)
	if err != nil {
		s.history = true
	}
	return len(found) > 0, err
}

func (s *source) gapSetting() string {
	if s.c.settings.skipGaps {
		return "continue"
	}
	return "stop"
}

// explain reads what a read says of entries that are gone.
func (s *source) explain(status string, answer []rueidis.RedisMessage) error {
	lost, err := answer[1].AsInt64()
	if err != nil {
		return err
	}
	last, _ := answer[2].ToString()
	first, _ := answer[3].ToString()
	s.last = last
	if lost == 0 {
		return nil
	}
	s.c.gaps.Add(float64(lost))
	s.c.options.Log.Error("entries were trimmed before they were read", "topic", s.topic, "group", s.group, "entries", lost,
		"behind", last, "first_left", first)
	if status != "gap" {
		return nil
	}
	want, err := parseID(last)
	if err != nil {
		return err
	}
	have, err := parseOffset(first)
	if err != nil {
		return err
	}
	want.seq = min(want.seq, maxSeq) // a group that has read nothing may stand at an id that no entry has
	before, err := want.offset()
	if err != nil {
		return err
	}
	return &messaging.GapError{Topic: s.topic, Group: s.group, Want: before + 1, Have: have}
}

// fetchPending reads on in what is pending here, in order.
func (s *source) fetchPending(ctx context.Context, count string) (bool, error) {
	b := s.c.client.B()
	answer, err := s.c.client.Run(ctx, b.Arbitrary("XREADGROUP", "GROUP", s.group, s.c.me.name, "COUNT", count, "STREAMS").
		Keys(s.topic).Args(idOf(s.from).String()).Build()).AsMap()
	if err != nil && !rueidis.IsRedisNil(err) {
		return false, err
	}
	found, err := entries(answer[s.topic])
	if err != nil {
		return false, err
	}
	if len(found) == 0 {
		s.history = false
		return true, nil
	}
	there, err := s.withoutGone(ctx, found)
	if err != nil {
		return false, err
	}
	s.from = found[len(found)-1].offset
	s.hold(there)
	return true, nil
}

// withoutGone takes out entries that are pending but in the stream no more.
func (s *source) withoutGone(ctx context.Context, found []entry) ([]entry, error) {
	var names []string
	for _, e := range found {
		if e.gone {
			names = append(names, idOf(e.offset).String())
		}
	}
	if names == nil {
		return found, nil
	}
	purposely, err := s.c.script(ctx, struck, []string{s.topic, deletedKey(s.topic)}, names...).AsIntSlice()
	if err != nil {
		return nil, err
	}
	var lost []string
	for i, p := range purposely {
		if p == 0 {
			lost = append(lost, names[i])
		}
	}
	if err := s.tellGone(lost); err != nil {
		return nil, err
	}
	if err := s.strike(ctx, names); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(found, func(e entry) bool { return e.gone }), nil
}

// tellGone is loud about pending entries that were trimmed, and an error unless the settings say to go on.
func (s *source) tellGone(names []string) error {
	if len(names) == 0 {
		return nil
	}
	s.c.gaps.Add(float64(len(names)))
	s.c.options.Log.Error("entries were trimmed before they were dealt with", "topic", s.topic, "group", s.group, "entries", len(names),
		"first", names[0], "last", names[len(names)-1])
	if s.c.settings.skipGaps {
		return nil
	}
	first, err := parseOffset(names[0])
	if err != nil {
		return err
	}
	last, err := parseOffset(names[len(names)-1])
	if err != nil {
		return err
	}
	return &messaging.GapError{Topic: s.topic, Group: s.group, Want: first, Have: last + 1}
}

func (s *source) strike(ctx context.Context, names []string) error {
	b := s.c.client.B()
	return s.c.client.Run(ctx, b.Xack().Key(s.topic).Group(s.group).Id(names...).Build()).Error()
}

// fetchPlain reads without a group.
func (s *source) fetchPlain(ctx context.Context, count string) (bool, error) {
	b := s.c.client.B()
	answer, err := s.c.client.Run(ctx, b.Arbitrary("XRANGE").Keys(s.topic).Args("("+s.last, "+", "COUNT", count).ReadOnly()).ToMessage()
	if err != nil {
		return false, err
	}
	found, err := entries(answer)
	s.hold(found)
	if n := len(found); n > 0 {
		s.last = idOf(found[n-1].offset).String()
	}
	return len(found) > 0, err
}

// hold keeps what was fetched.
func (s *source) hold(found []entry) {
	if len(found) == 0 {
		return
	}
	bytes := 0
	records := make([]messaging.Record, len(found))
	for i := range found {
		records[i] = found[i].record(s.c.settings.valueField)
		records[i].Epoch = s.epoch
		bytes += len(records[i].Value)
	}
	s.from = found[len(found)-1].offset
	s.average = bytes/len(found) + 1
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ahead = append(s.ahead, records...)
	s.behind = max(0, s.behind-len(records))
}

// await waits for a new entry, without taking it: what a wait that is given up took would be pending here, and unknown.
func (s *source) await(ctx context.Context) error {
	if _, err := parseID(s.last); err != nil {
		return err
	}
	b := s.c.client.B()
	ctx, cancel := context.WithTimeout(ctx, blockFor+s.c.client.Timeout)
	defer cancel()
	command := b.Arbitrary("XREAD", "COUNT", "1", "BLOCK", strconv.FormatInt(blockFor.Milliseconds(), 10), "STREAMS").
		Keys(s.topic).Args(s.last).Blocking()
	err := s.c.client.Do(ctx, command).Error()
	if rueidis.IsRedisNil(err) {
		return nil
	}
	return err
}

// Lag counts what the group has not been given, and what was fetched or taken over and not handed out.
func (s *source) Lag(ctx context.Context) int64 {
	s.mu.Lock()
	here := int64(len(s.ahead) + s.behind)
	s.mu.Unlock()
	if s.group == "" {
		return -1
	}
	g, err := s.c.group(ctx, s.topic, s.group)
	if err != nil || g.lag < 0 {
		return -1
	}
	return g.lag + here
}

// Pause and Resume know one partition.
func (s *source) Pause(partitions []int32)  { s.setPaused(partitions, true) }
func (s *source) Resume(partitions []int32) { s.setPaused(partitions, false) }

func (s *source) setPaused(partitions []int32, paused bool) {
	if !slices.Contains(partitions, 0) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paused = paused
	s.moved()
}

// moved wakes a Read that waits for something of this process. It is called with the lock.
func (s *source) moved() {
	close(s.progress)
	s.progress = make(chan struct{})
}

// Close hands back what was not dealt with, so that the next reader need not wait for it to grow idle.
func (s *source) Close(ctx context.Context) (err error) {
	s.once.Do(func() {
		s.end()
		s.kept.Wait()
		if s.group != "" {
			err = s.handBack(ctx)
		}
		s.c.mu.Lock()
		delete(s.c.sources, s)
		s.c.mu.Unlock()
		s.c.readers.Leave(s.topic, s.group)
	})
	return err
}

func (s *source) handBack(ctx context.Context) error {
	for {
		left, err := s.c.script(ctx, handBack, []string{s.topic}, s.group, s.c.me.name, strconv.Itoa(scriptPage), handedBack).AsInt64()
		if _, refused := rueidis.IsRedisErr(err); refused {
			return nil // the topic is gone, and all that was pending with it
		}
		if err != nil || left == 0 {
			return err
		}
	}
}
