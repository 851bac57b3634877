package postgres

import (
	"strings"

	"github.com/jackc/pgx/v5"
)

// A horizon says up to where an increasing column is final: no row with a value up to there will ever appear.
//
// Values are drawn from a sequence before their rows are committed, so rows appear out of order: while 7 is readable, 6 may still be
// in a transaction that is open. A reader whose cursor stands at 7 would never see it. To read only rows whose xmin lies below
// pg_snapshot_xmin, as is often advised, is not enough for a cursor over values: a transaction may get its number first and draw its
// value late. With A = 100 and B = 101, B draws 6 and A draws 7 and commits. The horizon of numbers is 101, so 7 is below it,
// is read, and B commits 6 behind the cursor. Worse, an insert draws its value before it has a number at all.
//
// What does tell is the lock. Every statement that writes to a table holds RowExclusiveLock on it before it draws a value, and until
// its transaction has ended and can be seen. So: look at the newest value W that is readable, then at who holds the lock. When all of
// those have let go, whoever had drawn a value up to W has committed or never will, and who comes later draws greater ones. W
// is final. Nobody is made to wait by this, and only writers of this very table hold it up, not every old transaction in the
// cluster.
//
// It takes a sequence that gives values in order (no cache, no cycle) within the statement that inserts. An application that
// draws values beforehand and inserts them later breaks it, and nothing in the catalogue could tell.
type horizon struct {
	t       *table
	column  string
	final   int64 // rows up to here are final
	waiting bool  // candidate waits for holders
	next    int64 // the candidate
	holders map[string]bool
	newest  int64 // what was readable at the last look, final or not
}

// ask queues what look needs, in this order: the newest value first, then the locks. Both see what is there when they run.
func (h *horizon) ask(b *pgx.Batch) {
	b.Queue("select coalesce(max("+quote(h.column)+")::bigint, $1) from "+h.t.sql(), nowhere)
	b.Queue(`select coalesce(array_agg(distinct virtualtransaction), '{}') from pg_locks
		where locktype = 'relation' and mode = 'RowExclusiveLock' and granted
		and database = (select oid from pg_database where datname = current_database())
		and relation in (select $1::oid union select relid from pg_partition_tree($1::oid::regclass))`, h.t.oid)
}

// look takes the answers and moves the horizon as far as they allow.
func (h *horizon) look(answers pgx.BatchResults) error {
	var newest int64
	var holders []string
	if err := answers.QueryRow().Scan(&newest); err != nil {
		return err
	}
	if err := answers.QueryRow().Scan(&holders); err != nil {
		return err
	}
	h.newest = newest
	h.move(newest, holders)
	return nil
}

// move is the rule by itself. A transaction that is prepared changes its name to -1/number, so any of those that appears while a
// candidate waits may be one of its holders.
func (h *horizon) move(newest int64, holders []string) {
	if h.waiting {
		left := map[string]bool{}
		for _, holder := range holders {
			if h.holders[holder] || strings.HasPrefix(holder, "-1/") {
				left[holder] = true
			}
		}
		if h.holders = left; len(left) > 0 {
			return
		}
		h.final, h.waiting = max(h.final, h.next), false
	}
	if newest <= h.final {
		return
	}
	if len(holders) == 0 {
		h.final = newest
		return
	}
	h.waiting, h.next, h.holders = true, newest, map[string]bool{}
	for _, holder := range holders {
		h.holders[holder] = true
	}
}
