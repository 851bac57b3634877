package postgres

import (
	"context"
	"fmt"
	"math"

	"github.com/jackc/pgx/v5"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// What one statement fetches at most: events, and bytes as far as the size of rows is known from those before.
const (
	fetchEvents = 2000
	fetchBytes  = 4 << 20
)

// A reader reads a table behind an offset, in order, up to its horizon.
type reader struct {
	*plan
	last    int64 // the offset of the last record read
	horizon horizon
	width   int // of a row, as seen lately
}

func newReader(p *plan, last int64) *reader {
	return &reader{plan: p, last: last, width: 4 << 10, horizon: horizon{t: p.t, column: p.column, final: nowhere, newest: nowhere}}
}

// fetch reads some records behind the last one, none if there are none yet. Limit is at least one. The horizon is asked for only when all
// below it has been read: whoever catches up reads at the speed of its index.
func (r *reader) fetch(ctx context.Context, q querier, limit int) ([]messaging.Record, error) {
	limit = max(1, min(limit, fetchEvents, fetchBytes/r.width))
	if !r.exact {
		return r.rows(ctx, q, limit)
	}
	if r.last >= r.horizon.final {
		b := &pgx.Batch{}
		r.horizon.ask(b)
		answers := q.SendBatch(ctx, b)
		err := r.horizon.look(answers)
		if closed := answers.Close(); err == nil {
			err = closed
		}
		if err != nil || r.last >= r.horizon.final {
			return nil, err
		}
	}
	return r.rows(ctx, q, limit)
}

func (r *reader) rows(ctx context.Context, q querier, limit int) ([]messaging.Record, error) {
	from, to, rank := r.last, r.horizon.final, rank{}
	if !r.exact {
		to = math.MaxInt64
	}
	if r.times {
		from, rank, limit = resumeRank(r.last, limit)
		to = math.MaxInt64 >> rankBits
	}
	rows, err := q.Query(ctx, r.sql, from, to, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []messaging.Record
	bytes := 0
	for rows.Next() {
		record, err := scan(rows)
		if err != nil {
			return nil, err
		}
		if r.times {
			if record.Offset, err = rank.of(record.Offset); err != nil {
				return nil, fmt.Errorf("postgres: %s: %w", r.t.topic, err)
			}
			if record.Offset <= r.last {
				continue
			}
		}
		bytes += len(record.Key) + len(record.Value) + 64
		found = append(found, record)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	if n := len(found); n > 0 {
		r.last, r.width = found[n-1].Offset, max(1, bytes/n)
	} else if r.exact {
		r.last = r.horizon.final // all up to there is final and there is nothing: rows were deleted
	}
	return found, nil
}

func scan(rows pgx.Rows) (messaging.Record, error) {
	var record messaging.Record
	var micros *int64
	var headers *string
	if err := rows.Scan(&record.Offset, &record.Key, &record.Value, &micros, &headers); err != nil {
		return record, err
	}
	if micros != nil {
		record.Time = *micros * 1000
	}
	if headers != nil {
		var err error
		if record.Headers, err = readHeaders([]byte(*headers)); err != nil {
			record.Fault = &messaging.Fault{Code: "bad_headers", Reason: err.Error()}
		}
	}
	return record, nil
}

// Offsets of times are microseconds since 2000 and, in the lowest bits, the rank among rows of the same moment.
const rankBits = 12

type rank struct{ moment, next int64 }

// resumeRank finds the moment of an offset and how many more rows to ask for, because those of this moment are read again.
func resumeRank(last int64, limit int) (from int64, r rank, wider int) {
	if last == nowhere {
		return -epoch * 1_000_000, rank{moment: nowhere}, limit // years before 1970 have no place
	}
	return last >> rankBits, rank{moment: nowhere}, limit + int(last&(1<<rankBits-1)) + 1
}

func (r *rank) of(moment int64) (int64, error) {
	if moment != r.moment {
		r.moment, r.next = moment, 0
	}
	if r.next >= 1<<rankBits {
		return 0, fmt.Errorf("more than %d rows have the same time: read by another column", 1<<rankBits)
	}
	r.next++
	return moment<<rankBits | (r.next - 1), nil
}
