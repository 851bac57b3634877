package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	database "ds-runner.dev/ds-runner/bridge_go/data/pgconn"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/steps"
)

// held is a partition as this process has claimed it.
type held struct {
	position *int64 // settled up to here; nil before the first
	epoch    int64
}

// topicKey is the sink's topic in ds_positions.
func (s *sink) topicKey() string { return s.home.schema + "." + s.home.name }

// Positions implements messaging.PositionKeeper. It claims the partitions: their epochs are raised, and whoever held them before
// can write nothing under them any more. The raise waits for a transaction of theirs that is just ending, so what is returned is final.
func (s *sink) Positions(ctx context.Context, partitions []int32) (map[int32]int64, error) {
	if err := s.c.ensureOwn(ctx); err != nil {
		return nil, err
	}
	claim := `insert into %[1]s as kept (grp, topic, partition, epoch) select $1, $2, partition, 1 from unnest($3::int[]) partition order by 3
		on conflict (grp, topic, partition) do update set epoch = kept.epoch + 1 returning partition, position, epoch`
	if len(partitions) == 0 {
		claim = `update %[1]s set epoch = epoch + 1 where grp = $1 and topic = $2 and $3::int[] is null returning partition, position, epoch`
		partitions = nil
	}
	ctx, cancel := s.c.limit(ctx)
	defer cancel()
	rows, err := s.c.pool.Query(ctx, fmt.Sprintf(claim, s.c.ownTable("ds_positions")), s.group, s.topicKey(), slices.Compact(slices.Sorted(slices.Values(partitions))))
	if err != nil {
		return nil, at(s.home.topic, "take over the positions of", err)
	}
	defer rows.Close()
	kept := map[int32]int64{}
	for rows.Next() {
		var partition int32
		var h held
		if err := rows.Scan(&partition, &h.position, &h.epoch); err != nil {
			return nil, err
		}
		if s.held[partition] = h; h.position != nil {
			kept[partition] = *h.position
		}
	}
	if err := rows.Err(); err != nil {
		return nil, at(s.home.topic, "take over the positions of", err)
	}
	return kept, nil
}

// Transact implements messaging.Transactor.
func (s *sink) Transact(ctx context.Context, writes []messaging.Write, upTo []messaging.Position) error {
	if s.c.isClosed() {
		return messaging.ErrClosed
	}
	if s.group == "" {
		return fmt.Errorf("postgres: %s: a position belongs to a group, and the sink has none: %w", s.home.topic, messaging.ErrNotSupported)
	}
	if err := s.c.ensureOwn(ctx); err != nil {
		return err
	}
	tables := make([]*table, len(writes))
	for i, write := range writes {
		var err error
		if tables[i], err = s.table(ctx, write.Topic); err != nil {
			return err
		}
	}
	w := s.prepare(tables, writes)
	m := s.moves(upTo)
	err := error(nil)
	if len(w.failed) == 0 {
		if err = s.together(ctx, w, m); err == nil {
			steps.At(steps.TransactionSent) // it is carried out, and only the database knows
			s.keep(m)
			return nil
		}
	}
	if err == nil || database.RefusesData(err) {
		return s.trial(ctx, w)
	}
	return s.failed("write to", err)
}

// moves are the steps of positions that one transaction makes, from where this process knows them.
type moves struct {
	partitions   []int32
	old          []*int64
	next, epochs []int64
}

func (s *sink) moves(upTo []messaging.Position) moves {
	furthest := map[int32]int64{}
	for _, p := range upTo {
		if before, known := furthest[p.Partition]; !known || p.Offset > before {
			furthest[p.Partition] = p.Offset
		}
	}
	var m moves
	for _, partition := range slices.Sorted(maps.Keys(furthest)) {
		h := s.held[partition]
		if h.position != nil && furthest[partition] <= *h.position {
			continue // settled before
		}
		m.partitions, m.next = append(m.partitions, partition), append(m.next, furthest[partition])
		m.old, m.epochs = append(m.old, h.position), append(m.epochs, h.epoch)
	}
	return m
}

func (s *sink) keep(m moves) {
	for i, partition := range m.partitions {
		s.held[partition] = held{position: &m.next[i], epoch: m.epochs[i]}
	}
}

const stepRows = `unnest($3::int[], $4::bigint[], $5::bigint[], $6::bigint[]) as step (partition, old, next, epoch)`

// firstMove makes the rows of partitions that nobody has claimed, not this process either: whoever is first has them.
const firstMove = `insert into %s (grp, topic, partition, position, epoch)
	select $1, $2, partition, next, 0 from ` + stepRows + ` where old is null and epoch = 0 order by partition
	on conflict do nothing`

// nextMove moves from the old position, under an epoch that is still mine. The database checks this again when it had to wait for
// another transaction on the row.
const nextMove = `update %s as kept set position = step.next, epoch = step.epoch from ` + stepRows + `
	where kept.grp = $1 and kept.topic = $2 and kept.partition = step.partition and not (step.old is null and step.epoch = 0)
	and kept.position is not distinct from step.old and kept.epoch <= step.epoch`

// together writes rows and moves positions in one transaction. A step that cannot be made undoes all of it.
func (s *sink) together(ctx context.Context, w *work, m moves) error {
	return s.transaction(ctx, func(tx pgx.Tx) error {
		b := &pgx.Batch{}
		for _, p := range w.parts {
			sql, args := p.statement(0, p.len())
			b.Queue(sql, args...)
		}
		moved := int64(0)
		for _, sql := range []string{firstMove, nextMove} {
			sql = fmt.Sprintf(sql, s.c.ownTable("ds_positions"))
			b.Queue(sql, s.group, s.topicKey(), m.partitions, m.old, m.next, m.epochs).Exec(func(tag pgconn.CommandTag) error {
				moved += tag.RowsAffected()
				return nil
			})
		}
		if err := s.step(ctx, func(ctx context.Context) error { return tx.SendBatch(ctx, b).Close() }); err != nil {
			return err
		}
		if moved != int64(len(m.partitions)) {
			return messaging.ErrFenced
		}
		steps.At(steps.TransactionEnd)
		return nil
	})
}

// trial finds every row that the database refuses, and stores nothing.
func (s *sink) trial(ctx context.Context, w *work) error {
	err := s.transaction(ctx, func(tx pgx.Tx) error {
		for _, p := range w.parts {
			if err := s.sift(ctx, tx, p, 0, p.len(), w); err != nil {
				return err
			}
		}
		return errTrial
	})
	if !errors.Is(err, errTrial) {
		return s.failed("write to", err)
	}
	if err := w.refusals(); err != nil {
		return err
	}
	return s.failed("write to", errors.New("the database refused the rows together and takes them one by one"))
}

// errTrial ends a transaction that nothing may come of.
var errTrial = errors.New("a trial")
