package postgres

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"ds-runner.dev/ds-runner/bridge_go/data/pgconn"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// A sink writes to the table of its topic and, in transactions, to those of others.
type sink struct {
	c      *connection
	group  string
	home   *table            // of its own topic
	tables map[string]*table // by topic, as described when they were first written to
	held   map[int32]held    // partitions that this process has claimed
}

// Sink implements messaging.Connection.
func (c *connection) Sink(ctx context.Context, sc messaging.SinkConfig) (messaging.Sink, error) {
	s := &sink{c: c, group: sc.Group, tables: map[string]*table{}, held: map[int32]held{}}
	var err error
	s.home, err = s.table(ctx, sc.Topic)
	return s, err
}

// table finds a topic's table, and whether the settings fit it.
func (s *sink) table(ctx context.Context, topic string) (*table, error) {
	if t := s.tables[topic]; t != nil {
		return t, nil
	}
	t, err := s.c.table(ctx, topic)
	if err != nil {
		return nil, err
	}
	if err := s.c.settings.fit(t); err != nil {
		return nil, fmt.Errorf("postgres: %s: %w", topic, err)
	}
	s.tables[topic] = t
	return t, nil
}

// Info implements messaging.Sink.
func (s *sink) Info() messaging.SinkInfo {
	return messaging.SinkInfo{Deduplicates: s.home.raw || s.c.settings.idColumn != "", MaxBytes: s.c.settings.maxValue, InOrder: true}
}

// Close implements messaging.Sink.
func (s *sink) Close(context.Context) error { return nil }

// Write implements messaging.Sink: all that the database takes is stored in one transaction.
func (s *sink) Write(ctx context.Context, records []messaging.Outgoing) error {
	if len(records) == 0 {
		return nil
	}
	if s.c.isClosed() {
		return messaging.ErrClosed
	}
	if _, err := s.table(ctx, s.home.topic); err != nil {
		return err
	}
	w := s.prepare([]*table{s.home}, []messaging.Write{{Topic: s.home.topic, Records: records}})
	err := s.quickly(ctx, w)
	if err != nil && pgconn.RefusesData(err) {
		err = s.sifting(ctx, w)
	}
	if err != nil {
		return s.failed("write to", err)
	}
	return w.refusals()
}

// failed tells what was being done, and looks at the table again next time: its columns may have changed.
func (s *sink) failed(doing string, err error) error {
	if pgconn.Mistaken(err) {
		clear(s.tables)
		if t, again := s.c.find(context.Background(), s.home.topic); again == nil && t != nil {
			s.home = t
		}
	}
	return at(s.home.topic, doing, err)
}

// A work is what one transaction writes: rows that can be tried, and those that were refused.
type work struct {
	parts  []*part
	failed []messaging.WriteFailure // indices run over all writes, in order
}

// prepare makes rows of records. What cannot be a row is refused without asking the database.
func (s *sink) prepare(tables []*table, writes []messaging.Write) *work {
	w, from := &work{}, 0
	for i, write := range writes {
		w.parts = append(w.parts, s.parts(tables[i], write.Records, from, w.refuse)...)
		from += len(write.Records)
	}
	return w
}

func (w *work) refuse(index int, err error) {
	w.failed = append(w.failed, messaging.WriteFailure{Index: index, Permanent: true, Err: err})
}

func (w *work) refusals() error {
	if len(w.failed) == 0 {
		return nil
	}
	slices.SortFunc(w.failed, func(a, b messaging.WriteFailure) int { return a.Index - b.Index })
	return &messaging.WriteError{Failed: w.failed}
}

// quickly writes all in one round trip, which is one transaction.
func (s *sink) quickly(ctx context.Context, w *work) error {
	ctx, cancel := s.c.limit(ctx)
	defer cancel()
	b := &pgx.Batch{}
	for _, p := range w.parts {
		sql, args := p.statement(0, p.len())
		b.Queue(sql, args...)
	}
	return s.c.pool.SendBatch(ctx, b).Close()
}

// sifting writes all that the database takes, row by row where it must, in one transaction.
func (s *sink) sifting(ctx context.Context, w *work) error {
	return s.transaction(ctx, func(tx pgx.Tx) error {
		for _, p := range w.parts {
			if err := s.sift(ctx, tx, p, 0, p.len(), w); err != nil {
				return err
			}
		}
		return nil
	})
}

// transaction runs statements, each under its own deadline. Constraints that would only be checked at its end are checked at once, so that
// they name a row.
func (s *sink) transaction(ctx context.Context, body func(pgx.Tx) error) error {
	limited, cancel := s.c.limit(ctx)
	defer cancel()
	conn, err := s.c.pool.Acquire(limited)
	if err != nil {
		return err
	}
	defer conn.Release()
	tx, err := conn.Begin(limited)
	if err != nil {
		return err
	}
	defer func() { _ = s.step(ctx, tx.Rollback) }()
	if err := s.exec(ctx, tx, "set constraints all immediate"); err != nil {
		return err
	}
	if err := body(tx); err != nil {
		return err
	}
	return s.step(ctx, tx.Commit)
}

func (s *sink) step(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := s.c.limit(ctx)
	defer cancel()
	return do(ctx)
}

func (s *sink) exec(ctx context.Context, tx pgx.Tx, sql string, args ...any) error {
	return s.step(ctx, func(ctx context.Context) error {
		_, err := tx.Exec(ctx, sql, args...)
		return err
	})
}

// sift writes rows from to to of a part, by halves if the database refuses some of them.
func (s *sink) sift(ctx context.Context, tx pgx.Tx, p *part, from, to int, w *work) error {
	if from == to {
		return nil
	}
	sql, args := p.statement(from, to)
	err := s.step(ctx, func(ctx context.Context) error { return try(ctx, tx, sql, args) })
	switch {
	case err == nil:
		return nil
	case !pgconn.RefusesData(err):
		return err
	case to-from == 1:
		w.refuse(p.index[from], fmt.Errorf("table %s: %s", p.t.topic, pgconn.Reason(err)))
		return nil
	}
	middle := (from + to) / 2
	if err := s.sift(ctx, tx, p, from, middle, w); err != nil {
		return err
	}
	return s.sift(ctx, tx, p, middle, to, w)
}

// try runs a statement so that the transaction outlives its failure, in one round trip and a half.
func try(ctx context.Context, tx pgx.Tx, sql string, args []any) error {
	b := &pgx.Batch{}
	b.Queue("savepoint tried")
	b.Queue(sql, args...)
	b.Queue("release savepoint tried")
	err := tx.SendBatch(ctx, b).Close()
	if err != nil && pgconn.Code(err) != "" {
		if _, back := tx.Exec(ctx, "rollback to savepoint tried"); back != nil {
			return back
		}
	}
	return err
}
