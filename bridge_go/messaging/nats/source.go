package nats

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// maxAsked bounds what is asked of the server at a time, over all partitions: the client drops what finds no room.
const maxAsked = 4096

// A source reads the partitions of a topic for a group. Read has the parts' reading side for itself; mu guards what Commit and
// the keeper look at too.
type source struct {
	c        *connection
	t        *topic
	group    string
	onRevoke func([]int32)
	start    func(context.Context, []int32) (map[int32]int64, error)
	parts    []*part
	turn     int // the part that is looked at first
	inbox    string
	bySub    map[*natsgo.Subscription]*part
	messages chan *natsgo.Msg

	mu sync.Mutex

	once   sync.Once
	closed chan struct{}
	keeper sync.WaitGroup
}

func (c *connection) openSource(ctx context.Context, t *topic, sc messaging.SourceConfig) (*source, error) {
	if !c.settings.shared && !c.readers.Join(t.key(), sc.Group) {
		return nil, fmt.Errorf("nats: %s, group %s: %w", sc.Topic, sc.Group, messaging.ErrBusy)
	}
	s := &source{c: c, t: t, group: sc.Group, onRevoke: sc.OnRevoke, start: sc.Start, closed: make(chan struct{}), inbox: c.conn.NewInbox()}
	if err := s.open(ctx); err != nil {
		s.end()
		return nil, err
	}
	s.keeper.Go(s.keep)
	return s, nil
}

func (s *source) open(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, s.c.settings.timeout)
	defer cancel()
	s.messages = make(chan *natsgo.Msg, 2*maxAsked+maxPartitions)
	s.bySub = map[*natsgo.Subscription]*part{}
	for i := range s.t.subjects {
		p := &part{s: s, n: int32(i)}
		if p.f, err = s.t.fetcher(i); err != nil {
			return err
		}
		if p.sub, err = s.c.conn.ChanSubscribe(s.inbox+"."+strconv.Itoa(i)+".*", s.messages); err != nil {
			return s.t.explain(err)
		}
		s.bySub[p.sub] = p
		s.parts = append(s.parts, p)
		if err := p.open(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *source) Read(ctx context.Context, limit messaging.Limit) ([]messaging.Record, error) {
	for {
		if err := s.stopped(ctx); err != nil {
			return nil, err
		}
		if found := s.take(limit); len(found) > 0 {
			return found, nil
		}
		if err := s.fill(ctx, limit); err != nil {
			return nil, err
		}
	}
}

func (s *source) stopped(ctx context.Context) error {
	select {
	case <-s.closed:
		return messaging.ErrClosed
	case <-s.c.closed:
		return messaging.ErrClosed
	default:
		return ctx.Err()
	}
}

// take hands out what has come and fits into the limit, at least one record.
func (s *source) take(limit messaging.Limit) (found []messaging.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	left := messaging.Limit{Events: max(limit.Events, 1), Bytes: max(limit.Bytes, 1)}
	for range s.parts {
		p := s.parts[s.turn%len(s.parts)]
		n := 0
		for !p.paused && n < len(p.ahead) && left.Events > 0 {
			size := len(p.ahead[n].Value)
			if size > left.Bytes && len(found)+n > 0 {
				left.Events = 0
				break
			}
			left.Events--
			left.Bytes -= size
			n++
		}
		if found == nil {
			found = p.ahead[:n:n]
		} else {
			found = append(found, p.ahead[:n]...)
		}
		if p.ahead = p.ahead[n:]; left.Events <= 0 || left.Bytes <= 0 {
			break
		}
		s.turn++
	}
	return found
}

// gather is how long a Read waits for the rest of an answer whose first message has come.
const gather = 20 * time.Millisecond

// fill gets something: what an earlier reader left, by position, or else what the server has.
func (s *source) fill(ctx context.Context, limit messaging.Limit) error {
	back := s.c.back()
	s.giveBack()
	for _, p := range s.parts {
		if p.taking && !p.asking.Load() && time.Now().After(p.resume) {
			if err := p.takeOver(ctx); err != nil {
				return err
			}
		}
		if caught, err := p.catchUp(ctx, limit); err != nil || caught {
			return err
		}
	}
	s.ask(limit)
	timer := time.NewTimer(s.patience())
	defer timer.Stop()
	select {
	case m := <-s.messages:
		if err := s.handle(ctx, m); err != nil {
			return err
		}
	case <-timer.C:
		s.overdue()
		return nil
	case <-back:
		s.forgetPulls()
		return nil
	case <-s.closed:
		return messaging.ErrClosed
	case <-s.c.closed:
		return messaging.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	return s.rest(ctx)
}

// rest takes what comes behind a first message, until each pull that has begun to be answered is over.
func (s *source) rest(ctx context.Context) error {
	timer := time.NewTimer(gather)
	defer timer.Stop()
	for {
		select {
		case m := <-s.messages:
			if err := s.handle(ctx, m); err != nil {
				return err
			}
			continue
		default:
		}
		if !s.coming() {
			return nil
		}
		select {
		case m := <-s.messages:
			if err := s.handle(ctx, m); err != nil {
				return err
			}
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *source) coming() bool {
	for _, p := range s.parts {
		if p.asking.Load() && p.pull.got > 0 {
			return true
		}
	}
	return false
}

func (s *source) ask(limit messaging.Limit) {
	n := len(s.parts)
	share := messaging.Limit{Events: min(max(limit.Events/n, 1), maxAsked/n), Bytes: max(limit.Bytes/n, 1)}
	for _, p := range s.parts {
		p.ask(share)
	}
}

// patience is how long nothing may come until there is something to do.
func (s *source) patience() time.Duration {
	next := time.Now().Add(time.Second)
	for _, p := range s.parts {
		if at := p.due(); !at.IsZero() && at.Before(next) {
			next = at
		}
	}
	return max(time.Until(next), time.Millisecond)
}

func (s *source) overdue() {
	now := time.Now()
	for _, p := range s.parts {
		if p.asking.Load() && now.After(p.pull.until) { // lost, the server would have answered
			p.asking.Store(false)
		}
	}
}

func (s *source) forgetPulls() {
	for _, p := range s.parts {
		p.asking.Store(false)
		p.resume = time.Time{}
	}
}

// handle takes one message: of a partition, or what the server says of a pull. Messages come with the subject that they were
// written to, answers with that of the pull.
func (s *source) handle(ctx context.Context, m *natsgo.Msg) error {
	p := s.bySub[m.Sub]
	if p == nil {
		return nil // to wake us
	}
	status := m.Header.Get("Status")
	if status == "" || m.Reply != "" || len(m.Data) > 0 {
		return p.came(ctx, m)
	}
	number := m.Subject[strings.LastIndexByte(m.Subject, '.')+1:]
	if p.asking.Load() && strconv.Itoa(p.pull.number) == number { // not of what keeps a pin, or of a pull that was given up
		return p.told(ctx, status, m.Header.Get("Description"))
	}
	return nil
}

// Commit acknowledges, and waits until the server says that it has heard.
func (s *source) Commit(ctx context.Context, upTo []messaging.Position) error {
	if s.group == "" {
		return nil
	}
	for _, to := range upTo {
		if int(to.Partition) >= len(s.parts) || to.Partition < 0 {
			continue
		}
		if err := s.parts[to.Partition].commit(ctx, to); err != nil {
			return s.t.explain(fmt.Errorf("commit %d/%d: %w", to.Partition, to.Offset, err))
		}
	}
	return nil
}

// Lag is what was not delivered to any reader of the group, and what was delivered here and not handed out.
func (s *source) Lag(ctx context.Context) (lag int64) {
	for _, p := range s.parts {
		at, err := s.t.standing(ctx, p.consumer)
		if err != nil {
			return -1
		}
		s.mu.Lock()
		lag += at.Pending + int64(len(p.ahead))
		s.mu.Unlock()
	}
	return lag
}

// Pause implements messaging.Pauser.
func (s *source) Pause(partitions []int32) { s.pause(partitions, true) }

// Resume implements messaging.Pauser.
func (s *source) Resume(partitions []int32) { s.pause(partitions, false) }

func (s *source) pause(partitions []int32, paused bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range partitions {
		if n >= 0 && int(n) < len(s.parts) {
			s.parts[n].paused = paused
		}
	}
	if !paused {
		s.wake()
	}
}

// wake has a Read that waits look again.
func (s *source) wake() {
	select {
	case s.messages <- &natsgo.Msg{Subject: s.inbox + ".look"}:
	default:
	}
}

// Close gives back what is not settled, so that the next reader need not wait for it.
func (s *source) Close(ctx context.Context) error {
	s.once.Do(func() {
		close(s.closed)
		s.keeper.Wait()
		for _, p := range s.parts {
			p.sub.Unsubscribe()
			p.leave(ctx)
		}
		s.end()
	})
	return nil
}

// end lets go of what opening has taken.
func (s *source) end() {
	for _, p := range s.parts {
		p.sub.Unsubscribe()
		p.f.Close()
	}
	if !s.c.settings.shared {
		s.c.readers.Leave(s.t.key(), s.group)
	}
}

// keep tells the server, beside Read, that what is held is at work and that its reader lives. A handler of many events may take
// longer than both ack_wait and takeover.
func (s *source) keep() {
	tick := time.NewTicker(min(s.c.settings.ackWait, s.c.settings.takeover) / 3)
	defer tick.Stop()
	var progress time.Time
	for {
		select {
		case <-s.closed:
			return
		case <-s.c.closed:
			return
		case now := <-tick.C:
			working := now.Sub(progress) >= s.c.settings.ackWait/3
			if working {
				progress = now
			}
			for _, p := range s.parts {
				p.keepPin()
				if working {
					p.progress()
				}
			}
			s.balance()
		}
	}
}
