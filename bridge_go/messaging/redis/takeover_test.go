package redis

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/providers"
)

// A reader is one process's source, which can die.
type reader struct {
	*testing.T
	c       *connection
	s       *source
	revoked atomic.Int32
}

const (
	silence = 2 * time.Second // the takeover time of these tests: their keepers get the processor within it, whatever else the machine does
	group   = "program/command"
)

var hasty = map[string]string{"takeover": silence.String()}

func newReader(t *testing.T, topic, state string, settings map[string]string) *reader {
	t.Helper()
	r := &reader{T: t, c: open(t, providers.URL(t, "redis"), state, settings)}
	src, err := r.c.Source(t.Context(), messaging.SourceConfig{Topic: topic, Group: group, OnRevoke: func([]int32) { r.revoked.Add(1) }})
	if err != nil {
		t.Fatal(err)
	}
	r.s = src.(*source)
	return r
}

// die leaves all as a kill does: nothing is handed back, nobody refreshes, and locks on files are gone.
func (r *reader) die() {
	r.s.end()
	r.s.kept.Wait()
	r.s.once.Do(func() {})
	r.c.me.release()
}

func (r *reader) read(n int) []messaging.Record {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), time.Minute)
	defer cancel()
	var all []messaging.Record
	for len(all) < n {
		some, err := r.s.Read(ctx, messaging.Limit{Events: n - len(all), Bytes: 1 << 20})
		if err != nil {
			r.Fatalf("after %d of %d records: %v", len(all), n, err)
		}
		all = append(all, some...)
	}
	return all
}

// nothing wants that nothing comes for a time.
func (r *reader) nothing(d time.Duration) {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), d)
	defer cancel()
	if got, err := r.s.Read(ctx, messaging.Limit{Events: 100, Bytes: 1 << 20}); !errors.Is(err, context.DeadlineExceeded) {
		r.Fatalf("got %d records and %v, want none", len(got), err)
	}
}

func (r *reader) commit(last messaging.Record) {
	r.Helper()
	if err := r.s.Commit(r.Context(), []messaging.Position{{Offset: last.Offset, Epoch: last.Epoch}}); err != nil {
		r.Fatal(err)
	}
}

func (r *reader) pending() int64 {
	r.Helper()
	g, err := r.c.group(r.Context(), r.s.topic, group)
	if err != nil {
		r.Fatal(err)
	}
	return g.pending
}

func write(t *testing.T, topic string, from, n int) {
	t.Helper()
	c := open(t, providers.URL(t, "redis"), "", nil)
	defer c.Close(context.Background())
	s, err := c.Sink(t.Context(), messaging.SinkConfig{Topic: topic})
	if err != nil {
		t.Fatal(err)
	}
	records := make([]messaging.Outgoing, n)
	for i := range records {
		records[i].Value = fmt.Append(nil, from+i)
	}
	if err := s.Write(t.Context(), records); err != nil {
		t.Fatal(err)
	}
}

func wantValues(t *testing.T, got []messaging.Record, from, n int) {
	t.Helper()
	if len(got) != n {
		t.Fatalf("got %d records, want %d", len(got), n)
	}
	for i, r := range got {
		if string(r.Value) != fmt.Sprint(from+i) {
			t.Fatalf("record %d is %s, want %d", i, r.Value, from+i)
		}
		if i > 0 && r.Epoch == got[i-1].Epoch && r.Offset <= got[i-1].Offset {
			t.Fatalf("offset %d after %d in one assignment", r.Offset, got[i-1].Offset)
		}
	}
}

func TestEntriesOfTheDeadAreTakenOverOnceTheyAreIdle(t *testing.T) {
	topic := newTopic(t)
	write(t, topic, 0, 20)
	dead := newReader(t, topic, "", hasty)
	first := dead.read(10)
	dead.commit(first[3])
	living := newReader(t, topic, "", hasty)
	own := living.read(10) // the rest of the stream
	wantValues(t, own, 10, 10)
	dead.die()
	died := time.Now()
	living.nothing(silence / 3)
	living.commit(own[9]) // nothing is in flight: the new assignment takes nothing back
	wantValues(t, living.read(6), 4, 6)
	if waited := time.Since(died); waited < silence-silence/3 {
		t.Fatalf("taken over after %s", waited)
	}
	if n := living.revoked.Load(); n != 0 {
		t.Fatalf("the dispatcher was told to forget %d times", n)
	}
}

func TestEntriesOfTheLivingAreNeverTakenOver(t *testing.T) {
	topic := newTopic(t)
	write(t, topic, 0, 1200) // more than a page of the scripts
	busy := newReader(t, topic, "", hasty)
	mine := busy.read(1200)
	other := newReader(t, topic, "", hasty)
	other.nothing(4 * silence)
	if n := busy.revoked.Load(); n != 0 || busy.s.epoch != 0 {
		t.Fatal("a reader that only worked long was taken for dead")
	}
	busy.commit(mine[1199])
	if n := busy.pending(); n != 0 {
		t.Fatalf("%d entries are pending after all were committed", n)
	}
}

func TestWithoutRefreshingTheLivingWouldLoseTheirs(t *testing.T) { // the control of the test above
	topic := newTopic(t)
	write(t, topic, 0, 10)
	busy := newReader(t, topic, "", hasty)
	busy.read(10)
	busy.s.asking.Lock() // the keeper stands still
	other := newReader(t, topic, "", hasty)
	wantValues(t, other.read(10), 0, 10)
	busy.s.asking.Unlock()
}

func TestAReaderThatWakesUpLateLeavesOthersTheirEntries(t *testing.T) { // T6
	topic := newTopic(t)
	write(t, topic, 0, 10)
	zombie := newReader(t, topic, "", hasty)
	old := zombie.read(10)
	zombie.s.asking.Lock()
	heir := newReader(t, topic, "", hasty)
	again := heir.read(10)
	zombie.s.asking.Unlock()
	zombie.commit(old[9])
	if n := heir.pending(); n != 10 {
		t.Fatalf("%d entries are pending with the heir, a zombie's commit acknowledged the others", n)
	}
	zombie.nothing(2 * silence)
	heir.commit(again[9])
	if n := heir.pending(); n != 0 {
		t.Fatalf("%d entries are pending", n)
	}
}

func TestAReaderThatLosesItsEntriesTellsTheDispatcherAndGoesOn(t *testing.T) {
	topic := newTopic(t)
	write(t, topic, 0, 10)
	zombie := newReader(t, topic, "", hasty)
	old := zombie.read(10)
	zombie.s.asking.Lock()
	heir := newReader(t, topic, "", hasty)
	heir.read(10)
	zombie.s.asking.Unlock()
	zombie.nothing(2 * silence)
	if n := zombie.revoked.Load(); n != 1 {
		t.Fatalf("told %d times", n)
	}
	write(t, topic, 10, 5)
	fresh := zombie.read(5)
	wantValues(t, fresh, 10, 5)
	zombie.s.Commit(t.Context(), []messaging.Position{{Offset: fresh[4].Offset, Epoch: old[0].Epoch}}) // of an assignment that is over
	if n := zombie.pending(); n != 15 {
		t.Fatalf("%d entries are pending, want 15", n)
	}
	zombie.commit(fresh[4])
	if n := zombie.pending(); n != 10 {
		t.Fatalf("%d entries are pending, want the heir's 10", n)
	}
}

func TestAPositionNeverCoversEntriesThatWereTakenOverBehindIt(t *testing.T) {
	topic := newTopic(t)
	write(t, topic, 0, 10)
	dead := newReader(t, topic, "", hasty)
	dead.read(5)
	living := newReader(t, topic, "", hasty)
	own := living.read(5)
	dead.die()
	if !eventually(func() bool { living.s.mu.Lock(); defer living.s.mu.Unlock(); return !living.s.claimed.IsZero() }) {
		t.Fatal("nothing was taken over")
	}
	living.commit(own[4]) // its offset is above those of all that was taken over
	if n := living.pending(); n != 5 {
		t.Fatalf("%d entries are pending, want the 5 that nobody has dealt with", n)
	}
	wantValues(t, living.read(5), 0, 5)
}

func TestWorkThatDoesNotEndIsGivenBackWhenEntriesWereTakenOver(t *testing.T) {
	topic := newTopic(t)
	write(t, topic, 0, 10)
	dead := newReader(t, topic, "", hasty)
	dead.read(5)
	living := newReader(t, topic, "", hasty)
	living.read(5) // and never commits them
	dead.die()
	wantValues(t, living.read(10), 0, 10)
	if n := living.revoked.Load(); n != 1 {
		t.Fatalf("the dispatcher was told to forget %d times, want once", n)
	}
}

func TestAProcessThatBeginsAgainGoesOnWithItsOwnInOrder(t *testing.T) {
	topic, state := newTopic(t), t.TempDir()
	write(t, topic, 0, 20)
	slow := map[string]string{"takeover": "10m"}
	for killed := range 5 {
		r := newReader(t, topic, state, slow)
		got := r.read(20 - 2*killed)
		wantValues(t, got, 2*killed, 20-2*killed)
		r.commit(got[1])
		r.die()
	}
	wantValues(t, newReader(t, topic, state, slow).read(10), 10, 10)
}

func TestTwoProcessesOnOneStateFolderAreTwoReaders(t *testing.T) {
	state := t.TempDir()
	one, two := open(t, providers.URL(t, "redis"), state, nil), open(t, providers.URL(t, "redis"), state, nil)
	if one.me.name == two.me.name {
		t.Fatalf("both are %s", one.me.name)
	}
	name := one.me.name
	one.Close(t.Context())
	if three := open(t, providers.URL(t, "redis"), state, nil); three.me.name != name {
		t.Fatalf("%s became %s", name, three.me.name)
	}
}

// TestReadersThatAreKilledLoseNothing kills one of three readers again and again while all read, work and commit, and counts.
func TestReadersThatAreKilledLoseNothing(t *testing.T) {
	const n = 3000
	topic := newTopic(t)
	var mu sync.Mutex
	seen := map[string]int{}
	done := func() bool { mu.Lock(); defer mu.Unlock(); return len(seen) == n }
	work := func(r *reader, stop func() bool) {
		for i := 0; !stop() && !done(); i++ {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			got, err := r.s.Read(ctx, messaging.Limit{Events: 40, Bytes: 1 << 20})
			cancel()
			if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				if !errors.Is(err, messaging.ErrClosed) {
					t.Error(err)
				}
				return
			}
			if len(got) == 0 {
				continue
			}
			if i%7 == 6 {
				r.die() // before the results are stored
				return
			}
			mu.Lock()
			for _, record := range got {
				seen[string(record.Value)]++
			}
			mu.Unlock()
			last := got[len(got)-1]
			r.s.Commit(t.Context(), []messaging.Position{{Offset: last.Offset, Epoch: last.Epoch}})
		}
	}
	var all sync.WaitGroup
	all.Go(func() {
		for i := range 30 {
			write(t, topic, i*n/30, n/30)
		}
	})
	end := time.Now().Add(2 * time.Minute)
	for range 3 {
		all.Go(func() {
			for !done() && time.Now().Before(end) {
				work(newReader(t, topic, "", map[string]string{"takeover": "600ms"}), func() bool { return time.Now().After(end) })
			}
		})
	}
	all.Wait()
	if len(seen) != n {
		t.Fatalf("%d of %d values came out", len(seen), n)
	}
	repeated := 0
	for _, times := range seen {
		repeated += times - 1
	}
	t.Logf("repeated: %d", repeated)
}

func TestARefreshTakesNoNewEntries(t *testing.T) { // to the server the greatest id there is means new ones
	topic := newTopic(t)
	write(t, topic, 0, 3)
	r := newReader(t, topic, "", map[string]string{"takeover": "10m"})
	r.read(1)
	for range 3 {
		if mine, err := r.s.pending(t.Context()); err != nil || len(mine) != 1 {
			t.Fatalf("%v are pending, %v", mine, err)
		}
	}
	wantValues(t, r.read(2), 1, 2)
}

func TestEntriesThatWereGivenOutUnheardComeInTheirTurn(t *testing.T) {
	topic := newTopic(t)
	r := newReader(t, topic, "", map[string]string{"takeover": "10m"})
	next := 0
	late := func(n int) { // a read that was given up runs when nobody waits for it
		t.Helper()
		if err := r.c.script(t.Context(), readNew, []string{topic, deletedKey(topic)}, group, r.c.me.name, fmt.Sprint(n), "stop", idOf(r.s.from).String()).Error(); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 5 {
		write(t, topic, next, 10)
		late(n)
		wantValues(t, r.read(10), next, 10)
		next += 10
	}
	if n := r.pending(); n != 50 {
		t.Fatalf("%d are pending", n)
	}
}

func eventually(what func() bool) bool {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if what() {
			return true
		}
	}
	return false
}
