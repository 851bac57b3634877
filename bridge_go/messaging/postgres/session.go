package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// A session is a connection that is kept, because it holds the advisory lock of a group's one reader, or a cursor. A lost one is
// opened again by whoever needs it next, and finds out whether somebody else has the lock by then.
type session struct {
	c     *connection
	topic string
	group string // empty: no lock
	free  chan *pgx.Conn
	had   bool // the lock was ours before
}

func (c *connection) session(topic, group string) *session {
	s := &session{c: c, topic: topic, group: group, free: make(chan *pgx.Conn, 1)}
	s.free <- nil
	return s
}

// do lends the connection to one caller at a time, for one round trip or a few.
func (s *session) do(ctx context.Context, work func(context.Context, *pgx.Conn) error) error {
	ctx, cancel := s.patient(ctx)
	defer cancel()
	var conn *pgx.Conn
	select {
	case conn = <-s.free:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { s.free <- conn }()
	if s.c.isClosed() {
		return messaging.ErrClosed
	}
	if conn == nil || conn.IsClosed() {
		opened, err := s.open(ctx)
		if err != nil {
			return err
		}
		conn = opened
	}
	return work(ctx, conn)
}

// grace is how long a round trip may outlive its caller's context: ending it sooner costs the connection, and with it the lock.
const grace = 100 * time.Millisecond

func (s *session) patient(ctx context.Context) (context.Context, context.CancelFunc) {
	limited, cancel := s.c.limit(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })
	return limited, func() { stop(); cancel() }
}

func (s *session) open(ctx context.Context) (*pgx.Conn, error) {
	lent, err := s.c.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	conn := lent.Hijack() // the pool opens another in its place
	if s.group == "" {
		return conn, nil
	}
	if err = s.lock(ctx, conn); err != nil {
		_ = conn.Close(ctx)
		return nil, err
	}
	s.had = true
	return conn, nil
}

// lock takes the group's lock. A server needs a moment to notice that the session which held it is gone, so a lock that was
// ours is tried for longer.
func (s *session) lock(ctx context.Context, conn *pgx.Conn) error {
	patience := 300 * time.Millisecond
	if s.had {
		patience = 3 * time.Second
	}
	for end := time.Now().Add(patience); ; {
		var mine bool
		err := conn.QueryRow(ctx, "select pg_try_advisory_lock(hashtextextended($1, 0))", s.c.schema+"\n"+s.topic+"\n"+s.group).Scan(&mine)
		if err != nil || mine {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("postgres: %s, group %s: another session holds its lock: %w", s.topic, s.group, messaging.ErrBusy)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// close waits for who works with the connection, within the context.
func (s *session) close(ctx context.Context) {
	ctx, cancel := s.c.limit(ctx)
	defer cancel()
	select {
	case conn := <-s.free:
		if conn != nil {
			_ = conn.Close(ctx) // the server frees the lock with the session
		}
		s.free <- nil
	case <-ctx.Done():
	}
}

func isBusy(err error) bool { return errors.Is(err, messaging.ErrBusy) }
