package postgres

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// Source opens the kind of source that the table and the settings ask for.
func (c *connection) Source(ctx context.Context, sc messaging.SourceConfig) (messaging.Source, error) {
	if c.isClosed() {
		return nil, messaging.ErrClosed
	}
	if sc.Transactional {
		return nil, messaging.ErrNotSupported // the sink is the one that keeps positions
	}
	if err := c.readyFor(ctx, sc.Group); err != nil {
		return nil, err
	}
	if text, ok := queryOf(sc.Topic); ok {
		return c.openQuery(ctx, sc, sc.Topic, fingerprint(text), text)
	}
	t, err := c.table(ctx, sc.Topic)
	switch {
	case err != nil:
		return nil, err
	case c.settings.slot != "" && !t.raw:
		return c.openReplication(ctx, sc, t)
	case c.settings.bounded && c.settings.cursor == "" && !t.raw:
		return c.openQuery(ctx, sc, t.schema+"."+t.name, t.incarnation(), wholeTable(t))
	}
	return c.openSource(ctx, sc, t)
}

// readyFor makes the tables that a group's position needs.
func (c *connection) readyFor(ctx context.Context, group string) error {
	if group == "" {
		return nil
	}
	return c.ensureOwn(ctx)
}

// A source reads a table by an increasing column, by asking for new rows now and then.
type source struct {
	c       *connection
	session *session
	group   *group
	reader  *reader
	ahead   []messaging.Record
	last    atomic.Int64 // written by Read alone, read by Lag
	goal    *int64       // of a bounded source: the newest row when it began

	mu        sync.Mutex
	committed int64

	once   sync.Once
	closed chan struct{}
}

func (c *connection) openSource(ctx context.Context, sc messaging.SourceConfig, t *table) (messaging.Source, error) {
	p, err := c.plan(t)
	if err != nil {
		return nil, err
	}
	s := &source{c: c, session: c.session(t.schema+"."+t.name, sc.Group), closed: make(chan struct{}), committed: nowhere}
	err = s.session.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		if err := c.promise(ctx, p, conn); err != nil {
			return err
		}
		s.group, err = c.group(ctx, sc.Group, t.schema+"."+t.name, t.incarnation(), conn)
		return err
	})
	if err == nil {
		var from int64
		from, err = begin(ctx, sc, s.group.position)
		s.reader = newReader(p, from)
		s.last.Store(from)
	}
	if err != nil {
		s.session.close(ctx)
		return nil, err
	}
	return s, nil
}

// begin is where a source starts: behind what a sink says, else behind the group's own position.
func begin(ctx context.Context, sc messaging.SourceConfig, position int64) (int64, error) {
	if sc.Start == nil {
		return position, nil
	}
	kept, err := sc.Start(ctx, []int32{0})
	if err != nil {
		return 0, err
	}
	if at, ok := kept[0]; ok {
		return at, nil
	}
	return position, nil
}

// Read implements messaging.Source.
func (s *source) Read(ctx context.Context, limit messaging.Limit) ([]messaging.Record, error) {
	wait := time.Millisecond // a row that waits for others to commit is asked for soon, an idle table seldom
	for {
		if err := s.stopped(ctx); err != nil {
			return nil, err
		}
		if len(s.ahead) > 0 {
			return s.take(limit), nil
		}
		if err := s.fill(ctx, limit.Events); err != nil {
			return nil, s.explain(ctx, err)
		}
		if len(s.ahead) > 0 {
			continue
		}
		if s.goal != nil && (s.reader.last >= *s.goal || !s.reader.exact) {
			return nil, io.EOF
		}
		pause := time.NewTimer(wait)
		select {
		case <-pause.C:
		case <-ctx.Done():
		case <-s.closed:
		case <-s.c.closed:
		}
		pause.Stop()
		wait = min(2*wait, s.c.settings.poll)
	}
}

func (s *source) fill(ctx context.Context, events int) error {
	return s.session.do(ctx, func(ctx context.Context, conn *pgx.Conn) (err error) {
		if s.c.settings.bounded && s.goal == nil {
			if err := s.aim(ctx, conn); err != nil {
				return err
			}
		}
		if s.ahead, err = s.reader.fetch(ctx, conn, max(events, 256)); s.goal != nil {
			s.ahead = upTo(s.ahead, *s.goal)
		}
		return err
	})
}

// upTo leaves out what came behind the end of a bounded source.
func upTo(records []messaging.Record, goal int64) []messaging.Record {
	for len(records) > 0 && records[len(records)-1].Offset > goal {
		records = records[:len(records)-1]
	}
	return records
}

// aim sets the end of a bounded source. Without a horizon it is what can be read now.
func (s *source) aim(ctx context.Context, q querier) error {
	var goal int64
	p := s.reader.plan
	column := quote(p.column)
	newest := "max(" + column + ")::bigint"
	if p.times {
		newest = "max((extract(epoch from " + column + ")*1000000)::bigint)"
	}
	if err := q.QueryRow(ctx, "select coalesce("+newest+", $1) from "+p.t.sql(), nowhere).Scan(&goal); err != nil {
		return err
	}
	if p.times && goal != nowhere {
		goal = (goal-epoch*1_000_000)<<rankBits | (1<<rankBits - 1)
	}
	s.goal = &goal
	return nil
}

// take hands out what fits into the limit, at least one record.
func (s *source) take(limit messaging.Limit) []messaging.Record {
	n := fit(s.ahead, limit)
	found := s.ahead[:n:n]
	s.ahead = s.ahead[n:]
	s.last.Store(found[n-1].Offset)
	return found
}

// fit is how many records of a list are within a limit, at least one.
func fit(records []messaging.Record, limit messaging.Limit) int {
	n, bytes := 1, len(records[0].Value)
	for n < len(records) && n < limit.Events {
		if bytes += len(records[n].Value); bytes > limit.Bytes {
			break
		}
		n++
	}
	return n
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

// explain tells the caller's own end from a failure.
func (s *source) explain(ctx context.Context, err error) error {
	if stopped := s.stopped(ctx); stopped != nil {
		return stopped
	}
	return at(s.reader.t.topic, "read", err)
}

// Commit implements messaging.Source.
func (s *source) Commit(ctx context.Context, upTo []messaging.Position) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	moved := s.committed
	for _, p := range upTo {
		moved = max(moved, p.Offset)
	}
	if moved == s.committed || s.group.name == "" {
		return nil
	}
	err := s.session.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return s.group.save(ctx, conn, moved, nil, nil)
	})
	if err != nil {
		return at(s.reader.t.topic, "commit", err)
	}
	s.committed = moved
	return nil
}

// countedLag is up to where rows are counted; beyond that the distance of offsets is told, where they are numbers.
const countedLag = 10_000

// Lag implements messaging.Source.
func (s *source) Lag(ctx context.Context) int64 {
	if s.reader.times {
		return -1
	}
	ctx, cancel := s.c.limit(ctx)
	defer cancel()
	var count, newest int64
	column, last := quote(s.reader.column), s.last.Load()
	err := s.c.pool.QueryRow(ctx, "select (select count(*) from (select from "+s.reader.t.sql()+" where "+column+
		" > $1 limit $2) behind), coalesce(max("+column+")::bigint, $1) from "+s.reader.t.sql(), last, countedLag).Scan(&count, &newest)
	switch {
	case err != nil:
		return -1
	case count < countedLag || last == nowhere:
		return count
	}
	return newest - last
}

// Close implements messaging.Source.
func (s *source) Close(ctx context.Context) error {
	s.once.Do(func() {
		close(s.closed)
		s.session.close(ctx)
	})
	return nil
}

// at says what was being done. The caller's deadline stays what it is.
func at(topic, doing string, err error) error {
	if err == nil || errors.Is(err, messaging.ErrClosed) || errors.Is(err, context.Canceled) {
		return err
	}
	return &failure{topic: topic, doing: doing, err: err}
}

type failure struct {
	topic, doing string
	err          error
}

func (f *failure) Error() string {
	return "postgres: " + f.doing + " " + f.topic + ": " + f.err.Error()
}
func (f *failure) Unwrap() error { return f.err }
