package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/providers"
)

func write(topic string, values ...string) messaging.Write {
	return messaging.Write{Topic: topic, Records: outgoing(values...)}
}

func settled(offset int64) []messaging.Position { return []messaging.Position{{Offset: offset}} }

func TestRowsOfSeveralTablesAndThePositionAreOneTransaction(t *testing.T) { // DELIVERY 26
	r := newRig(t)
	r.exec("create table scores (n int primary key)")
	c := r.connect("create", "true")
	s := r.sink(c, "scores")
	r.sink(c, "dead")
	r.must(s.Transact(r.ctx, []messaging.Write{write("scores", `{"n": 1}`), write("dead", "poison")}, settled(5)))
	err := s.Transact(r.ctx, []messaging.Write{write("scores", `{"n": 2}`, `{"n": 1}`, `x`), write("dead", "more"), write("scores", `{"n": 3}`, `{"n": "y"}`)}, settled(9))
	r.refused(err, map[int]string{1: "duplicate key", 2: "JSON object", 5: "invalid input syntax"})
	r.want(r.rows("select (select count(*) from scores), (select count(*) from dead), (select position from ds_positions)"), "1 1 5")
}

func TestAZombieWritesNothing(t *testing.T) { // FAULTS T6
	r := newRig(t)
	r.exec("create table scores (n int)")
	zombie := r.sink(r.connect(), "scores")
	_, err := zombie.Positions(r.ctx, []int32{0})
	r.must(err)
	r.must(zombie.Transact(r.ctx, []messaging.Write{write("scores", `{"n": 1}`)}, settled(1)))
	heir := r.sink(r.connect(), "scores")
	kept, err := heir.Positions(r.ctx, []int32{0})
	r.must(err)
	r.want(fmt.Sprint(kept), "map[0:1]")
	for range 2 { // before the heir has written, and again
		if err := zombie.Transact(r.ctx, []messaging.Write{write("scores", `{"n": 666}`)}, settled(2)); !errors.Is(err, messaging.ErrFenced) {
			t.Fatalf("got %v, want ErrFenced", err)
		}
	}
	r.must(heir.Transact(r.ctx, []messaging.Write{write("scores", `{"n": 2}`)}, settled(2)))
	r.want(r.rows("select n from scores order by n"), "1; 2")
}

// Two processes, and neither has asked for positions: the first position belongs to one of them.
func TestTheFirstPositionIsMadeOnce(t *testing.T) {
	r := newRig(t)
	r.exec("create table scores (n int)")
	one, two := r.sink(r.connect(), "scores"), r.sink(r.connect(), "scores")
	r.must(one.Transact(r.ctx, []messaging.Write{write("scores", `{"n": 1}`)}, settled(1)))
	if err := two.Transact(r.ctx, []messaging.Write{write("scores", `{"n": 1}`)}, settled(1)); !errors.Is(err, messaging.ErrFenced) {
		t.Fatalf("got %v, want ErrFenced", err)
	}
	r.want(r.rows("select count(*) from scores"), "1")
}

// An heir that asks for positions while the zombie's transaction is ending waits for it: what it is told is final.
func TestPositionsAreFinal(t *testing.T) {
	r := newRig(t)
	r.exec("create table scores (n int)")
	zombie, heir := r.sink(r.connect(), "scores"), r.sink(r.connect(), "scores")
	_, err := zombie.Positions(r.ctx, []int32{0})
	r.must(err)
	_, ending := r.begin()
	ending("update ds_positions set position = 7")
	told := make(chan map[int32]int64, 1)
	go func() {
		kept, _ := heir.Positions(r.ctx, []int32{0})
		told <- kept
	}()
	r.waiting("ds_positions")
	ending("commit")
	if kept := <-told; !maps.Equal(kept, map[int32]int64{0: 7}) {
		t.Fatalf("told %v", kept)
	}
}

// waiting waits until somebody waits for a lock on a row of a table.
func (r *rig) waiting(table string) {
	r.Helper()
	for r.rows("select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like '%"+r.schema+"%"+table+"%' and pid <> pg_backend_pid()") == "0" {
		if r.ctx.Err() != nil {
			r.Fatal("nobody waits")
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func TestABackendThatDiesInTheTransactionStoresNothingOrAll(t *testing.T) {
	r := newRig(t)
	r.exec("create table scores (n int)")
	s := r.sink(r.connect(), "scores")
	_, err := s.Positions(r.ctx, []int32{0})
	r.must(err)
	_, holds := r.begin()
	holds("lock table scores in access exclusive mode") // so that the insert stands in the middle
	ended := make(chan error, 1)
	go func() { ended <- s.Transact(r.ctx, []messaging.Write{write("scores", `{"n": 1}`)}, settled(1)) }()
	r.waiting("scores")
	r.exec("select pg_terminate_backend(pid) from pg_stat_activity where wait_event_type = 'Lock' and query like '%" + r.schema + "%scores%' and pid <> pg_backend_pid()")
	var refused *messaging.WriteError
	if err := <-ended; err == nil || errors.As(err, &refused) || errors.Is(err, messaging.ErrFenced) {
		t.Fatalf("got %v, want that it cannot be told", err)
	}
	holds("rollback")
	r.want(r.rows("select count(*) from scores"), "0")
	kept, err := s.Positions(r.ctx, []int32{0}) // the caller starts again from the table
	r.must(err)
	r.want(fmt.Sprint(kept), "map[]")
	r.must(s.Transact(r.ctx, []messaging.Write{write("scores", `{"n": 1}`)}, settled(1)))
	r.want(r.rows("select count(*) from scores"), "1")
}

func TestASourceWhoseSessionIsKilledReadsOn(t *testing.T) {
	r := newRig(t)
	c := r.connect("create", "true")
	r.must(r.sink(c, "in").Write(r.ctx, outgoing("0", "1")))
	s := r.source(c, "in", "g")
	first := r.read(s, 1)
	r.exec("select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and pid <> pg_backend_pid()")
	if err := s.Commit(r.ctx, []position{{Offset: first[0].Offset}}); err != nil {
		r.must(s.Commit(r.ctx, []position{{Offset: first[0].Offset}})) // the first found the session dead
	}
	r.want(values(r.read(s, 1)), "1")
}

func TestAReaderThatSleptOverASeekCannotUndoIt(t *testing.T) {
	r := newRig(t)
	c := r.connect("create", "true")
	r.must(r.sink(c, "in").Write(r.ctx, outgoing("0", "1")))
	s := r.source(c, "in", "g")
	got := r.read(s, 2)
	r.must(s.Commit(r.ctx, []position{{Offset: got[0].Offset}}))
	r.exec("update ds_groups set generation = generation + 1, position = 0")
	if err := s.Commit(r.ctx, []position{{Offset: got[1].Offset}}); !errors.Is(err, messaging.ErrFenced) {
		t.Fatalf("got %v, want ErrFenced", err)
	}
	r.want(r.rows("select position from ds_groups"), "0")
}

func TestASeekIsRefusedWhileSomebodyReads(t *testing.T) {
	r := newRig(t)
	c := r.connect("create", "true")
	r.must(r.sink(c, "in").Write(r.ctx, outgoing("0")))
	r.source(c, "in", "g")
	if _, err := r.connect().Seek(r.ctx, "in", "g", messaging.Target{Kind: messaging.TargetOldest}, false); !errors.Is(err, messaging.ErrBusy) {
		t.Fatalf("got %v, want ErrBusy", err)
	}
}

// A server that stands still makes every call an error within its deadline, and nothing is lost when it goes on.
func TestAServerThatStandsStillHangsNobody(t *testing.T) {
	server := providers.Own(t, "postgres")
	r := &rig{T: t, url: server.URL, schema: "public"}
	var cancel context.CancelFunc
	r.ctx, cancel = context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	c := r.connect("create", "true", "timeout", "2s")
	s := r.sink(c, "in")
	r.must(s.Transact(r.ctx, []messaging.Write{write("in", "0")}, settled(0)))
	in := r.source(c, "in", "g")
	got := r.read(in, 1)
	server.Pause()
	for name, call := range map[string]func() error{
		"write":     func() error { return s.Write(r.ctx, outgoing("x")) },
		"transact":  func() error { return s.Transact(r.ctx, []messaging.Write{write("in", "y")}, settled(1)) },
		"positions": func() error { _, err := s.Positions(r.ctx, nil); return err },
		"read":      func() error { _, err := in.Read(r.ctx, messaging.Limit{Events: 1, Bytes: 1}); return err },
		"commit":    func() error { return in.Commit(r.ctx, []position{{Offset: got[0].Offset}}) },
		"browse":    func() error { _, _, err := c.Browse(r.ctx, "in", messaging.Oldest, 1); return err },
	} {
		began := time.Now()
		if err := call(); err == nil || time.Since(began) > 15*time.Second {
			t.Errorf("%s: %v after %v", name, err, time.Since(began))
		}
	}
	server.Resume()
	for s.Write(r.ctx, outgoing("1")) != nil && r.ctx.Err() == nil {
		time.Sleep(10 * time.Millisecond)
	}
	for {
		records, err := in.Read(r.ctx, messaging.Limit{Events: 10, Bytes: 1 << 20})
		if err == nil && string(records[len(records)-1].Value) == "1" {
			break
		}
		if r.ctx.Err() != nil {
			t.Fatalf("the source does not recover: %v", err)
		}
	}
}
