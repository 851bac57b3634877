package postgres

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// logged is a table whose changes are read by a slot of its own.
func logged(t *testing.T, columns string) (*rig, string) {
	r := newRig(t)
	r.exec("create table flights (" + columns + ")")
	slot := r.schema
	t.Cleanup(func() {
		r.free(slot)
		r.exec("select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = '" + slot + "'")
		r.exec("drop publication if exists " + slot)
	})
	return r, slot
}

// free waits until the server has seen that nobody reads a slot.
func (r *rig) free(slot string) {
	r.Helper()
	for r.rows("select count(*) from pg_replication_slots where active and slot_name = '"+slot+"'") != "0" {
		r.exec("select pg_terminate_backend(active_pid) from pg_replication_slots where active and slot_name = '" + slot + "'")
		time.Sleep(10 * time.Millisecond)
	}
}

func changes(records []messaging.Record) string {
	all := make([]string, len(records))
	for i, r := range records {
		all[i] = fmt.Sprintf("%s %s %s", r.Headers[0].Value, r.Key, r.Value)
		if r.Value == nil {
			all[i] = fmt.Sprintf("%s %s -", r.Headers[0].Value, r.Key)
		}
	}
	return strings.Join(all, "; ")
}

func (r *rig) commit(s messaging.Source, record messaging.Record) {
	r.Helper()
	r.must(s.Commit(r.ctx, []position{{Offset: record.Offset}}))
}

func TestChangesComeFromTheLog(t *testing.T) { // DELIVERY 26
	r, slot := logged(t, "id int primary key, delay int")
	s := r.source(r.connect("slot", slot), "flights", "g")
	r.exec("insert into flights values (1, 10), (2, 20)")
	r.exec("update flights set delay = 11 where id = 1")
	r.exec("update flights set id = 3 where id = 1")
	r.exec("delete from flights where id = 2")
	got := r.read(s, 6)
	r.want(changes(got), `insert 1 {"id":1,"delay":10}; insert 2 {"id":2,"delay":20}; update 1 {"id":1,"delay":11}; `+
		`delete 1 -; update 3 {"id":3,"delay":11}; delete 2 -`)
	for i := 1; i < len(got); i++ {
		if got[i].Offset <= got[i-1].Offset {
			t.Fatalf("offset %d after %d", got[i].Offset, got[i-1].Offset)
		}
	}
	if age := time.Since(time.Unix(0, got[0].Time)); age < 0 || age > time.Minute {
		t.Fatalf("the time is %v ago", age)
	}
}

func TestATransactionThatCommitsLateComesLate(t *testing.T) {
	r, slot := logged(t, "id int primary key")
	s := r.source(r.connect("slot", slot), "flights", "g")
	_, late := r.begin()
	late("insert into flights values (1)")
	r.exec("insert into flights values (2)")
	first := r.read(s, 1)
	late("insert into flights values (3)")
	late("commit")
	rest := r.read(s, 2)
	r.want(values(append(first, rest...)), `{"id":2} {"id":1} {"id":3}`)
	if rest[0].Offset <= first[0].Offset {
		t.Fatalf("offset %d after %d", rest[0].Offset, first[0].Offset)
	}
}

// A restart in the middle of a transaction goes on behind what was settled, with the same offsets.
func TestOffsetsAreTheSameWhenChangesAreReadAgain(t *testing.T) {
	r, slot := logged(t, "id int primary key")
	open := func() messaging.Source { return r.source(r.connect("slot", slot), "flights", "g") }
	s := open()
	r.exec("insert into flights select generate_series(1, 2000)") // runs ahead of the log
	r.exec("insert into flights values (2001)")
	r.exec("insert into flights values (2002)")
	all := r.read(s, 2002)
	r.must(s.Close(r.ctx))
	for _, settled := range []int{0, 999, 1999, 2000, 2001} {
		s = open()
		if settled > 0 {
			r.read(s, 1)
		}
		r.commit(s, all[settled])
		r.must(s.Close(r.ctx))
		s = open()
		if rest := 2001 - settled; rest > 0 {
			again := r.read(s, rest)
			for i, record := range again {
				if want := all[settled+1+i]; record.Offset != want.Offset || string(record.Value) != string(want.Value) {
					t.Fatalf("behind %d: record %d is %s at %d, was %s at %d", settled, i, record.Value, record.Offset, want.Value, want.Offset)
				}
			}
		}
		r.nothing(s)
		r.must(s.Close(r.ctx))
	}
}

func TestTheServerForgetsNothingBeforeCommit(t *testing.T) {
	r, slot := logged(t, "id int primary key")
	confirmed := func() string {
		return r.rows("select confirmed_flush_lsn::text from pg_replication_slots where slot_name = '" + slot + "'")
	}
	c := r.connect("slot", slot)
	s := r.source(c, "flights", "g")
	before := confirmed()
	r.exec("insert into flights values (1)")
	got := r.read(s, 1)
	r.must(s.Close(r.ctx))
	r.want(confirmed(), before)
	s = r.source(c, "flights", "g")
	r.want(values(r.read(s, 1)), values(got))
	r.commit(s, got[0])
	r.must(s.Close(r.ctx))
	if confirmed() == before {
		t.Fatal("a commit was not told to the server")
	}
}

func TestAStreamThatIsKilledGoesOnWithoutALossOrADouble(t *testing.T) {
	r, slot := logged(t, "id int primary key")
	s := r.source(r.connect("slot", slot), "flights", "g")
	r.exec("insert into flights select generate_series(1, 3000)")
	got := r.read(s, 1200)
	r.exec("select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = '" + slot + "'")
	failures := 0
	for len(got) < 3000 {
		some, err := s.Read(r.ctx, messaging.Limit{Events: 100, Bytes: 1 << 20})
		if err != nil {
			if failures++; failures > 100 {
				t.Fatal(err)
			}
			continue
		}
		got = append(got, some...)
	}
	for i, record := range got {
		if want := fmt.Sprintf(`{"id":%d}`, i+1); string(record.Value) != want {
			t.Fatalf("record %d is %s after %d failures", i, record.Value, failures)
		}
	}
}

func TestASlotHasOneReader(t *testing.T) {
	r, slot := logged(t, "id int primary key")
	s := r.source(r.connect("slot", slot), "flights", "g")
	r.nothing(s)
	other := r.source(r.connect("slot", slot), "flights", "other")
	if _, err := other.Read(r.ctx, messaging.Limit{Events: 1, Bytes: 1}); !errors.Is(err, messaging.ErrBusy) {
		t.Fatalf("got %v, want ErrBusy", err)
	}
}

func TestASlotThatWasMadeAgainIsAGap(t *testing.T) {
	r, slot := logged(t, "id int primary key")
	s := r.source(r.connect("slot", slot), "flights", "g")
	r.exec("insert into flights values (1)")
	r.commit(s, r.read(s, 1)[0])
	r.must(s.Close(r.ctx))
	r.free(slot)
	r.exec("select pg_drop_replication_slot('" + slot + "')")
	r.exec("insert into flights values (2)")
	var gap *messaging.GapError
	if _, err := r.connect("slot", slot).Source(r.ctx, sourceConfig("flights")); !errors.As(err, &gap) {
		t.Fatalf("got %v, want a GapError", err)
	}
	s = r.source(r.connect("slot", slot, "gap", "continue"), "flights", "g")
	r.exec("insert into flights values (3)")
	r.want(values(r.read(s, 1)), `{"id":3}`)
}

func TestLargeValuesThatDidNotChangeAreNamed(t *testing.T) {
	r, slot := logged(t, "id int primary key, big text, n int")
	r.exec("alter table flights alter big set storage external")
	s := r.source(r.connect("slot", slot), "flights", "g")
	r.exec("insert into flights values (1, repeat('x', 10000), 1)")
	r.exec("update flights set n = 2")
	r.exec("alter table flights replica identity full")
	r.exec("update flights set n = 3")
	got := r.read(s, 3)
	r.want(string(got[1].Value), `{"id":1,"n":2}`)
	r.want(string(got[1].Headers[1].Value), `["big"]`)
	if !strings.Contains(string(got[2].Value), `"big":"xxx`) || len(got[2].Headers) != 1 {
		t.Fatalf("with the whole old row nothing is missing: %.80s", got[2].Value)
	}
}

func TestTheLogAndTheTableGiveTheSameRow(t *testing.T) {
	r, slot := logged(t, `id bigint generated always as identity primary key, n numeric, s smallint, b bigint, f float8, g float4, t timestamptz, u timestamp, d date,
		h time, i interval, raw bytea, j json, k jsonb, l int[], m text[], o numeric[][], p bool, q bool[], v uuid, w inet, x text, y varchar(9), z char(4), e timestamptz[]`)
	log := r.source(r.connect("slot", slot), "flights", "log")
	table := r.source(r.connect("cursor", "id"), "flights", "table")
	insert := "insert into flights (n, s, b, f, g, t, u, d, h, i, raw, j, k, l, m, o, p, q, v, w, x, y, z, e) values "
	r.exec(insert + `(12345678901234567890.000100, -3, 9007199254740993, 1e-300, 0.1, '2024-01-02 03:04:05.123456+02', '2024-01-02 03:04:05', '2024-02-29', '23:59:59.5',
		'1 day 2 hours', '\x00ff', '{"a":  1}', '{"b": [1, 2.50]}', '{1,NULL,3}', array['a b', 'c,"d"', 'null', null, '', 'e\f{}', E'new\nline'], '{{1.10,2},{3,4}}', true,
		'{t,f}', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '10.0.0.1/8', E'é飛<&>"\\ \t', 'abc', 'ab', '{"2024-01-02 03:04:05+02"}')`)
	r.exec(insert + `('NaN', 0, 0, 'Infinity', '-Infinity', 'infinity', '-infinity', null, null, null, '', 'null', 'null', '{}', '[5:6]={x,y}', '{}', false,
		'{}', null, null, '', '', '', '{}')`)
	r.exec("insert into flights (n) values (null)")
	for i, want := range r.read(table, 3) {
		got := r.read(log, 1)[0]
		r.want(string(got.Value), string(want.Value))
		r.want(string(got.Key), string(want.Key))
		if i == 0 && len(want.Value) < 500 {
			t.Fatal("the row is not what it should be")
		}
	}
}

func TestWhatALogNeedsIsSaid(t *testing.T) {
	r, slot := logged(t, "id int")
	_, err := r.connect("slot", slot).Source(r.ctx, sourceConfig("flights"))
	if err == nil || !strings.Contains(err.Error(), "add a primary key") {
		t.Fatalf("got %v", err)
	}
	r.exec("alter table flights add primary key (id)")
	r.exec("create publication " + slot)
	_, err = r.connect("slot", slot).Source(r.ctx, sourceConfig("flights"))
	if err == nil || !strings.Contains(err.Error(), "alter publication") {
		t.Fatalf("got %v", err)
	}
}

// A slow reader is no dead one: the server hears of it while nobody takes its records.
func TestAReaderThatIsNotAskedIsNotCutOff(t *testing.T) {
	r, slot := logged(t, "id int primary key, x text")
	r.exec("alter system set wal_sender_timeout = '4s'")
	r.exec("select pg_reload_conf()")
	t.Cleanup(func() {
		r.exec("alter system reset wal_sender_timeout")
		r.exec("select pg_reload_conf()")
	})
	s := r.source(r.connect("slot", slot), "flights", "g")
	r.exec("insert into flights select n, repeat('x', 1000) from generate_series(1, 30000) n")
	r.read(s, 1)
	pid := r.rows("select active_pid from pg_replication_slots where slot_name = '" + slot + "'")
	time.Sleep(7 * time.Second) // what is tested is that time passes and nothing happens
	r.want(r.rows("select active_pid from pg_replication_slots where slot_name = '"+slot+"'"), pid)
	r.read(s, 29999)
}

func FuzzReplicationMessages(f *testing.F) {
	for _, seed := range []string{
		"B\x00\x00\x00\x00\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x02",
		"C\x00\x00\x00\x00\x00\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00\x00\x20\x00\x00\x00\x00\x00\x00\x00\x01",
		"R\x00\x00\x00\x01s\x00t\x00d\x00\x01\x01id\x00\x00\x00\x00\x17\xff\xff\xff\xff",
		"I\x00\x00\x00\x01N\x00\x02t\x00\x00\x00\x011n",
		"U\x00\x00\x00\x01K\x00\x01t\x00\x00\x00\x011N\x00\x01u",
		"D\x00\x00\x00\x01O\x00\x01n", "T\x00\x00\x00\x01\x00\x00\x00\x00\x01", "Y", "T\xff\xff\xff\xff\x00", "I\x00\x00\x00\x01N\xff\xff",
		"I\x00\x00\x00\x01N\x00\x01t\xff\xff\xff\xff",
	} {
		f.Add([]byte(seed), "{1,NULL,{\"a\\\"b\"}}")
	}
	f.Fuzz(func(t *testing.T, data []byte, array string) {
		if e, err := decode(data); err == nil {
			for _, row := range [][]cell{e.old, e.new} {
				if len(row) > len(data) {
					t.Fatalf("%d cells of %d bytes", len(row), len(data))
				}
			}
		}
		if out := appendArray(nil, array, 1007); !json.Valid(out) {
			t.Fatalf("%q became %q", array, out)
		}
	})
}

func TestAServerWithoutALogicalLogIsNamed(t *testing.T) {
	flights := &table{topic: "flights", schema: "public", name: "flights", primary: []string{"id"}}
	for _, c := range []struct {
		found catalogue
		says  string
	}{
		{catalogue{"replica", "r", "d"}, "alter system set wal_level = logical"},
		{catalogue{"logical", "v", "n"}, "no table whose changes are logged"},
		{catalogue{"logical", "r", "n"}, "replica identity full"},
	} {
		if err := c.found.replicable(flights); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v: %v", c.found, err)
		}
	}
	if err := (catalogue{"logical", "p", "f"}).replicable(&table{}); err != nil {
		t.Errorf("a table whose whole rows are its identity: %v", err)
	}
}
