package failover

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// A stage plays a core by hand. Events are numbers, which are their ids; both sides have one partition.
type stage struct {
	*testing.T
	*keeper
	at   int64
	next [2]int64
}

func newStage(t *testing.T, r rules) *stage {
	t.Helper()
	k, err := newKeeper(r, filepath.Join(t.TempDir(), "journal"), true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.journal.close() })
	return &stage{T: t, keeper: k, at: 1000 * second}
}

var plain = rules{after: 5 * second, back: 20 * second, window: 100 * second, ids: 1000, ahead: 10, aheadBytes: 1 << 20, output: 10, outputBytes: 1 << 20}

func number(n int) id { return id{1, byte(n >> 8), byte(n)} }

func (s *stage) show(from side, events ...int) {
	for _, n := range events {
		s.take(s.at, from, []messaging.Record{{Value: fmt.Append(nil, n), Offset: s.next[from]}}, []id{number(n)})
		s.next[from]++
	}
}

func (s *stage) pass(seconds int64) {
	for range seconds {
		s.at += second
		s.tick(s.at)
	}
}

// gives wants these events to be handed out, and settles them.
func (s *stage) gives(want ...int) {
	s.Helper()
	var got []int
	for _, r := range s.read(messaging.Limit{Events: 1000, Bytes: 1 << 20}) {
		var n int
		fmt.Sscan(string(r.Value), &n)
		got = append(got, n)
		s.settle(s.at, messaging.Position{Partition: r.Partition, Offset: r.Offset})
	}
	if !slices.Equal(got, want) {
		s.Fatalf("handed out %v, want %v", got, want)
	}
}

func TestAnEventThatTheActiveSidePassesOverIsTakenFromTheOtherAfterTheWindow(t *testing.T) {
	s := newStage(t, plain)
	s.show(secondary, 1, 2)
	for range 99 { // the primary goes on all the time
		s.ask(s.at, primary)
		s.show(primary, 3)
		s.read(messaging.Limit{Events: 10})
		s.pass(1)
	}
	s.pass(1)
	s.gives(1, 2)
	if s.active != primary || s.count.late != 2 {
		t.Fatalf("the %s is active, %+v", s.active, s.count)
	}
	s.show(primary, 1)
	s.gives()
}

func TestASideThatWorksThroughABacklogIsNotOvertaken(t *testing.T) {
	s := newStage(t, plain)
	show := func(from side, n int, at int64) {
		s.take(s.at, from, []messaging.Record{{Value: fmt.Append(nil, n), Offset: s.next[from], Time: at}}, []id{number(n)})
		s.next[from]++
	}
	show(secondary, 1000, 1000)
	for n := range 200 {
		show(primary, n, int64(100+n))
		s.pass(1)
		s.gives(n)
	}
	show(primary, 300, 1001)
	s.pass(1)
	s.gives(300, 1000)
}

func TestASideThatNobodyAsksIsNotToBlame(t *testing.T) {
	s := newStage(t, plain)
	s.show(secondary, 1)
	s.rest(primary) // the program is slow, and takes no more
	s.pass(50)
	if s.active != primary {
		t.Fatal("switched")
	}
	s.ask(s.at, primary)
	s.pass(4)
	s.gives()
	s.pass(1)
	s.gives(1)
}

func TestThePrimaryHasToKeepUpBeforeItIsActiveAgain(t *testing.T) {
	s := newStage(t, plain)
	s.ask(s.at, primary)
	s.show(secondary, 1)
	s.pass(5)
	s.gives(1)
	s.pass(60)
	if s.active != secondary {
		t.Fatal("a side that shows nothing became active")
	}
	for n := 2; n < 40; n++ { // it goes on, ten seconds late
		s.show(secondary, n)
		if n > 10 {
			s.show(primary, n-10)
		}
		s.pass(1)
		s.gives(n)
	}
	if s.active != secondary {
		t.Fatal("a side that is late became active")
	}
	s.show(primary, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39)
	for n := 40; n < 61; n++ {
		s.show(secondary, n)
		s.show(primary, n)
		s.pass(1)
		s.gives(n)
	}
	if s.active != primary {
		t.Fatal("a side that keeps up did not become active")
	}
}

func TestWhatWaitsIsBoundedAndSoIsWhatIsRemembered(t *testing.T) {
	r := plain
	r.ids = 50
	s := newStage(t, r)
	for n := range 10 {
		s.show(secondary, 1000+n)
	}
	if l := s.wants(secondary); l.Events != 0 {
		t.Fatalf("%d more are wanted", l.Events)
	}
	for n := range 200 {
		s.show(primary, n)
		s.gives(n)
		s.tick(s.at)
	}
	if s.known > 50 || s.count.forgotten == 0 {
		t.Fatalf("%d events are known, %d forgotten", s.known, s.count.forgotten)
	}
	s.pass(100)
	s.gives(1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 1008, 1009)
	s.pass(100)
	if s.known != 0 || len(s.events) != 0 || len(s.keeper.settled) != 0 {
		t.Fatalf("%d events are known after the window", s.known)
	}
}

func TestAPositionMovesWhenTheEventIsSettledWhicheverSideHandedItOut(t *testing.T) {
	s := newStage(t, plain)
	s.show(primary, 1, 2, 3)
	s.show(secondary, 1, 2)
	positions := func() (all [2][]messaging.Position) {
		s.gather()
		all, err := s.save()
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	if got := positions(); got[0] != nil || got[1] != nil {
		t.Fatalf("%v are committed before anything is settled", got)
	}
	s.settle(s.at, messaging.Position{Partition: 0, Offset: 1})
	if got := positions(); len(got[0]) != 1 || got[0][0].Offset != 1 || len(got[1]) != 1 || got[1][0].Offset != 1 {
		t.Fatalf("%v", got)
	}
	s.show(secondary, 9, 3) // 9 waits, and 3 behind it
	s.settle(s.at, messaging.Position{Partition: 0, Offset: 2})
	if got := positions(); len(got[0]) != 1 || got[1] != nil {
		t.Fatalf("%v", got)
	}
	s.show(primary, 9)
	s.settle(s.at, messaging.Position{Partition: 0, Offset: 3})
	if got := positions(); len(got[1]) != 1 || got[1][0].Offset != 3 {
		t.Fatalf("%v", got)
	}
}

func TestAJournalIsReadUpToWhatIsWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	j, _, err := openJournal(path, true)
	if err != nil {
		t.Fatal(err)
	}
	var all []byte
	for n := range 20 {
		all = appendEntry(all, &event{id: number(n), shown: [2]bool{true, n%2 == 0}, place: [2]place{{3, int64(n)}, {-1, 1 << 60}}, at: int64(n)})
	}
	all = appendEntry(all, &event{id: number(4), shown: [2]bool{true, true}, place: [2]place{{3, 4}, {1, 1}}, at: 4}) // later news of 4
	if err := j.append(all); err != nil {
		t.Fatal(err)
	}
	j.close()
	for cut := range len(all) + 1 {
		if err := os.WriteFile(path, all[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		if cut%7 == 3 { // and with noise behind
			os.WriteFile(path, append(bytes.Clone(all[:cut]), bytes.Repeat([]byte{0xff}, 3*entrySize)...), 0o600)
		}
		j, events, err := openJournal(path, false)
		if err != nil {
			t.Fatal(err)
		}
		if want := min(cut/entrySize, 20); len(events) != want || j.entries != cut/entrySize {
			t.Fatalf("%d bytes: %d events of %d entries, want %d", cut, len(events), j.entries, want)
		}
		for n, e := range events {
			if e.id != number(n) || e.place[primary] != (place{3, int64(n)}) || e.at != int64(n) || e.state != settled {
				t.Fatalf("%+v", e)
			}
		}
		if err := j.append(all[:entrySize]); err != nil { // goes on behind the last whole one
			t.Fatal(err)
		}
		if info, _ := os.Stat(path); info.Size() != int64(j.entries)*entrySize {
			t.Fatalf("%d bytes of %d entries", info.Size(), j.entries)
		}
		j.close()
	}
}

func TestAJournalThatCannotBeWrittenMovesNoPosition(t *testing.T) {
	s := newStage(t, plain)
	s.show(primary, 1)
	s.gives(1)
	s.journal.file.Close()
	s.gather()
	if got, err := s.save(); err == nil || got[0] != nil {
		t.Fatalf("%v, %v", got, err)
	}
	var err error
	if s.journal, _, err = openJournal(s.journal.path, true); err != nil {
		t.Fatal(err)
	}
	if got, err := s.save(); err != nil || len(got[0]) != 1 {
		t.Fatalf("%v, %v", got, err)
	}
}

func TestAJournalIsWrittenAnewWhenMostOfItIsOld(t *testing.T) {
	r := plain
	r.ids = 100
	s := newStage(t, r)
	s.journal.sync = false // 15,000 times the disk is not what is asked for here
	for n := range 15_000 {
		s.show(primary, n)
		s.gives(n)
		s.tick(s.at)
		s.gather()
		if _, err := s.save(); err != nil {
			t.Fatal(err)
		}
		if s.overgrown() {
			if err := s.journal.rewrite(s.remembered()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if s.journal.entries > 2*r.ids+slack+1 {
		t.Fatalf("%d entries for %d events", s.journal.entries, r.ids)
	}
	s.journal.close()
	k, err := newKeeper(r, s.journal.path, false)
	if err != nil || k.known < 90 {
		t.Fatalf("%d events are known, %v", k.known, err)
	}
	k.journal.close()
}

// A catcher is a test that may fail without failing.
type catcher struct {
	testing.TB
	said string
}

type caught struct{}

func (c *catcher) Fatalf(format string, args ...any) {
	c.said = fmt.Sprintf(format, args...)
	panic(caught{})
}

// The controls of the simulation: with what it is to guard against it fails.
func TestTheSimulationFindsMistakes(t *testing.T) {
	for name, spoil := range map[string]func(*world){
		"no journal":                       func(w *world) { w.path = ""; w.k.journal.close(); w.k.journal = &journal{} },
		"a window shorter than the stalls": func(w *world) { w.k.rules.window = 20 * second },
	} {
		found := 0
		for n := range uint64(20) {
			c := &catcher{TB: t}
			func() {
				defer func() {
					if p := recover(); p != nil && p != (caught{}) {
						panic(p)
					}
				}()
				w := newWorld(c, n)
				spoil(w)
				for range 3000 {
					w.step()
				}
				w.end()
				w.check()
			}()
			if c.said != "" {
				found++
			}
		}
		if found == 0 {
			t.Errorf("%s: 20 simulations found nothing", name)
		}
	}
}
