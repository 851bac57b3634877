package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// queryOf is the text of a topic such as query:select * from flights order by id.
func queryOf(topic string) (string, bool) {
	text, found := strings.CutPrefix(topic, "query:")
	return strings.TrimRight(strings.TrimSpace(text), ";"), found
}

// fingerprint stands for a query where an incarnation or a topic's name is asked for.
func fingerprint(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "query-" + hex.EncodeToString(sum[:8])
}

// wholeTable reads a table in the order of its primary key, so that a position means the same the next time.
func wholeTable(t *table) string {
	text := "select " + keyOf(t) + ", " + rowOf(t) + " from " + t.sql() + " t"
	if len(t.primary) > 0 {
		text += " order by " + strings.Join(quoteAll(t.primary), ", ")
	}
	return text
}

// wrapped makes a user's query give keys and values. Its columns are described first, because bytea needs its own words.
func wrapped(ctx context.Context, conn *pgx.Conn, text string) (string, error) {
	description, err := conn.PgConn().Prepare(ctx, "", text, nil)
	if err != nil {
		return "", err
	}
	if len(description.ParamOIDs) > 0 {
		return "", fmt.Errorf("the query has parameters, and there is nobody to give them")
	}
	rows := &table{}
	for _, field := range description.Fields {
		kind := "text"
		if field.DataTypeOID == byteaOID {
			kind = "bytea"
		}
		rows.columns = append(rows.columns, column{name: field.Name, kind: kind})
	}
	return "select null::bytea, " + rowOf(rows) + " from (" + text + ") t", nil
}

const byteaOID = 17

// A querySource reads the rows of a query once, through a cursor of the server in one read-only transaction, and ends. The
// offset is the number of the row, from 0: a group goes on behind its position only if the query gives the same order
// again, so give it an order by.
type querySource struct {
	c       *connection
	session *session
	group   *group
	text    string
	user    bool // the query is the user's
	next    int64
	topic   string

	opened bool
	ahead  []messaging.Record
	ended  bool

	mu        sync.Mutex
	keeper    *session
	committed int64

	once   sync.Once
	closed chan struct{}
}

func (c *connection) openQuery(ctx context.Context, sc messaging.SourceConfig, topic, incarnation, text string) (messaging.Source, error) {
	_, user := queryOf(sc.Topic)
	if user {
		topic = incarnation
	}
	q := &querySource{
		c: c, text: text, user: user, topic: topic, committed: nowhere, closed: make(chan struct{}),
		session: c.session(topic, ""), keeper: c.session(topic, sc.Group),
	}
	err := q.keeper.do(ctx, func(ctx context.Context, conn *pgx.Conn) (err error) {
		q.group, err = c.group(ctx, sc.Group, topic, incarnation, conn)
		return err
	})
	if err == nil {
		q.next, err = begin(ctx, sc, q.group.position)
		q.next = max(q.next, -1) + 1
	}
	if err != nil {
		q.keeper.close(ctx)
		return nil, err
	}
	return q, nil
}

// Read implements messaging.Source.
func (q *querySource) Read(ctx context.Context, limit messaging.Limit) ([]messaging.Record, error) {
	for {
		if err := q.stopped(ctx); err != nil {
			return nil, err
		}
		if len(q.ahead) > 0 {
			n := fit(q.ahead, limit)
			found := q.ahead[:n:n]
			q.ahead = q.ahead[n:]
			return found, nil
		}
		if q.ended {
			return nil, io.EOF
		}
		if err := q.session.do(ctx, q.fill); err != nil {
			if stopped := q.stopped(ctx); stopped != nil {
				return nil, stopped
			}
			return nil, at(q.topic, "read", err)
		}
	}
}

func (q *querySource) fill(ctx context.Context, conn *pgx.Conn) error {
	if !q.opened || conn.PgConn().TxStatus() != 'T' {
		if err := q.declare(ctx, conn); err != nil {
			return err
		}
	}
	rows, err := conn.Query(ctx, fmt.Sprintf("fetch %d from ds_rows", fetchQuery), pgx.QueryExecModeExec)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		record := messaging.Record{Offset: q.next}
		if err := rows.Scan(&record.Key, &record.Value); err != nil {
			return err
		}
		q.ahead = append(q.ahead, record)
		q.next++
	}
	q.ended = rows.Err() == nil && len(q.ahead) == 0
	return rows.Err()
}

// fetchQuery is how many rows are fetched at a time.
const fetchQuery = 500

// declare opens the cursor behind the last row that was read. The session may have been lost, and the snapshot with it.
func (q *querySource) declare(ctx context.Context, conn *pgx.Conn) error {
	text := q.text
	if q.user {
		var err error
		if text, err = wrapped(ctx, conn, q.text); err != nil {
			return err
		}
	}
	sql := fmt.Sprintf(`rollback; begin isolation level repeatable read read only; set local idle_in_transaction_session_timeout = 0;
		declare ds_rows no scroll cursor for %s; move forward %d in ds_rows`, text, q.next)
	_, err := conn.PgConn().Exec(ctx, sql).ReadAll()
	q.opened = err == nil
	return err
}

func (q *querySource) stopped(ctx context.Context) error {
	select {
	case <-q.closed:
		return messaging.ErrClosed
	case <-q.c.closed:
		return messaging.ErrClosed
	default:
		return ctx.Err()
	}
}

// Commit implements messaging.Source.
func (q *querySource) Commit(ctx context.Context, upTo []messaging.Position) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	moved := q.committed
	for _, p := range upTo {
		moved = max(moved, p.Offset)
	}
	if moved == q.committed || q.group.name == "" {
		return nil
	}
	err := q.keeper.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return q.group.save(ctx, conn, moved, nil, nil)
	})
	if err == nil {
		q.committed = moved
		return nil
	}
	return at(q.topic, "commit", err)
}

// Lag implements messaging.Source. How many rows a query has is known when they have been read.
func (q *querySource) Lag(context.Context) int64 { return -1 }

// Close implements messaging.Source.
func (q *querySource) Close(ctx context.Context) error {
	q.once.Do(func() {
		close(q.closed)
		q.session.close(ctx)
		q.keeper.close(ctx)
	})
	return nil
}
