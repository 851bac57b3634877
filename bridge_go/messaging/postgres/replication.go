package postgres

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// A replication is a source of a table's changes from the server's log: inserts and updates are the new row, deletes a null value
// under the row's key, and an update of the key both. The header ds-change says which, and ds-unchanged names large values that were
// not changed and hence not sent. The time is that of the commit. What was in the table before the slot was made is not in it.
//
// # Offsets
//
// Transactions come whole, in the order of their commits, and always in the same order from the same place on. The first change of one has
// the place of the commit in the log as its offset, or the offset behind the last one if that is greater (a long transaction runs
// ahead of the log), and those behind it count on. So offsets increase, and are the same when they are read again, as long as reading
// begins between the same two transactions with the same last offset. This is what the group's row keeps: the position, and the boundary, which is the end of the
// last transaction that is settled whole, with its last offset. What was settled behind the boundary is passed over.
//
// The server is told of a boundary only when its row is stored, so it never drops what a restart would need.
type replication struct {
	c       *connection
	t       *table
	keeper  *session
	group   *group
	members map[uint32]bool // the table and its partitions

	ahead   []messaging.Record // of Read
	running *receiver          // of Read; nil when there is none

	mu       sync.Mutex
	marks    []mark // boundaries that are not settled yet, ascending
	settled  int64
	boundary mark          // settled and stored
	pushed   int64         // the last offset that Read has or will have
	ended    chan struct{} // closed when the last receiver has ended

	once   sync.Once
	closed chan struct{}
}

// A mark is a place between two transactions, and the last offset before it.
type mark struct {
	offset int64
	end    lsn
}

func (c *connection) openReplication(ctx context.Context, sc messaging.SourceConfig, t *table) (messaging.Source, error) {
	stands, fresh, err := c.ensureSlot(ctx, t)
	if err != nil {
		return nil, at(t.topic, "replicate", err)
	}
	name := t.schema + "." + t.name
	s := &replication{c: c, t: t, keeper: c.session(name, sc.Group), closed: make(chan struct{}), members: map[uint32]bool{t.oid: true}}
	err = s.keeper.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		if s.group, err = c.group(ctx, sc.Group, name, t.incarnation(), conn); err != nil {
			return err
		}
		return s.findMembers(ctx, conn)
	})
	if err == nil {
		err = s.begin(ctx, sc, stands, fresh)
	}
	if err != nil {
		s.keeper.close(ctx)
		return nil, at(t.topic, "replicate", err)
	}
	return s, nil
}

func (s *replication) findMembers(ctx context.Context, q querier) error {
	rows, _ := q.Query(ctx, "select relid::oid from pg_partition_tree($1::oid::regclass)", s.t.oid)
	oids, err := pgx.CollectRows(rows, pgx.RowTo[uint32])
	for _, oid := range oids {
		s.members[oid] = true
	}
	return err
}

func (s *replication) begin(ctx context.Context, sc messaging.SourceConfig, stands lsn, fresh bool) error {
	from, err := s.c.resume(s.group, stands, fresh)
	if err != nil {
		return err
	}
	settled, err := begin(ctx, sc, s.group.position)
	if err != nil {
		return err
	}
	s.boundary = mark{offset: max(s.group.boundaryAt, 0), end: from}
	if sc.Start != nil && settled < s.boundary.offset && settled != nowhere {
		return &messaging.GapError{Topic: s.t.topic, Group: sc.Group, Want: settled, Have: s.boundary.offset} // dropped at our own word
	}
	s.settled = max(settled, s.boundary.offset)
	s.pushed = s.settled
	return nil
}

// Read implements messaging.Source.
func (s *replication) Read(ctx context.Context, limit messaging.Limit) ([]messaging.Record, error) {
	for len(s.ahead) == 0 {
		if err := s.stopped(ctx); err != nil {
			return nil, err
		}
		if s.running == nil {
			if err := s.run(ctx); err != nil {
				return nil, s.explain(ctx, err)
			}
		}
		select {
		case records, ok := <-s.running.records:
			if !ok {
				err := s.running.err
				s.running = nil
				return nil, s.explain(ctx, err)
			}
			s.ahead = records
			s.gather(limit.Events)
		case <-ctx.Done():
		case <-s.closed:
		case <-s.c.closed:
		}
	}
	n := fit(s.ahead, limit)
	found := s.ahead[:n:n]
	s.ahead = s.ahead[n:]
	return found, nil
}

// gather takes what is there already: small transactions come one by one.
func (s *replication) gather(most int) {
	for len(s.ahead) < most {
		select {
		case records, ok := <-s.running.records:
			if !ok {
				s.running.records = closedRecords // its error is for the next Read
				return
			}
			s.ahead = append(s.ahead, records...)
		default:
			return
		}
	}
}

var closedRecords = func() chan []messaging.Record {
	c := make(chan []messaging.Record)
	close(c)
	return c
}()

func (s *replication) stopped(ctx context.Context) error {
	select {
	case <-s.closed:
		return messaging.ErrClosed
	case <-s.c.closed:
		return messaging.ErrClosed
	default:
		return ctx.Err()
	}
}

func (s *replication) explain(ctx context.Context, err error) error {
	if stopped := s.stopped(ctx); stopped != nil {
		return stopped
	}
	return at(s.t.topic, "replicate", err)
}

// note remembers a place between transactions, up to which all is settled when its offset is.
func (s *replication) note(m mark) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.marks); n > 0 && s.marks[n-1].offset >= m.offset {
		s.marks[n-1].end = max(s.marks[n-1].end, m.end)
		return
	}
	s.marks = append(s.marks, m)
}

// reached is the last boundary that is settled with a position, without forgetting those before.
func (s *replication) reached(settled int64) mark {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.boundary
	for _, m := range s.marks {
		if m.offset <= settled && m.end > last.end {
			last = m
		}
	}
	return last
}

// Commit implements messaging.Source.
func (s *replication) Commit(ctx context.Context, upTo []messaging.Position) error {
	moved := s.isSettled()
	for _, p := range upTo {
		moved = max(moved, p.Offset)
	}
	if moved == s.isSettled() {
		return nil
	}
	return at(s.t.topic, "commit", s.store(ctx, moved))
}

func (s *replication) isSettled() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.settled
}

// store keeps a position and the boundary that it reaches, and only then lets the server know.
func (s *replication) store(ctx context.Context, settled int64) error {
	to := s.reached(settled)
	if s.group.name != "" {
		err := s.keeper.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
			text := to.end.String()
			return s.group.save(ctx, conn, settled, &text, &to.offset)
		})
		if err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settled = max(s.settled, settled)
	if to.end > s.boundary.end {
		s.boundary = to
	}
	for len(s.marks) > 0 && s.marks[0].end <= s.boundary.end {
		s.marks = s.marks[1:]
	}
	return nil
}

// confirmed is what the server may forget. Without a group nothing is kept, and nothing is forgotten.
func (s *replication) confirmed() lsn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.group.name == "" {
		return 0
	}
	return s.boundary.end
}

// Lag implements messaging.Source. How many changes are in the log nobody knows before they are decoded.
func (s *replication) Lag(context.Context) int64 { return -1 }

// Close implements messaging.Source.
func (s *replication) Close(ctx context.Context) error {
	s.once.Do(func() {
		close(s.closed)
		s.mu.Lock()
		ended := s.ended
		s.mu.Unlock()
		if ended != nil {
			select {
			case <-ended: // and with it the slot is free
			case <-ctx.Done():
			}
		}
		s.keeper.close(ctx)
	})
	return nil
}

// run starts a receiver behind the stored boundary. Its connection may take a while to be had, within Read's context.
func (s *replication) run(ctx context.Context) error {
	s.mu.Lock()
	r := &receiver{source: s, records: make(chan []messaging.Record, 4), done: make(chan struct{}), last: s.boundary.offset, skip: s.pushed}
	from := s.boundary.end
	s.marks = nil // all behind the boundary comes again
	s.mu.Unlock()
	var err error
	for end := time.Now().Add(3 * time.Second); ; {
		r.stream, err = s.c.startReplication(ctx, from)
		if err == nil || !isBusy(err) || time.Now().After(end) || ctx.Err() != nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running, s.ended = r, r.done
	go r.run()
	return nil
}

// A receiver turns one stream into records. It ends with its stream, or with the source.
type receiver struct {
	source  *replication
	stream  *stream
	records chan []messaging.Record // closed when err is set
	err     error
	done    chan struct{}

	last   int64 // offset
	skip   int64 // up to here all was handed out before
	inside bool  // a transaction
	commit int64 // its place in the log
	time   int64 // of it
	batch  []messaging.Record
	bytes  int
	told   time.Time // when the server was last told
	kept   time.Time // when a boundary was last stored without a commit
}

// How often the server hears of us, well within its wal_sender_timeout of a minute, and how often an idle source lets it forget log that had
// no changes of ours in it.
const (
	tellEvery = time.Second
	keepEvery = 10 * time.Second
)

// How long the end of a source waits for the server to read its goodbye: it may be in the midst of a long transaction.
const leaveWithin = 3 * time.Second

func (r *receiver) run() {
	defer close(r.done)
	defer close(r.records)
	wake, woken := make(chan struct{}), make(chan struct{})
	go func() { // ends a receive when the source ends
		defer close(woken)
		select {
		case <-r.source.closed:
		case <-r.source.c.closed:
		case <-wake:
		}
		_ = r.stream.conn.Conn().SetReadDeadline(time.Now())
	}()
	for r.err == nil {
		r.err = r.step()
	}
	close(wake)
	<-woken
	r.leave()
}

// leave tells the server what was settled, and waits until it has let go of the slot, if it answers.
func (r *receiver) leave() {
	if r.stream.confirm(r.source.confirmed(), time.Second) == nil {
		_ = r.stream.goodbye(min(r.source.c.dial.Timeout, leaveWithin))
	}
	ctx, cancel := r.source.c.limit(context.Background())
	defer cancel()
	_ = r.stream.conn.Close(ctx)
}

func (r *receiver) step() error {
	if r.ended() {
		return messaging.ErrClosed
	}
	if err := r.tell(false); err != nil {
		return err
	}
	message, err := r.stream.receive(time.Now().Add(tellEvery))
	if err != nil {
		return err
	}
	switch m := message.(type) {
	case walData:
		return r.change(m.body)
	case keepalive:
		if !r.inside {
			r.source.note(mark{r.last, m.sent})
		}
		return r.tell(m.reply)
	}
	return nil
}

func (r *receiver) ended() bool {
	select {
	case <-r.source.closed:
		return true
	case <-r.source.c.closed:
		return true
	default:
		return false
	}
}

// tell says to the server that we live, and from time to time moves an idle group's boundary.
func (r *receiver) tell(now bool) error {
	if !now && time.Since(r.told) < tellEvery {
		return nil
	}
	s := r.source
	if settled := s.isSettled(); time.Since(r.kept) > keepEvery && s.reached(settled).end > s.confirmed() && s.group.name != "" {
		r.kept = time.Now()
		ctx, cancel := s.c.limit(context.Background())
		defer cancel()
		if err := s.store(ctx, settled); err != nil {
			s.c.options.Log.Warn("the boundary of a slot cannot be stored", "topic", s.t.topic, "error", err)
		}
	}
	r.told = time.Now()
	return r.stream.confirm(s.confirmed(), s.c.dial.Timeout)
}

func (r *receiver) change(body []byte) error {
	e, err := decode(body)
	if err != nil {
		return err
	}
	switch e.kind {
	case 'R':
		r.stream.relations[e.relation.oid] = e.relation
	case 'B':
		r.inside, r.time, r.commit = true, (e.time+epoch*1_000_000)*1000, int64(e.lsn)
	case 'C':
		r.inside = false
		r.source.note(mark{r.last, lsn(e.lsn)}) // first: what is handed out may be settled at once
		return r.push()
	case 'T':
		for _, oid := range e.oids {
			if r.source.members[oid] {
				r.source.c.options.Log.Warn("the table was truncated: its rows are gone without a record each", "topic", r.source.t.topic)
			}
		}
	case 'I', 'U', 'D':
		return r.row(&e)
	}
	return nil
}

// What is handed over at a time at most, before the end of a transaction.
const (
	pushEvents = 500
	pushBytes  = 1 << 20
)

func (r *receiver) row(e *event) error {
	if !r.source.members[e.oid] {
		return nil
	}
	relation := r.stream.relations[e.oid]
	if relation == nil {
		return fmt.Errorf("replication: a change of table %d, which was not described", e.oid)
	}
	records, err := e.records(relation, r.source.t.primary)
	if err != nil {
		return err
	}
	for _, record := range records {
		r.last = max(r.last+1, r.commit)
		if r.last <= r.skip {
			continue
		}
		record.Offset, record.Time = r.last, r.time
		r.batch, r.bytes = append(r.batch, record), r.bytes+len(record.Key)+len(record.Value)
	}
	if len(r.batch) < pushEvents && r.bytes < pushBytes {
		return nil
	}
	return r.push()
}

// push hands records over. While nobody takes them the server still hears of us.
func (r *receiver) push() error {
	if len(r.batch) == 0 {
		return nil
	}
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for {
		select {
		case r.records <- r.batch:
			r.source.mu.Lock()
			r.source.pushed = r.batch[len(r.batch)-1].Offset
			r.source.mu.Unlock()
			r.batch, r.bytes = nil, 0
			return nil
		case <-tick.C:
			if err := r.tell(true); err != nil {
				return err
			}
		case <-r.source.closed:
			return messaging.ErrClosed
		case <-r.source.c.closed:
			return messaging.ErrClosed
		}
	}
}
