package front

import (
	"context"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// A source reads rows of requests as events: partition 0, offsets counted through the life of the front.
type source struct{ queue *queue }

func (q *queue) open() messaging.Source {
	q.signal() // what a former reader was woken for
	return source{q}
}

// Read returns as soon as there is one row: a batch fills while the workers are busy, never by waiting.
func (s source) Read(ctx context.Context, limit messaging.Limit) ([]messaging.Record, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		rows, err := s.queue.take(limit)
		if len(rows) > 0 || err != nil {
			return rows, err
		}
		select {
		case <-s.queue.wake:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Commit has nothing to note: a row that a dead bridge had not answered is its client's to send again.
func (s source) Commit(context.Context, []messaging.Position) error { return nil }

// Lag is the number of rows that no worker has yet.
func (s source) Lag(context.Context) int64 { return s.queue.lag() }

// Close keeps the line for the next source. What the route had taken and not settled comes again.
func (s source) Close(context.Context) error {
	s.queue.giveBack()
	return nil
}
