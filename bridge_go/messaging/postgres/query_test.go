package postgres

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

func (r *rig) readAll(s messaging.Source) []messaging.Record {
	r.Helper()
	var all []messaging.Record
	for {
		some, err := s.Read(r.ctx, messaging.Limit{Events: 700, Bytes: 1 << 20})
		if errors.Is(err, io.EOF) {
			return all
		}
		r.must(err)
		all = append(all, some...)
	}
}

func TestAQueryIsReadOnceAndEnds(t *testing.T) {
	r := newRig(t)
	s := r.source(r.connect(), "query: select n, n / 4.0 as share, '\\x00ff'::bytea as raw from generate_series(1, 3) n order by n;", "g")
	r.want(values(r.readAll(s)), `{"n":1,"share":0.25000000000000000000,"raw":"AP8="} {"n":2,"share":0.50000000000000000000,"raw":"AP8="} `+
		`{"n":3,"share":0.75000000000000000000,"raw":"AP8="}`)
}

func TestATableIsReadOnceInTheOrderOfItsKeyAndGoesOnWhereItWas(t *testing.T) {
	r := newRig(t)
	r.exec("create table flights (a int, b int, primary key (b, a))")
	r.exec("insert into flights select n % 10, n from generate_series(1, 2500) n order by random()")
	c := r.connect("bounded", "true")
	s := r.source(c, "flights", "g")
	got := r.read(s, 1200)
	r.want(string(got[1199].Value), `{"a":0,"b":1200}`)
	r.want(string(got[1199].Key), `[1200, 0]`)
	r.commit(s, got[999])
	r.must(s.Close(r.ctx))
	s = r.source(c, "flights", "g")
	rest := r.readAll(s)
	if len(rest) != 1500 || rest[0].Offset != got[999].Offset+1 || string(rest[0].Value) != `{"a":1,"b":1001}` {
		t.Fatalf("%d records, first %d %s", len(rest), rest[0].Offset, rest[0].Value)
	}
}

func TestAQueryWhoseSessionIsKilledGoesOn(t *testing.T) {
	r := newRig(t)
	s := r.source(r.connect(), "query:select n from generate_series(1, 3000) n", "")
	got := r.read(s, 600)
	r.exec("select pg_terminate_backend(pid) from pg_stat_activity where query like 'fetch%' and state = 'idle in transaction'")
	for {
		some, err := s.Read(r.ctx, messaging.Limit{Events: 700, Bytes: 1 << 20})
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil && r.ctx.Err() != nil {
			t.Fatal(err)
		}
		got = append(got, some...)
	}
	for i, record := range got {
		if want := fmt.Sprintf(`{"n":%d}`, i+1); string(record.Value) != want || len(got) != 3000 {
			t.Fatalf("record %d of %d is %s", i, len(got), record.Value)
		}
	}
}

func TestAQueryThatIsWrongSaysWhere(t *testing.T) {
	r := newRig(t)
	for query, says := range map[string]string{
		"query:select nme from pg_class where relname = 'x'": `column "nme" does not exist`,
		"query:delete from pg_class":                         "",
		"query:select $1::int":                               "parameters",
		"query:":                                             "",
	} {
		s, err := r.connect().Source(r.ctx, sourceConfig(query))
		if err == nil {
			_, err = s.Read(r.ctx, messaging.Limit{Events: 1})
			s.Close(r.ctx)
		}
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", query, err)
		}
	}
}
