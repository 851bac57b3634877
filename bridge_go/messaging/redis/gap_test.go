package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/providers"
)

var goOn = map[string]string{"takeover": silence.String(), "gap": "continue"}

// server is a client of the test's own.
func server(t *testing.T) *connection { return open(t, providers.URL(t, "redis"), "", nil) }

func (c *connection) run(t *testing.T, args ...string) rueidis.RedisResult {
	t.Helper()
	r := c.client.Run(t.Context(), c.client.B().Arbitrary(args...).Build())
	if err := r.Error(); err != nil && !rueidis.IsRedisNil(err) {
		t.Fatalf("%v: %v", args, err)
	}
	return r
}

func trimTo(t *testing.T, topic string, n int) {
	server(t).run(t, "XTRIM", topic, "MAXLEN", "=", strconv.Itoa(n))
}

// fails wants a gap of so many offsets, again and again.
func (r *reader) fails() *messaging.GapError {
	r.Helper()
	var gap *messaging.GapError
	for range 3 {
		ctx, cancel := context.WithTimeout(r.Context(), 30*time.Second)
		got, err := r.s.Read(ctx, messaging.Limit{Events: 100, Bytes: 1 << 20})
		cancel()
		if !errors.As(err, &gap) {
			r.Fatalf("got %d records and %v, want a GapError", len(got), err)
		}
	}
	if gap.Want >= gap.Have || gap.Group != group {
		r.Fatalf("%+v", gap)
	}
	return gap
}

// tryToOpen opens a source for a group and returns its error.
func tryToOpen(t *testing.T, topic string, settings map[string]string) error {
	t.Helper()
	s, err := open(t, providers.URL(t, "redis"), "", settings).Source(t.Context(), messaging.SourceConfig{Topic: topic, Group: group})
	if err == nil {
		s.Close(t.Context())
	}
	return err
}

func TestEntriesTrimmedBeforeTheyWereReadAreLoud(t *testing.T) {
	topic := newTopic(t)
	write(t, topic, 0, 10)
	r := newReader(t, topic, "", hasty)
	r.commit(r.read(4)[3])
	trimTo(t, topic, 3)
	r.fails()
	r.s.Close(t.Context())
	newReader(t, topic, "", hasty).fails() // and after a restart
	again := newReader(t, topic, "", goOn)
	wantValues(t, again.read(3), 7, 3)
}

func TestEntriesAllTrimmedBeforeTheyWereReadAreLoud(t *testing.T) {
	topic := newTopic(t)
	write(t, topic, 0, 10)
	r := newReader(t, topic, "", hasty)
	r.commit(r.read(4)[3])
	trimTo(t, topic, 0)
	r.fails()
	on := newReader(t, topic, "", goOn)
	on.nothing(50 * time.Millisecond)
	write(t, topic, 10, 2)
	wantValues(t, on.read(2), 10, 2)
	trimTo(t, topic, 0) // what was read may go
	on.nothing(50 * time.Millisecond)
	write(t, topic, 12, 2)
	newReader(t, topic, "", hasty) // joins in order
	wantValues(t, on.read(2), 12, 2)
}

func TestTrimmingWhatWasReadIsNoGap(t *testing.T) {
	topic := newTopic(t)
	r := newReader(t, topic, "", hasty)
	for i := range 20 {
		write(t, topic, 10*i, 10)
		got := r.read(10)
		wantValues(t, got, 10*i, 10)
		r.commit(got[9])
		trimTo(t, topic, i%3)
	}
	r.s.Close(t.Context())
	write(t, topic, 200, 1)
	wantValues(t, newReader(t, topic, "", hasty).read(1), 200, 1)
}

func TestANewGroupOfATrimmedTopicBeginsWithWhatThereIs(t *testing.T) {
	topic := newTopic(t)
	write(t, topic, 0, 10)
	trimTo(t, topic, 4)
	r := newReader(t, topic, "", hasty)
	wantValues(t, r.read(2), 6, 2)
	trimTo(t, topic, 1)
	r.fails() // 8 was not read
}

func TestPendingEntriesOfTheDeadThatWereTrimmedAreLoud(t *testing.T) {
	topic := newTopic(t)
	write(t, topic, 0, 10)
	dead := newReader(t, topic, "", hasty)
	dead.read(6)
	dead.die()
	trimTo(t, topic, 7) // 0, 1 and 2 are gone, which nobody has dealt with
	time.Sleep(silence + 50*time.Millisecond)
	for range 2 { // whoever opens hears of it, until it is settled
		var gap *messaging.GapError
		if err := tryToOpen(t, topic, hasty); !errors.As(err, &gap) {
			t.Fatalf("got %v, want a GapError", err)
		}
	}
	wantValues(t, newReader(t, topic, "", goOn).read(7), 3, 7)
	if err := tryToOpen(t, topic, hasty); err != nil {
		t.Fatalf("a gap that was passed over on purpose is told again: %v", err)
	}
}

func TestAReaderAtWorkHearsOfTheDeadsTrimmedEntries(t *testing.T) {
	topic := newTopic(t)
	write(t, topic, 0, 10)
	dead := newReader(t, topic, "", hasty)
	dead.read(6)
	living := newReader(t, topic, "", hasty)
	got := living.read(4)
	living.commit(got[3])
	dead.die()
	trimTo(t, topic, 4)
	living.nothing(silence / 3)
	for end := time.Now().Add(time.Minute); ; {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		_, err := living.s.Read(ctx, messaging.Limit{Events: 1, Bytes: 1})
		cancel()
		var gap *messaging.GapError
		if errors.As(err, &gap) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("last: %v", err)
		}
	}
}

func TestOnesOwnPendingEntriesThatWereTrimmedAreLoud(t *testing.T) {
	topic, state := newTopic(t), t.TempDir()
	write(t, topic, 0, 10)
	r := newReader(t, topic, state, hasty)
	r.read(6)
	r.die()
	trimTo(t, topic, 7)
	again := newReader(t, topic, state, hasty)
	gap := again.fails()
	if gap.Have-gap.Want < 2 {
		t.Fatalf("%+v", gap)
	}
	again.die()
	wantValues(t, newReader(t, topic, state, goOn).read(7), 3, 7)
}

func TestTrimmedEntriesAtWorkAreNotStruckOffByTheirOwnRefresh(t *testing.T) { // their only trace
	topic := newTopic(t)
	write(t, topic, 0, 5)
	busy := newReader(t, topic, "", hasty)
	got := busy.read(5)
	trimTo(t, topic, 2)
	other := newReader(t, topic, "", hasty)
	other.nothing(3 * silence) // the living's are not taken for the dead's
	if n := busy.pending(); n != 5 {
		t.Fatalf("%d entries are pending, want 5", n)
	}
	busy.commit(got[4])
	if n := busy.pending(); n != 0 || busy.revoked.Load() != 0 {
		t.Fatalf("%d entries are pending, revoked %d times", n, busy.revoked.Load())
	}
}

func TestDeletedDeadLettersAreNoGap(t *testing.T) {
	topic, state := newTopic(t), t.TempDir()
	write(t, topic, 0, 10)
	r := newReader(t, topic, state, hasty)
	r.read(3)
	remove := func(i ...int) {
		t.Helper()
		all, _, err := r.c.Browse(t.Context(), topic, messaging.Oldest, 100)
		if err != nil {
			t.Fatal(err)
		}
		var which []messaging.Position
		for _, record := range all {
			for _, n := range i {
				if string(record.Value) == fmt.Sprint(n) {
					which = append(which, messaging.Position{Offset: record.Offset})
				}
			}
		}
		if err := r.c.Delete(t.Context(), topic, which); err != nil || len(which) != len(i) {
			t.Fatal(which, err)
		}
	}
	remove(0, 1, 2, 3, 4, 6) // pending ones, the next ones, one in the middle
	rest := r.read(4)
	if string(rest[0].Value) != "5" || string(rest[3].Value) != "9" {
		t.Fatalf("%s ... %s", rest[0].Value, rest[3].Value)
	}
	r.die()
	again := newReader(t, topic, state, hasty)
	if back := again.read(4); string(back[0].Value) != "5" {
		t.Fatalf("%s", back[0].Value)
	}
}

func TestATopicThatWasMadeAgainIsReadFromItsStartAndIsAnother(t *testing.T) {
	topic := newTopic(t)
	write(t, topic, 0, 5)
	r := newReader(t, topic, "", hasty)
	r.commit(r.read(5)[4])
	life, err := r.c.Incarnation(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	server(t).run(t, "DEL", topic)
	write(t, topic, 5, 3)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if got, err := r.s.Read(ctx, messaging.Limit{Events: 1, Bytes: 1}); err == nil || ctx.Err() != nil {
		t.Fatalf("got %d records and %v of a group that is gone", len(got), err)
	}
	r.s.Close(t.Context())
	wantValues(t, newReader(t, topic, "", hasty).read(3), 5, 3)
	if again, err := r.c.Incarnation(t.Context(), topic); err != nil || again == life {
		t.Fatalf("incarnation %s, %s, %v", life, again, err)
	}
}

func TestAPositionKeptBySomebodyElseIsWhereASourceBegins(t *testing.T) {
	topic := newTopic(t)
	write(t, topic, 0, 10)
	c := server(t)
	all, _, err := c.Browse(t.Context(), topic, messaging.Oldest, 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range []string{group, ""} {
		for _, from := range []int{6, 2} { // back as well: the table is what counts
			src, err := c.Source(t.Context(), messaging.SourceConfig{Topic: topic, Group: g, Start: func(_ context.Context, p []int32) (map[int32]int64, error) {
				return map[int32]int64{0: all[from].Offset}, nil
			}})
			if err != nil {
				t.Fatal(err)
			}
			r := &reader{T: t, c: c, s: src.(*source)}
			wantValues(t, r.read(9-from), from+1, 9-from)
			src.Close(t.Context())
		}
	}
}
