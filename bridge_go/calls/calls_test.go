package calls

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"ds-runner.dev/ds-runner/bridge_go/data/objects"
	"ds-runner.dev/ds-runner/bridge_go/data/sql"
	"ds-runner.dev/ds-runner/bridge_go/data/sql/sqltest"
	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/server/servertest"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

func TestAQueryComesInPages(t *testing.T) {
	for name, c := range map[string]*caller{"worker": start(t, nil).caller(), "command line": start(t, nil).commandLine()} {
		opened := c.ask("sql.open", "local", "select id, name from t where id >= :least order by id", list{"least", 1}, 2).(list)
		if got := rows(t, opened[1]); got != "1 a, 2 b" || opened[2] != false {
			t.Errorf("%s: %v %v", name, got, opened[2])
		}
		next := c.ask("sql.next", opened[0]).(list)
		if got := rows(t, next[0]); got != "3 c" || next[1] != true {
			t.Errorf("%s: %v %v", name, got, next[1])
		}
		c.refused(nil, "unknown_cursor", "was read to its end, closed", "sql.next", opened[0])
		whole := c.ask("sql.open", "local", "select count(*) from t", nil).(list)
		if whole[0] != nil || rows(t, whole[1]) != "3" || whole[2] != true {
			t.Errorf("%s: %v", name, whole)
		}
		if empty := c.ask("sql.open", "local", "select id from t where false").(list); rows(t, empty[1]) != "" || empty[2] != true {
			t.Errorf("%s: %v", name, empty)
		}
	}
}

func TestParametersComeAsTheWireHasThem(t *testing.T) {
	c := start(t, nil).caller()
	show := func(want string, params ...any) {
		t.Helper()
		a := c.ask("sql.open", "local", "select :a as a", append(list{"a"}, params...)).(list)
		if got := rows(t, a[1]); got != want {
			t.Errorf("%v became %s, want %s", params, got, want)
		}
	}
	show("<nil>", nil)
	show("1", true)
	show("-5", -5)
	show("9223372036854775807", int64(1<<63-1))
	show("2.5", 2.5)
	show("2.5", float32(2.5))
	show("x", "x")
	show("[0 255]", []byte{0, 255})
	show("2026-09-21 14:13:20.123456+00:00", list{"timestamptz", 1_790_000_000_123_456})
	show("2026-09-21 14:13:20", list{"timestamp", 1_790_000_000_000_000})
	show("2024-10-04", list{"date", 20000})
	show("12.50", list{"decimal", "12.50"})
	if a := c.ask("sql.open", "local", "select id from t where id in (:ids)", list{"ids", list{"list", 1, 3}}).(list); rows(t, a[1]) != "1, 3" {
		t.Errorf("list: %v", a)
	}
}

func TestArgumentsThatAreWrongAreToldByTheirNames(t *testing.T) {
	c := start(t, nil).caller()
	const query = "select :a"
	for _, x := range []struct {
		code, words, method string
		args                list
	}{
		{"unknown_method", "Did you mean sql.open?", "sql.opn", nil},
		{"bad_arguments", "con is missing", "sql.open", nil},
		{"bad_arguments", "con: expected a str, got int", "sql.open", list{1}},
		{"bad_arguments", "sql is missing", "sql.open", list{"local"}},
		{"bad_arguments", "params: expected an array, got str", "sql.open", list{"local", query, "a"}},
		{"bad_arguments", `the parameter "a" has no value`, "sql.open", list{"local", query, list{"a"}}},
		{"bad_arguments", `the parameter "a" is given twice`, "sql.open", list{"local", query, list{"a", 1, "a", 2}}},
		{"bad_arguments", "the name of a parameter: expected a str", "sql.open", list{"local", query, list{1, 1}}},
		{"bad_arguments", `no kind of value "set". Known: list`, "sql.open", list{"local", query, list{"a", list{"set", 1}}}},
		{"bad_arguments", "sql.open: parameter a: the kind of a value is missing", "sql.open", list{"local", query, list{"a", list{}}}},
		{"bad_arguments", "parameter a: 1 values too many", "sql.open", list{"local", query, list{"a", list{"date", 1, 2}}}},
		{"bad_parameters", "item 1 of a list is nil", "sql.open", list{"local", query, list{"a", list{"list", 1, nil}}}},
		{"bad_parameters", "item 1 is str and the first int", "sql.open", list{"local", query, list{"a", list{"list", 1, "x"}}}},
		{"bad_parameters", "is no date", "sql.open", list{"local", query, list{"a", list{"date", 1 << 40}}}},
		{"bad_parameters", "is no timestamp", "sql.open", list{"local", query, list{"a", list{"timestamp", int64(1) << 62}}}},
		{"bad_parameters", "is no decimal", "sql.open", list{"local", query, list{"a", list{"decimal", "1; drop"}}}},
		{"bad_parameters", ":a, which params do not", "sql.open", list{"local", query}},
		{"bad_arguments", "rows: expected an int from 1", "sql.open", list{"local", query, list{"a", 1}, 0}},
		{"bad_arguments", "1 values too many", "sql.open", list{"local", query, list{"a", 1}, 1, 1}},
		{"bad_sql", "nowhere", "sql.open", list{"local", "select * from nowhere"}},
		{"bad_arguments", "cursor: expected an int from 1", "sql.next", list{-1}},
		{"unknown_cursor", "cursor 99", "sql.next", list{99}},
		{"bad_arguments", `mode is "upsert", expected append or replace`, "sql.write", list{"local", "t", "upsert", []byte{}}},
		{"bad_arguments", "table is empty", "sql.write", list{"local", " ", "append", []byte{}}},
		{"bad_value", "the page is no Arrow stream", "sql.write", list{"local", "t", "append", []byte("page")}},
		{"unknown_connection", `no connection "lokal". Declared: broken, events, features, local, models, slow. Did you mean local?`, "sql.open", list{"lokal", query}},
		{"not_supported", "connection features (kvtest:) answers no SQL. These do: broken, local, slow; of systems: slow, sqlite", "sql.open", list{"features", query}},
		{"not_supported", "keeps no values by key. These do: features", "kv.get", list{"local", list{"k"}}},
		{"not_supported", "keeps no objects. These do: models", "objects.head", list{"local", "k"}},
		{"failed", "no such host", "sql.open", list{"broken", "select 1"}},
		{"bad_arguments", "keys[1]: expected a str", "kv.get", list{"features", list{"k", 1}}},
		{"bad_arguments", "ttl_ms: expected an int from 1", "kv.put", list{"features", list{list{"k", "v", -1}}}},
		{"bad_arguments", "kv.put: entries[0]: expected an array", "kv.put", list{"features", list{"k"}}},
		{"bad_arguments", "length: expected an int from 0 to 4194304", "objects.get", list{"models", "k", 0, 5 << 20}},
		{"not_found", "no such object", "objects.get", list{"models", "k", 0, 5}},
		{"unknown_upload", "upload 3", "objects.part", list{3, 1, []byte{}}},
		{"bad_arguments", "number: expected an int from 1", "objects.part", list{3, 0, []byte{}}},
		{"needs_lease", "for what a model writes while it predicts", "stage", list{list{}}},
	} {
		c.refused(nil, x.code, x.words, x.method, x.args...)
	}
	c.ask("sql.close", 99)
	c.ask("objects.abort", 99)
}

// Whatever bytes an argument list is made of, a call is answered.
func TestRandomArgumentsAreRefusedOrAnswered(t *testing.T) {
	r := start(t, nil)
	values := list{nil, true, -1, 1, int64(1) << 62, 2.5, "", "local", "features", "models", "select 1", []byte{0xff}, list{}, list{"a"}, list{"list"},
		list{list{"publish", "alerts", "v"}}, list{list{}}, list{list{"k", "v"}}}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	c := r.caller()
	n := 0
	for method := range r.handler.methods {
		for range 60 {
			args := make(list, n%6)
			for i := range args {
				args[i] = values[(n*7+i*5+n/3)%len(values)]
				n++
			}
			n++
			var l *wire.Lease
			if n%3 == 0 {
				l = &lease
			}
			if _, failure := c.answer(c.send(l, 60_000, method, args...)); failure != nil && failure.Code == "internal" {
				t.Errorf("%s%v: %v", method, args, failure)
			}
			if ctx.Err() != nil {
				t.Fatal(ctx.Err())
			}
		}
	}
}

func TestStatementsAreExecutedAndPagesWritten(t *testing.T) {
	c := start(t, nil).caller()
	if n := c.ask("sql.execute", "local", "delete from t where id > :id", list{"id", 1}); fmt.Sprint(n) != "2" {
		t.Errorf("%v rows deleted", n)
	}
	page := sqltest.MakePage(t, []arrow.Field{{Name: "id", Type: arrow.PrimitiveTypes.Int64}}, []any{8}, []any{9})
	if n := c.ask("sql.write", "local", "t", "append", page); fmt.Sprint(n) != "2" {
		t.Errorf("%v rows written", n)
	}
	if a := c.ask("sql.open", "local", "select id from t order by id").(list); rows(t, a[1]) != "1, 8, 9" {
		t.Errorf("%s", rows(t, a[1]))
	}
}

func TestWhatCannotBeTakenBackIsRefusedUnderALease(t *testing.T) {
	r := start(t, nil)
	c := r.caller()
	for method, m := range r.handler.methods {
		if m.rule == outside {
			c.refused(&lease, "under_lease", "is not for predict", method)
		}
	}
	a := c.under(&lease, "sql.open", "local", "select count(*) from t").(list)
	if rows(t, a[1]) != "3" {
		t.Error("a lease cannot read")
	}
	c.refused(&lease, "bad_sql", "a query begins with", "sql.open", "local", "delete from t returning id")
}

func TestStaleLeasesAreRefusedBeforeAndAfter(t *testing.T) {
	r := start(t, nil)
	c := r.caller()
	stale := wire.Lease{Nonce: 7, Batch: 1, Epoch: 2}
	for _, method := range []string{"sql.open", "kv.get", "objects.head", "stage", "sql.next"} {
		c.refused(&stale, "stale_lease", "the lease has ended", method, "local")
	}
	// One that ends while the call is at work.
	id := c.send(&lease, 60_000, "sql.open", "slow", "first")
	if _, failure := c.answer(id); failure != nil {
		t.Fatal(failure)
	}
	id = c.send(&lease, 200, "sql.next", 1)
	r.revoke(lease)
	if _, failure := c.answer(id); failure == nil {
		t.Error("answered under a lease that has ended")
	}
	<-r.slow.closed
	other, _ := servertest.Greeted(t, r.address, token, wire.RoleCalls, servertest.Hello("p", "other", "x"))
	other.Send(&wire.Call{ID: 1, Lease: &lease, Method: "sql.open", Args: []byte{0x90}})
	if a := servertest.Expect[*wire.Answer](other); a.OK || a.Failure().Code != "stale_lease" {
		t.Errorf("a command that is not served: %+v", a)
	}
}

func TestALeaseThatEndsDuringACallGetsNoAnswer(t *testing.T) {
	r := start(t, nil)
	c := r.caller()
	r.store.values["k"] = []byte("v")
	r.store.fail = nil
	h := r.handler.methods["kv.get"]
	r.handler.methods["kv.get"] = method{h.rule, func(ctx context.Context, q *request) ([]byte, error) {
		value, err := h.run(ctx, q)
		r.revoke(lease)
		return value, err
	}}
	c.refused(&lease, "stale_lease", "", "kv.get", "features", list{"k"})
}

func TestCursorsBelongToTheirConnectionAndLease(t *testing.T) {
	r := start(t, nil)
	r.alive[wire.Lease{Nonce: 7, Batch: 2, Epoch: 1}] = true
	one, two := r.caller(), r.caller()
	opened := one.under(&lease, "sql.open", "slow", "first").(list)
	two.refused(&lease, "unknown_cursor", "another connection's", "sql.next", opened[0])
	one.refused(&wire.Lease{Nonce: 7, Batch: 2, Epoch: 1}, "unknown_cursor", "another batch's", "sql.next", opened[0])
	one.refused(nil, "unknown_cursor", "", "sql.next", opened[0])
	r.revoke(lease)
	one.under(&wire.Lease{Nonce: 7, Batch: 2, Epoch: 1}, "sql.open", "local", "select 1")
	<-r.slow.closed // of a batch that is done with
	opened = one.ask("sql.open", "slow", "first").(list)
	one.client.Close()
	<-r.slow.closed
	_ = opened
}

func TestCursorsAreBoundedAndClosed(t *testing.T) {
	r := start(t, func(c *Config) { c.MaxCursors = 3 })
	c := r.caller()
	var numbers list
	for range 3 {
		numbers = append(numbers, c.ask("sql.open", "slow", "first").(list)[0])
	}
	c.refused(nil, "too_many", "3 cursors are open", "sql.open", "slow", "first")
	<-r.slow.closed
	c.ask("sql.close", numbers[0])
	<-r.slow.closed
	numbers[0] = c.ask("sql.open", "slow", "first").(list)[0]
	c.refused(nil, "unknown_cursor", "", "sql.next", 1)
	_, failure := c.answer(c.send(nil, 50, "sql.next", numbers[1]))
	if failure == nil || failure.Code != "deadline" || !failure.Retry {
		t.Errorf("a page that does not come: %v", failure)
	}
	<-r.slow.closed // its statement is cancelled
	c.refused(nil, "unknown_cursor", "", "sql.next", numbers[1])
}

func TestIdleCursorsTimeOut(t *testing.T) {
	r := start(t, func(c *Config) { c.CursorIdle = 30 * time.Millisecond })
	c := r.caller()
	opened := c.ask("sql.open", "slow", "first").(list)
	<-r.slow.closed
	c.refused(nil, "unknown_cursor", "idle for too long", "sql.next", opened[0])
}

func TestTheDeadlineOfAnOpenClosesItsQuery(t *testing.T) {
	r := start(t, nil)
	c := r.caller()
	_, failure := c.answer(c.send(nil, 50, "sql.open", "slow", "never"))
	if failure == nil || failure.Code != "deadline" || strings.Contains(failure.Reason, "hunter2") {
		t.Errorf("%v", failure)
	}
	<-r.slow.closed
}

func TestASlowDatabaseHoldsUpNoOtherCall(t *testing.T) {
	r := start(t, nil)
	c := r.caller()
	const slow = 20
	for range slow {
		c.send(nil, 3_600_000, "sql.open", "slow", "never")
	}
	for range 50 { // each is answered before any of the others, whose time is not up for an hour
		c.ask("sql.open", "local", "select 1")
	}
	c.client.Close()
	for range slow {
		<-r.slow.closed
	}
}

func TestValuesByKey(t *testing.T) {
	r := start(t, nil)
	c := r.caller()
	c.ask("kv.put", "features", list{list{"a", []byte("1")}, list{"b", "", nil}, list{"c", []byte("3"), 1500}})
	got := c.ask("kv.get", "features", list{"a", "b", "none", "c ttl"}).(list)
	if fmt.Sprintf("%q", got) != `["1" "" <nil> "1.5s"]` || got[1] == nil {
		t.Errorf("%q", got)
	}
	c.ask("kv.delete", "features", list{"a"})
	if got := c.ask("kv.get", "features", list{"a"}).(list); got[0] != nil {
		t.Errorf("%q", got)
	}
	if r.store.trips != 4 {
		t.Errorf("%d round trips", r.store.trips)
	}
	r.store.values["big"] = make([]byte, 7<<20)
	c.refused(nil, "answer_too_large", "ask for fewer keys at once", "kv.get", "features", list{"big", "big"})
}

func TestObjectsGoInPartsAndComeByRange(t *testing.T) {
	r := start(t, nil)
	c := r.caller()
	if c.ask("objects.head", "models", "m") != nil {
		t.Error("there is an object")
	}
	upload := c.ask("objects.begin", "models", "m")
	c.ask("objects.part", upload, 2, []byte("world"))
	c.ask("objects.part", upload, 1, []byte("hello "))
	c.ask("objects.finish", upload, 11, "sum")
	if got := fmt.Sprint(c.ask("objects.head", "models", "m")); got != "[11 sum]" {
		t.Error(got)
	}
	for _, x := range []struct {
		offset, length int
		want           string
	}{{0, 5, "hello"}, {6, 100, "world"}, {11, 5, ""}, {99, 5, ""}, {0, 0, ""}} {
		got := c.ask("objects.get", "models", "m", x.offset, x.length).(list)
		if string(got[0].([]byte)) != x.want || fmt.Sprint(got[1]) != "11" {
			t.Errorf("%d, %d: %q", x.offset, x.length, got)
		}
	}
	if got := fmt.Sprint(c.ask("objects.list", "models", "", "")); got != "[[m 11]]" {
		t.Error(got)
	}
	c.ask("objects.delete", "models", "m")
	damaged := c.ask("objects.begin", "models", "m")
	c.refused(nil, "damaged", "size or hash", "objects.finish", damaged, 5, "sum")
	c.refused(nil, "unknown_upload", "", "objects.part", damaged, 1, []byte{})
	c.refused(nil, "bad_arguments", "at most 4194304 are taken at once", "objects.part", c.ask("objects.begin", "models", "m"), 1, make([]byte, objects.PartBytes+1))
	c.client.Close()
	eventually(t, "the upload to be aborted", func() bool { r.bucket.mu.Lock(); defer r.bucket.mu.Unlock(); return r.bucket.aborted == 1 })
}

func TestStagedWritesAreDoneInTheirOrderWhenTheirBatchIs(t *testing.T) {
	r := start(t, nil)
	c := r.caller()
	c.under(&lease, "stage", list{
		list{"publish", "alerts", []byte("one"), "key", list{"h", []byte("1")}},
		list{"publish", "alerts", "two"},
		list{"publish", "alerts", nil},
		list{"kv.put", "features", "a", []byte("1")},
		list{"kv.put", "features", "b", []byte("2"), 1000},
		list{"kv.delete", "features", "a"},
		list{"objects.put", "models", "m", bytes.Repeat([]byte("x"), 5<<20)},
	})
	if len(r.staged) != 4 || len(r.store.values) != 0 || len(r.bucket.objects) != 0 {
		t.Fatalf("%d writes staged; %v", len(r.staged), r.store.values)
	}
	if what := r.staged[0].What + ", " + r.staged[1].What + ", " + r.staged[3].What; what != "publish to alerts, kv.put in features, objects.put m in models" {
		t.Error(what)
	}
	if r.staged[3].Bytes < 5<<20 {
		t.Errorf("%d bytes", r.staged[3].Bytes)
	}
	if err := errors.Join(r.apply()...); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%q", r.store.values); got != `map["b":"2" "b ttl":"1s"]` {
		t.Error(got)
	}
	if len(r.bucket.objects["m"]) != 5<<20 {
		t.Error("no object")
	}
	records, _, err := r.conn.Browse(context.Background(), "alerts", messaging.Oldest, 10)
	if err != nil || len(records) != 3 || string(records[0].Value) != "one" || string(records[0].Key) != "key" || records[0].Headers[0].Name != "h" || records[2].Value != nil {
		t.Errorf("%v %v", records, err)
	}
}

func TestMistakesInStagedWritesAreToldToTheModel(t *testing.T) {
	r := start(t, nil)
	c := r.caller()
	for words, w := range map[string]list{
		`unknown_stream no stream "alert". Declared: alerts`:                      {"publish", "alert", "v"},
		`unknown_connection no connection "x"`:                                    {"kv.put", "x", "k", "v"},
		"not_supported connection local (sqlite:) keeps no values":                {"kv.delete", "local", "k"},
		"not_supported connection local (sqlite:) keeps no object":                {"objects.put", "local", "k", "v"},
		`bad_arguments stage: writes[0]: kind is "sql.execute", expected publish`: {"sql.execute", "local", "k"},
	} {
		code, reason, _ := strings.Cut(words, " ")
		c.refused(&lease, code, reason, "stage", list{w})
	}
	if len(r.staged) > 0 {
		t.Error("staged")
	}
}

func TestAStagedWriteThatWillNeverSucceedIsGivenUpAndAnotherTriedAgain(t *testing.T) {
	r := start(t, nil)
	c := r.caller()
	for _, x := range []struct {
		err   error
		given bool
	}{{errors.New("connection lost"), false}, {sql.Errorf(sql.BadValue, "no"), true}, {messaging.ErrNotSupported, true}, {context.DeadlineExceeded, false}} {
		r.store.fail = x.err
		c.under(&lease, "stage", list{list{"kv.put", "features", "a", "v"}})
		errs := r.apply()
		if errs[0] == nil || errors.Is(errs[0], dispatch.ErrRefused) != x.given {
			t.Errorf("%v: %v", x.err, errs[0])
		}
	}
}

func TestAStoreThatCannotBeReachedIsNobodysFaultAndMayBeAskedAgain(t *testing.T) {
	r := start(t, nil)
	c := r.caller()
	r.store.fail = fmt.Errorf("connection features: get: %w", syscall.ECONNREFUSED)
	for _, call := range []list{{"kv.get", "features", list{"a"}}, {"kv.put", "features", list{list{"a", []byte("v")}}}, {"kv.delete", "features", list{"a"}}} {
		_, failure := c.answer(c.send(nil, 60_000, call[0].(string), call[1:]...))
		if failure == nil || failure.Code != "unavailable" || !failure.Retry {
			t.Errorf("%v: %v", call, failure)
		}
	}
}

func TestPublishGoesToWhoeverPublishes(t *testing.T) {
	if got := start(t, nil).caller().ask("publish", "alerts", list{}); fmt.Sprint(got) != "7" {
		t.Error(got)
	}
}

func TestEveryMethodAndCodeIsDocumented(t *testing.T) {
	text, err := os.ReadFile("METHODS.md")
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, nil)
	for name, m := range r.handler.methods {
		row := regexp.MustCompile("(?m)^\\| `" + regexp.QuoteMeta(name) + "` \\|.* (yes|no|only) \\|$").FindSubmatch(text)
		if row == nil {
			t.Errorf("METHODS.md has no row for %s", name)
			continue
		}
		if want := map[rule]string{anywhere: "yes", outside: "no", within: "only"}[m.rule]; string(row[1]) != want {
			t.Errorf("METHODS.md says %s of %s under a lease, want %s", row[1], name, want)
		}
	}
	for _, code := range []string{"unknown_method", "bad_arguments", "unknown_connection", "unknown_stream", "not_supported", "stale_lease", "needs_lease",
		"under_lease", "unknown_cursor", "unknown_upload", "too_many", "not_found", "damaged", "deadline", "failed", "refused", "answer_too_large",
		sql.BadParameters, sql.BadSQL, sql.BadValue, sql.Unavailable} {
		if !bytes.Contains(text, []byte("`"+code+"`")) {
			t.Errorf("METHODS.md has no code %s", code)
		}
	}
}
