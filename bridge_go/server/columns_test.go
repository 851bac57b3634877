package server_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/server"
	"ds-runner.dev/ds-runner/bridge_go/server/servertest"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

const flights = `{"columns": {"unknown": "skip",
 "fields": [{"name": "distance", "wire": "distance", "kind": "float", "nullable": false}, {"name": "origin", "wire": "from", "kind": "str", "nullable": true, "default": null}],
 "outputs": [{"name": "delay", "wire": "arr_delay", "kind": "float", "nullable": false}, {"name": "why", "wire": "why", "kind": "str", "nullable": true}]}}`

// columnar connects a worker that wants columns by a plan.
func (r *rig) columnar(name, describe string, events, bytes uint64) (*servertest.Client, dispatch.Worker) {
	r.t.Helper()
	hello := servertest.Hello("p", "c", name)
	hello.Wants, hello.Describe = wire.WantColumns, []byte(describe)
	c, _ := servertest.Greeted(r.t, r.address, token, wire.RoleEvents, hello)
	c.Send(&wire.Ready{Events: events, Bytes: bytes})
	return c, r.pool.Wait(r.t, "Ready", name, 1).Handle
}

func floats(values ...float64) (b []byte) {
	for _, v := range values {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
	}
	return b
}

// delays answers a batch with two rows: 1.5 and "late", -2 and null.
func delays(l wire.Lease) *wire.Answers {
	body := make([]byte, 256)
	copy(body, floats(1.5, -2))
	body[64] = 1
	copy(body[128:], []byte{0, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0})
	copy(body[192:], "late")
	return &wire.Answers{Lease: l, Count: 2,
		Columnar: wire.Columnar{Rows: 2, Layout: []uint64{0, 0, 0, 0, 0, 16, 0, 0, 0, 0, 3, 1, 64, 1, 0, 0, 128, 12, 192, 4}, Body: body}}
}

func TestAWorkerThatWantsColumnsGetsThemAndAnswersByThem(t *testing.T) {
	r := start(t, nil)
	c, w := r.columnar("w", flights, 100, 1<<20)
	sent := batch(7, `{"distance": 1400, "from": "JFK", "gate": 3}`, `{"distance": 2.5}`, `{"distance": "far"}`)
	sent.Payloads = append(sent.Payloads, nil)
	sent.Positions[0].N++
	w.Send(sent)
	got := servertest.Expect[*wire.Columns](c)
	if got.Lease != sent.Lease || got.Stream != "in" || got.Rows != 2 || got.Bytes != uint64(sent.Bytes()) || got.Positions[0] != sent.Positions[0] {
		t.Fatalf("%+v", got)
	}
	if len(got.Misfits) != 2 || got.Misfits[0].Index != 2 || string(got.Misfits[0].Payload) != `{"distance": "far"}` ||
		got.Misfits[1].Index != 3 || got.Misfits[1].Payload != nil {
		t.Errorf("misfits %+v", got.Misfits)
	}
	if len(got.Unknown) != 1 || got.Unknown[0] != (wire.Unknown{Name: "gate", N: 1}) {
		t.Errorf("unknown %+v", got.Unknown)
	}
	if at := got.Layout[4]; string(got.Body[at:at+16]) != string(floats(1400, 2.5)) {
		t.Errorf("the first column is % x", got.Body[at:at+16])
	}
	answers := delays(sent.Lease)
	answers.Count, answers.Errors = 4, []wire.RowError{{Index: 2, Kind: wire.KindFail, Code: "invalid_event"}, {Index: 3, Kind: wire.KindReject}}
	c.Send(answers)
	heard := r.pool.Wait(t, "Result", "w", 1).Result
	outputs, _ := heard.Split()
	if len(outputs) != 2 || string(outputs[0]) != `{"arr_delay":1.5,"why":"late"}` || string(outputs[1]) != `{"arr_delay":-2.0,"why":null}` {
		t.Errorf("outputs %q", outputs)
	}
	if heard.Count != 4 || len(heard.Errors) != 2 || heard.Lease != sent.Lease {
		t.Errorf("heard %+v", heard)
	}
	for form, want := range map[string]float64{"columns": 2, "misfit": 2, "payload": 0} {
		if n := r.metric("ds_wire_events_total", "program=p", "command=c", "form="+form); n != want {
			t.Errorf("%v events as %s, wants %v", n, form, want)
		}
	}
}

func TestABatchThatColumnsAreNotForGoesAsPayloads(t *testing.T) {
	wide := wideplan(400)
	for name, c := range map[string]struct {
		plan   string
		events []string
	}{
		"no plan":          {`{"input": {}}`, []string{`{"distance": 1}`}},
		"a plan of null":   {`{"columns": null}`, []string{`{"distance": 1}`}},
		"no event fits":    {flights, []string{`{"distance": null}`, `{`}},
		"a frame too long": {wide, repeated(`{}`, 16_000)},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, nil)
			client, w := r.columnar("w", c.plan, 20_000, 1<<20)
			w.Send(batch(7, c.events...))
			if got := servertest.Expect[*wire.Batch](client); len(got.Payloads) != len(c.events) {
				t.Errorf("%d payloads", len(got.Payloads))
			}
			if n := r.metric("ds_wire_events_total", "form=payload"); n != float64(len(c.events)) {
				t.Errorf("%v events as payloads", n)
			}
		})
	}
}

// wideplan has so many columns that events of two bytes become long rows.
func wideplan(n int) string {
	fields := make([]string, n)
	for i := range fields {
		fields[i] = fmt.Sprintf(`{"name":"f%d","wire":"f%d","kind":"float","nullable":true,"default":null}`, i, i)
	}
	return `{"columns":{"unknown":"skip","fields":[` + strings.Join(fields, ",") + `],"outputs":null}}`
}

func repeated(s string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = s
	}
	return list
}

func TestALongBatchOfColumnsIsMadeByTheWriter(t *testing.T) {
	r := start(t, nil)
	c, w := r.columnar("w", flights, 20_000, 4<<20)
	long := repeated(`{"distance": 1400, "from": "JFK", "more": "`+strings.Repeat("x", 100)+`"}`, 6_000)
	w.Send(batch(7, long...))
	w.Send(batch(8, long[0]))
	if got := servertest.Expect[*wire.Columns](c); got.Rows != 6_000 || got.Batch != 7 {
		t.Errorf("%d rows of batch %d", got.Rows, got.Batch)
	}
	if got := servertest.Expect[*wire.Columns](c); got.Rows != 1 || got.Batch != 8 {
		t.Errorf("%d rows of batch %d", got.Rows, got.Batch)
	}
}

func TestUnknownFieldsAreToldOfWithinTheLimitsOfTheFrame(t *testing.T) {
	r := start(t, nil)
	c, w := r.columnar("w", flights, 100, 1<<20)
	event := []byte(`{"distance": 1`)
	for n := range 40 {
		event = fmt.Appendf(event, `, "%s%d": [{}]`, strings.Repeat("\U0001F6EB", 90), n)
	}
	w.Send(batch(7, string(event)+"}"))
	got := servertest.Expect[*wire.Columns](c)
	if len(got.Unknown) != wire.MaxUnknown || len(got.Misfits) != 0 {
		t.Errorf("%d names, %d misfits", len(got.Unknown), len(got.Misfits))
	}
}

// What waits for a worker that does not read is payloads: columns are made when they are written, one frame at a time.
func TestColumnsTakeNoMemoryWhileTheyWait(t *testing.T) {
	const batches, events, fields = 64, 256, 400
	r := start(t, nil)
	c, w := r.columnar("w", wideplan(fields), batches*events, 1<<20)
	empty := repeated(`{}`, events)
	before := heap()
	for n := range uint64(batches) {
		w.Send(batch(n, empty...))
	}
	if more := int64(heap()) - int64(before); more > 8<<20 {
		t.Errorf("%d bytes for %d of columns that wait", more, batches*events*fields*8)
	}
	for n := range uint64(batches) {
		if got := servertest.Expect[*wire.Columns](c); got.Batch != n || len(got.Body) < events*fields*8 {
			t.Fatalf("batch %d has %d bytes", got.Batch, len(got.Body))
		}
	}
}

func TestAPlanThatIsNotUnderstoodIsToldOfOnceAndItsEventsGoAsPayloads(t *testing.T) {
	for describe, place := range map[string]string{
		`{"columns": {"unknown": "keep", "fields": []}}`:                                              "unknown is",
		`{"columns": {"unknown": "skip", "fields": [{"name": "a", "wire": "a", "kind": "complex"}]}}`: "complex",
		`{"columns": 7}`: "the plan",
		`{"columns": {"unknown": "skip", "fields": [{"name": "a", "wire": "a", "kind": "float", "within": 3}]}}`:     "within",
		`{"columns": {"unknown": "skip", "fields": [{"name": "a", "wire": "a", "kind": "str", "pattern": "(?<a"}]}}`: "regexp",
		`{"columns"`: "no JSON",
	} {
		t.Run(place, func(t *testing.T) {
			log := &safeLog{}
			r := start(t, func(c *server.Config) { c.Log = slog.New(slog.NewTextHandler(log, nil)) })
			c, w := r.columnar("w", describe, 100, 1<<20)
			for n := range uint64(2) {
				w.Send(batch(n+1, `{"a": 1}`))
				servertest.Expect[*wire.Batch](c)
			}
			said := log.lines("no columns")
			if len(said) != 1 || !strings.Contains(said[0], place) || !strings.Contains(said[0], "level=WARN") {
				t.Errorf("%s: the log says %q", describe, said)
			}
			if n := r.metric("ds_wire_events_total", "form=payload"); n != 2 {
				t.Errorf("%v events as payloads", n)
			}
		})
	}
}

// lines are those of the log that have the text.
func (l *safeLog) lines(text string) (found []string) {
	for line := range strings.Lines(l.String()) {
		if strings.Contains(line, text) {
			found = append(found, line)
		}
	}
	return found
}

func TestAWorkerWithoutAPlanThatIsUnderstoodMayNotAnswerByColumns(t *testing.T) {
	r := start(t, nil)
	c, w := r.columnar("w", `{"columns": 7}`, 100, 1<<20)
	sent := batch(7, `{"distance": 1}`, `{"distance": 2}`)
	w.Send(sent)
	servertest.Expect[*wire.Batch](c)
	c.Send(delays(sent.Lease))
	c.ExpectBye(wire.ByeOrder)
}

func TestAWorkerThatDoesNotAskGetsPayloadsWhateverItsPlan(t *testing.T) {
	r := start(t, nil)
	hello := servertest.Hello("p", "c", "w")
	hello.Describe = []byte(`{"columns": 7}`)
	c, _ := servertest.Greeted(t, r.address, token, wire.RoleEvents, hello)
	c.Send(&wire.Ready{Events: 9, Bytes: 999})
	r.pool.Wait(t, "Ready", "w", 1).Handle.Send(batch(7, `{"distance": 1}`))
	servertest.Expect[*wire.Batch](c)
}

// A worker of minor version 0 knows neither frame, whatever bits it sets.
func TestAWorkerOfMinorVersion0GetsPayloadsAndCannotAnswerByColumns(t *testing.T) {
	r := start(t, nil)
	nc := servertest.Connect(t, r.address)
	nc.SetDeadline(time.Now().Add(servertest.Patience))
	opening := wire.Opening{Lowest: 1, Highest: 1, Minor: 0, Role: wire.RoleEvents, Nonce: wire.NewNonce()}.Bytes()
	nc.Write(opening[:])
	var challenge [80]byte
	if _, err := io.ReadFull(nc, challenge[:]); err != nil || challenge[9] != 0 {
		t.Fatalf("minor version %d, %v", challenge[9], err)
	}
	mac := hmac.New(sha256.New, token)
	mac.Write(append(append([]byte("ds-wire client"), opening[:]...), challenge[:48]...))
	nc.Write(mac.Sum(nil))
	nc.Read(challenge[:1])
	reader := wire.NewReader(nc)
	hello := servertest.Hello("p", "c", "old")
	hello.Wants, hello.Describe = wire.WantColumns|wire.WantKeys, []byte(flights)
	say(t, nc, hello, &wire.Ready{Events: 9, Bytes: 999})
	r.pool.Wait(t, "Ready", "old", 1).Handle.Send(batch(7, `{"distance": 1}`, `{"distance": 2}`))
	hear[*wire.Welcome](t, reader)
	got := hear[*wire.Batch](t, reader)
	say(t, nc, delays(got.Lease))
	if bye := hear[*wire.Bye](t, reader); bye.Code != wire.ByeUnknownType {
		t.Errorf("BYE %d (%s)", bye.Code, bye.Reason)
	}
}

func say(t *testing.T, w io.Writer, list ...wire.Message) {
	t.Helper()
	for _, m := range list {
		b, err := wire.AppendFrame(nil, m, wire.FirstMaxFrame)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(b); err != nil {
			t.Fatal(err)
		}
	}
}

func hear[M wire.Message](t *testing.T, r *wire.Reader) M {
	t.Helper()
	frame, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	m, err := wire.Decode(frame, 0)
	want, ok := m.(M)
	if !ok {
		t.Fatalf("%#v, %v, wants a %T", m, err, want)
	}
	return want
}

func TestHostileAnswersCloseTheirWorkerAlone(t *testing.T) {
	r := start(t, nil)
	healthy, hw := r.ready("healthy", 100, 1<<20)
	change := func(f func(a *wire.Answers)) func(wire.Lease) *wire.Answers {
		return func(l wire.Lease) *wire.Answers {
			a := delays(l)
			f(a)
			return a
		}
	}
	number := 0
	for name, c := range map[string]struct {
		plan   string
		answer func(wire.Lease) *wire.Answers
		code   wire.ByeCode
	}{
		"a plan without outputs":          {wideplan(1), delays, wire.ByeOrder},
		"no plan":                         {`{}`, delays, wire.ByeOrder},
		"a float that is NaN":             {flights, change(func(a *wire.Answers) { copy(a.Body, floats(math.NaN())) }), wire.ByeMalformed},
		"a column too few":                {flights, change(func(a *wire.Answers) { a.Layout = a.Layout[:10] }), wire.ByeMalformed},
		"another encoding":                {flights, change(func(a *wire.Answers) { a.Layout[0] = 1 }), wire.ByeMalformed},
		"a null too many":                 {flights, change(func(a *wire.Answers) { a.Body[64] = 0 }), wire.ByeMalformed},
		"no UTF-8":                        {flights, change(func(a *wire.Answers) { a.Body[192] = 0xff }), wire.ByeMalformed},
		"an offset past the text":         {flights, change(func(a *wire.Answers) { a.Body[132] = 5 }), wire.ByeMalformed},
		"an offset that falls":            {flights, change(func(a *wire.Answers) { a.Body[136] = 3 }), wire.ByeMalformed},
		"a word and a million rows of it": {flights, func(l wire.Lease) *wire.Answers { return bomb(l) }, wire.ByeLimit},
	} {
		t.Run(name, func(t *testing.T) {
			number++
			id := fmt.Sprint("hostile", number)
			client, w := r.columnar(id, c.plan, 100, 1<<20)
			b := batch(7, `{"distance": 1, "f0": 1}`, `{"distance": 2, "f0": 2}`)
			w.Send(b)
			if _, err := client.Receive(); err != nil {
				t.Fatal(err)
			}
			client.Send(c.answer(b.Lease))
			bye := client.ExpectBye(c.code)
			if !strings.HasPrefix(bye.Reason, "ANSWERS") {
				t.Errorf("the reason is %q", bye.Reason)
			}
			if heard := r.pool.Wait(t, "Leave", id, 1); heard.Err == nil {
				t.Error("it has left with a goodbye")
			}
		})
	}
	if n := r.pool.Count("Result"); n != 0 {
		t.Errorf("%d results were heard", n)
	}
	r.ping(healthy, hw, 1)
}

// bomb is an answer of 1.1 MB whose documents would have 26 GB.
func bomb(l wire.Lease) *wire.Answers {
	const rows, text = 262_144, 100_000
	words := 64 + 8*rows + 4*rows
	body := make([]byte, words+64+text)
	binary.LittleEndian.PutUint32(body[words+4:], text)
	copy(body[words+64:], strings.Repeat("x", text))
	return &wire.Answers{Lease: l, Count: 2, Counts: []uint64{rows, 0}, Columnar: wire.Columnar{Rows: rows, Body: body, Layout: []uint64{
		0, 0, 0, 0, 0, 8 * rows, 0, 0, 0, 0, 4, 0, 0, 0, 8 * rows, 4 * rows, uint64(words), 8, uint64(words + 64), text}}}
}

func TestAnswersOfAnEndedLeaseAreDroppedUnread(t *testing.T) {
	r := start(t, nil)
	c, _ := r.columnar("w", flights, 100, 1<<20)
	c.Send(bomb(wire.Lease{Nonce: 77, Batch: 9}), &wire.Bye{})
	if heard := r.pool.Wait(t, "Result", "w", 1).Result; heard.Batch != 9 {
		t.Errorf("heard %+v", heard)
	}
	if heard := r.pool.Wait(t, "Leave", "w", 1); heard.Err != nil {
		t.Error(heard.Err)
	}
}
