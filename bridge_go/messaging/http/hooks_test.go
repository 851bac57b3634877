package http

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	nethttp "net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// A gate is a connection that listens, with one stream in.
type gate struct {
	*testing.T
	h    *hooks
	url  string
	src  messaging.Source
	wait sync.WaitGroup
}

func newGate(t *testing.T, settings ...string) *gate {
	t.Helper()
	given := map[string]string{}
	for i := 0; i < len(settings); i += 2 {
		given[settings[i]] = settings[i+1]
	}
	c, err := messaging.Open(t.Context(), messaging.Options{Name: "hooks", URL: "webhook://127.0.0.1:0", Settings: given})
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{T: t, h: c.(*hooks)}
	g.url = "http://" + g.h.address.String()
	t.Cleanup(func() { c.Close(context.Background()); g.wait.Wait() })
	g.open()
	return g
}

func (g *gate) open() {
	g.Helper()
	src, err := g.h.Source(g.Context(), messaging.SourceConfig{Topic: "in", Group: "p/c"})
	if err != nil {
		g.Fatal(err)
	}
	g.src = src
}

// A reply is an answer, once it has come.
type reply struct {
	status int
	header nethttp.Header
	text   string
	err    error
}

func (r reply) problem() (p problem) {
	json.Unmarshal([]byte(r.text), &p)
	return p
}

// post sends a request and does not wait for its answer.
func (g *gate) post(body string, headers ...string) <-chan reply {
	return g.postTo(g.Context(), "/in", strings.NewReader(body), headers...)
}

func (g *gate) postTo(ctx context.Context, path string, body io.Reader, headers ...string) <-chan reply {
	g.Helper()
	q, err := nethttp.NewRequestWithContext(ctx, "POST", g.url+path, body)
	if err != nil {
		g.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		q.Header.Add(headers[i], headers[i+1])
	}
	replies := make(chan reply, 1)
	g.wait.Go(func() {
		a, err := nethttp.DefaultClient.Do(q)
		if err != nil {
			replies <- reply{err: err}
			return
		}
		defer a.Body.Close()
		text, err := io.ReadAll(a.Body)
		replies <- reply{a.StatusCode, a.Header, string(text), err}
	})
	return replies
}

// now is the answer of a request that waits for nothing.
func (g *gate) now(replies <-chan reply) reply {
	g.Helper()
	select {
	case r := <-replies:
		if r.err != nil {
			g.Fatal(r.err)
		}
		return r
	case <-time.After(time.Minute):
		g.Fatal("no answer")
		return reply{}
	}
}

func (g *gate) wants(replies <-chan reply, status int, code string) reply {
	g.Helper()
	r := g.now(replies)
	if r.status != status || r.problem().Code != code {
		g.Fatalf("got %d %s, want %d %q", r.status, r.text, status, code)
	}
	if status >= 400 && r.header.Get("Content-Type") != "application/problem+json" {
		g.Fatalf("a problem is %s", r.header.Get("Content-Type"))
	}
	if (status == 503) != (r.header.Get("Retry-After") != "") {
		g.Fatalf("%d with Retry-After %q", status, r.header.Get("Retry-After"))
	}
	return r
}

// silent wants that there is no answer yet.
func (g *gate) silent(replies <-chan reply) {
	g.Helper()
	select {
	case r := <-replies:
		g.Fatalf("answered %d %s %v before anything was stored", r.status, r.text, r.err)
	case <-time.After(30 * time.Millisecond):
	}
}

func (g *gate) read(n int) (all []messaging.Record) {
	g.Helper()
	ctx, cancel := context.WithTimeout(g.Context(), time.Minute)
	defer cancel()
	for len(all) < n {
		some, err := g.src.Read(ctx, messaging.Limit{Events: n - len(all), Bytes: 1 << 20})
		if err != nil {
			g.Fatalf("after %d of %d: %v", len(all), n, err)
		}
		all = append(all, some...)
	}
	return all
}

func (g *gate) commit(r messaging.Record) {
	g.Helper()
	if err := g.src.Commit(g.Context(), []messaging.Position{{Partition: r.Partition, Offset: r.Offset, Epoch: r.Epoch}}); err != nil {
		g.Fatal(err)
	}
}

func texts(records []messaging.Record) (all []string) {
	for _, r := range records {
		all = append(all, string(r.Value))
	}
	return all
}

func TestARequestIsAnsweredWhenTheFateOfAllItsEventsIsStoredAndNotBefore(t *testing.T) {
	g := newGate(t)
	for _, c := range []struct {
		contentType, body string
		want              []string
	}{
		{"", `{"a": 1}`, []string{`{"a": 1}`}},
		{"application/json", ` [ {"a":1} , 2,"x" ,[3]] `, []string{`{"a":1}`, "2", `"x"`, "[3]"}},
		{"application/cloudevents+json; charset=UTF-8", `7`, []string{"7"}},
		{"application/x-ndjson", "{\"a\":1}\r\n\n  [2, 3]\n\"x\"", []string{`{"a":1}`, "[2, 3]", `"x"`}},
	} {
		answer := g.post(c.body, "Content-Type", c.contentType)
		got := g.read(len(c.want))
		if !slices.Equal(texts(got), c.want) {
			t.Fatalf("%s: %q", c.body, texts(got))
		}
		for i, r := range got {
			g.silent(answer)
			if i > 0 && (r.Partition != got[0].Partition || r.Offset <= got[i-1].Offset) {
				t.Fatalf("%+v after %+v", r, got[i-1])
			}
			g.commit(r)
		}
		if r := g.now(answer); r.status != 200 || strings.TrimSpace(r.text) != fmt.Sprintf(`{"events":%d}`, len(c.want)) {
			t.Fatalf("%d %s", r.status, r.text)
		}
	}
}

func TestASlowRequestDelaysNoOther(t *testing.T) {
	g := newGate(t)
	slow := g.post("1")
	first := g.read(1)[0]
	for i := range 20 {
		other := g.post(fmt.Sprint(i))
		r := g.read(1)[0]
		if r.Partition == first.Partition {
			t.Fatal("the same partition")
		}
		g.commit(r)
		g.wants(other, 200, "")
	}
	g.silent(slow)
	g.commit(first)
	g.wants(slow, 200, "")
	if n := g.src.(*source).made; n > 2 {
		t.Fatalf("%d partitions for two requests at a time", n)
	}
}

func TestEventsKeepWhatTheRequestSaidOfThem(t *testing.T) {
	g := newGate(t, "keep_headers", "X-GitHub-Event, X-Many")
	g.post("[1,2]", "Idempotency-Key", "abc", "Ds-Key", "k%20%C3%A9", "X-GitHub-Event", "push", "X-Many", "1", "X-Many", "2", "X-Other", "3")
	for i, r := range g.read(2) {
		want := []messaging.Header{
			{Name: "x-github-event", Value: []byte("push")}, {Name: "x-many", Value: []byte("1")}, {Name: "x-many", Value: []byte("2")},
			{Name: "idempotency-key", Value: fmt.Appendf(nil, "abc/%d", i)},
		}
		if string(r.Key) != "k é" || fmt.Sprint(r.Headers) != fmt.Sprint(want) || time.Since(time.Unix(0, r.Time)) > time.Minute {
			t.Fatalf("%s %s", r.Key, r.Headers)
		}
	}
	g.post("1", "Idempotency-Key", "abcd")
	if r := g.read(1)[0]; r.Key != nil || string(r.Headers[0].Value) != "abcd" {
		t.Fatalf("%+v", r)
	}
}

func TestWhatCannotBeTakenIsTakenInNoPart(t *testing.T) {
	g := newGate(t, "max_body", "1KiB", "max_event", "100B", "max_events", "5")
	long := `"` + strings.Repeat("x", 200) + `"`
	for _, c := range []struct {
		contentType, body string
		status            int
		code              string
		indexes           []int
	}{
		{"", "", 400, "malformed", nil},
		{"", "{", 400, "events", []int{0}},
		{"", "1 2", 400, "events", []int{0}},
		{"", `{"a":"` + "\xff" + `"}`, 400, "events", []int{0}},
		{"", `[1,` + long + `,"` + "\xff" + `",4]`, 400, "events", []int{1, 2}},
		{"", "[1,2", 400, "malformed", []int{2}},
		{"", "[1,,2]", 400, "malformed", []int{1}},
		{"", "[1,{2]", 400, "malformed", []int{1}},
		{"", "[1] [2]", 400, "malformed", []int{1}},
		{"", "[1]]", 400, "malformed", []int{1}},
		{"", "[1,2,3,4,5,6]", 413, "too_many", nil},
		{"application/x-ndjson", "1\n2\n3\n4\n5\n6", 413, "too_many", nil},
		{"application/x-ndjson", "1\n{\n" + long + "\n{}{}\n5", 400, "events", []int{1, 2, 3}},
		{"", `"` + strings.Repeat("x", 2000) + `"`, 413, "too_large", nil},
		{"text/plain", "1", 415, "content_type", nil},
		{"application/json; charset=latin1", "1", 415, "content_type", nil},
		{"application/json; charset", "1", 415, "content_type", nil},
	} {
		r := g.wants(g.post(c.body, "Content-Type", c.contentType), c.status, c.code)
		var indexes []int
		for _, e := range r.problem().Errors {
			indexes = append(indexes, e.Index)
		}
		if !slices.Equal(indexes, c.indexes) {
			t.Errorf("%.40s: %s", c.body, r.text)
		}
	}
	g.wants(g.postTo(g.Context(), "/in", io.LimitReader(endless{}, 3000)), 413, "too_large") // of a length that is not announced
	g.wants(g.post("[]"), 200, "")
	g.wants(g.post("\n\n", "Content-Type", "application/x-ndjson"), 200, "")
	if g.src.Lag(g.Context()) != 0 {
		t.Fatal("something was taken")
	}
	g.whole()
}

type endless struct{}

func (endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = '1'
	}
	return len(b), nil
}

// whole wants that nothing of the budget is missing.
func (g *gate) whole() {
	g.Helper()
	b := g.h.held
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		b.mu.Lock()
		events, bytes := b.events, b.bytes
		b.mu.Unlock()
		if events == g.h.settings.holdEvents && bytes == g.h.settings.holdBytes {
			return
		}
		if time.Now().After(end) {
			g.Fatalf("%d events and %d bytes are held by nobody", g.h.settings.holdEvents-events, g.h.settings.holdBytes-bytes)
		}
	}
}

func TestOtherPathsMethodsAndIDsAreRefused(t *testing.T) {
	g := newGate(t)
	g.wants(g.postTo(g.Context(), "/other", strings.NewReader("1")), 404, "not_found")
	g.wants(g.postTo(g.Context(), "/", strings.NewReader("1")), 404, "not_found")
	g.wants(g.post("1", "Idempotency-Key", strings.Repeat("x", 256)), 400, "id")
	g.wants(g.post("1", "Idempotency-Key", "a", "Idempotency-Key", "b"), 400, "id")
	g.wants(g.post("1", "Idempotency-Key", ""), 400, "id")
	g.wants(g.post("1", "Ds-Key", "%zz"), 400, "key")
	g.wants(g.post("1", "Content-Encoding", "br"), 415, "content_encoding")
	a, err := nethttp.Get(g.url + "/in")
	if err != nil || a.StatusCode != 405 || a.Header.Get("Allow") != "POST" {
		t.Fatal(a, err)
	}
	a.Body.Close()
}

func TestOneReaderAtATime(t *testing.T) {
	g := newGate(t)
	if _, err := g.h.Source(t.Context(), messaging.SourceConfig{Topic: "in", Group: "other"}); !errors.Is(err, messaging.ErrBusy) {
		t.Fatalf("got %v", err)
	}
	if _, err := g.h.Source(t.Context(), messaging.SourceConfig{Topic: "x", Transactional: true}); !errors.Is(err, messaging.ErrNotSupported) {
		t.Fatalf("got %v", err)
	}
	if _, err := g.h.Sink(t.Context(), messaging.SinkConfig{Topic: "in"}); !errors.Is(err, messaging.ErrNotSupported) {
		t.Fatalf("got %v", err)
	}
	if _, _, err := g.h.Browse(t.Context(), "in", messaging.Oldest, 1); !errors.Is(err, messaging.ErrNotSupported) {
		t.Fatalf("got %v", err)
	}
}

func TestAKnownStreamThatNobodyReadsAsksSendersToComeAgain(t *testing.T) {
	g := newGate(t)
	if _, err := g.h.Incarnation(t.Context(), "later"); err != nil {
		t.Fatal(err)
	}
	g.wants(g.postTo(g.Context(), "/later", strings.NewReader("1")), 503, "not_ready")
	g.src.Close(t.Context())
	g.wants(g.post("1"), 503, "not_ready")
	g.open()
	answer := g.post("1")
	g.commit(g.read(1)[0])
	g.wants(answer, 200, "")
}

func TestTheStreamsOfAProgramAreKnownFromTheFirstRequestOn(t *testing.T) {
	c, err := messaging.Open(t.Context(), messaging.Options{Name: "hooks", URL: "webhook://127.0.0.1:0", Topics: []string{"in"}})
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{T: t, h: c.(*hooks), url: "http://" + c.(*hooks).address.String()}
	t.Cleanup(func() { c.Close(context.Background()); g.wait.Wait() })
	g.wants(g.post("1"), 503, "not_ready")
	g.wants(g.postTo(t.Context(), "/other", strings.NewReader("1")), 404, "not_found")
}

func TestWhatIsHeldIsBoundedByEventsAndBytes(t *testing.T) {
	g := newGate(t, "hold_events", "10", "max_events", "10", "hold_bytes", "64KiB", "max_body", "64KiB", "timeout", "1m")
	held := g.post("[1,2,3,4,5,6,7,8]")
	got := g.read(8)
	g.wants(g.post("[1,2,3]"), 503, "full")
	two := g.post("[1,2]")
	more := g.read(2)
	g.wants(g.post("1"), 503, "full")
	g.commit(more[1])
	g.wants(two, 200, "")
	g.commit(got[7])
	g.wants(held, 200, "")
	big := `"` + strings.Repeat("x", 50<<10) + `"`
	wide := g.post(big)
	r := g.read(1)[0]
	g.wants(g.post(big), 503, "full")
	g.commit(r)
	g.wants(wide, 200, "")
	g.whole()
}

func TestSendersProveWhoTheyAre(t *testing.T) {
	const body = `{"a":1}`
	sign := func(secret, body string) string {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(body))
		return "sha256=" + hex.EncodeToString(mac.Sum(nil))
	}
	g := newGate(t, "token", "hunter2", "hmac_secret", "s3cret")
	for _, given := range [][]string{
		{}, {"Authorization", "hunter2"}, {"Authorization", "Bearer hunter3"}, {"Authorization", "Bearer"}, {"Authorization", "Basic hunter2"},
	} {
		if r := g.wants(g.post(body, given...), 401, "unauthorized"); strings.Contains(r.text, "hunter2") {
			t.Fatal("the answer tells the token")
		}
	}
	for _, signature := range []string{"", "sha256=", "sha256=zz", sign("other", body), sign("s3cret", body+" "), sign("s3cret", body)[7:]} {
		g.wants(g.post(body, "Authorization", "Bearer hunter2", "X-Hub-Signature-256", signature), 401, "signature")
	}
	answer := g.post(body, "Authorization", "bearer hunter2", "X-Hub-Signature-256", sign("s3cret", body))
	g.commit(g.read(1)[0])
	g.wants(answer, 200, "")
	g.whole()
}

func zip(text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	io.WriteString(z, text)
	z.Close()
	return b.String()
}

func TestCompressedBodiesAreReadWithinTheSameLimits(t *testing.T) {
	g := newGate(t, "max_body", "64KiB", "hold_bytes", "1MiB")
	answer := g.post(zip("[1,2]"), "Content-Encoding", "gzip")
	g.commit(g.read(2)[1])
	g.wants(answer, 200, "")
	bomb := zip(strings.Repeat(" ", 50<<20))
	if len(bomb) > 64<<10 {
		t.Fatalf("the bomb has %d bytes", len(bomb))
	}
	g.wants(g.post(bomb, "Content-Encoding", "gzip"), 413, "too_large")
	g.wants(g.post("[1]", "Content-Encoding", "gzip"), 400, "malformed")
	g.wants(g.post(zip("[1,2]")[:20], "Content-Encoding", "gzip"), 400, "malformed")
	g.whole()
}

func TestARequestThatIsSentAgainGetsTheAnswerOfTheFirst(t *testing.T) {
	g := newGate(t, "timeout", "2s") // in which the third is answered
	first := g.post("[1,2]", "Idempotency-Key", "a")
	got := g.read(2)
	second := g.post("[1,2]", "Idempotency-Key", "a")
	g.wants(g.post("[1,3]", "Idempotency-Key", "a"), 422, "id_reused")
	g.wants(first, 503, "unsettled") // its time is over, and its events are with the model
	g.wants(second, 503, "unsettled")
	third := g.post("[1,2]", "Idempotency-Key", "a")
	g.silent(third)
	g.commit(got[1])
	g.wants(third, 200, "")
	if r := g.wants(g.post("[1,2]", "Idempotency-Key", "a"), 200, ""); !strings.Contains(r.text, `"repeated":true`) {
		t.Fatal(r.text)
	}
	if g.src.Lag(t.Context()) != 0 {
		t.Fatal("the events were taken twice")
	}
	g.whole()
}

func TestARequestThatWasNotReadIsForgottenWithItsSender(t *testing.T) {
	g := newGate(t, "timeout", "1m")
	ctx, leave := context.WithCancel(t.Context())
	gone := g.postTo(ctx, "/in", strings.NewReader("[1,2]"), "Idempotency-Key", "a")
	g.until(func() bool { return g.src.Lag(t.Context()) == 2 })
	leave()
	if r := <-gone; r.err == nil {
		t.Fatal("answered")
	}
	g.until(func() bool { return g.src.Lag(t.Context()) == 0 })
	g.whole()
	again := g.post("[1,2]", "Idempotency-Key", "a")
	g.commit(g.read(2)[1])
	g.wants(again, 200, "")
}

func (g *gate) until(what func() bool) {
	g.Helper()
	for end := time.Now().Add(time.Minute); !what(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			g.Fatal("it does not come to that")
		}
	}
}

func TestIDsAreRememberedForATimeAndUpToANumber(t *testing.T) {
	now := time.Unix(0, 0)
	a := newAnswers(time.Minute, 3)
	a.now = func() time.Time { return now }
	enter := func(id string) bool {
		r := &request{id: id}
		first, p := a.enter(r)
		return p == nil && first == r
	}
	if !enter("a") || enter("a") || !enter("") || !enter("") {
		t.Fatal("one id was taken twice, or none was taken for one")
	}
	now = now.Add(2 * time.Minute)
	if !enter("a") || !enter("b") || !enter("c") || enter("b") || !enter("d") || !enter("a") || enter("d") {
		t.Fatal("it does not forget the oldest, or forgets another")
	}
	if len(a.known) > 3 || len(a.order) > 3 {
		t.Fatalf("%d are remembered", len(a.known))
	}
}

func TestADrainAnswersEveryRequest(t *testing.T) {
	g := newGate(t, "timeout", "1m")
	read := g.post("1")
	got := g.read(1)
	unread := g.post("2")
	g.until(func() bool { return g.src.Lag(t.Context()) == 1 })
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := g.src.Read(ctx, messaging.Limit{Events: 1}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	g.wants(unread, 503, "draining") // at once: nobody is going to read it
	g.wants(g.post("3"), 503, "draining")
	g.silent(read)
	g.commit(got[0])
	g.wants(read, 200, "")
	g.src.Close(t.Context())
	g.whole()
}

func TestClosingAnswersWhatHasNoFate(t *testing.T) {
	g := newGate(t)
	half := g.post("[1,2,3]")
	g.read(2)
	none := g.post("4")
	g.until(func() bool { return g.src.Lag(t.Context()) == 2 })
	waiting := make(chan error, 1)
	src := g.src
	g.read(2)
	go func() { _, err := src.Read(context.Background(), messaging.Limit{}); waiting <- err }()
	if err := g.h.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.wants(half, 503, "draining")
	g.wants(none, 503, "draining")
	if err := <-waiting; !errors.Is(err, messaging.ErrClosed) {
		t.Fatal(err)
	}
	if _, err := g.h.Source(t.Context(), messaging.SourceConfig{Topic: "in"}); !errors.Is(err, messaging.ErrClosed) {
		t.Fatal(err)
	}
	if err := g.h.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.whole()
}

func TestSlowSendersAreCutOff(t *testing.T) {
	g := newGate(t, "body_timeout", "1s", "header_timeout", "1s")
	for name, sent := range map[string]string{
		"head":    "POST /in HTTP/1.1\r\nHost: x\r\nX-Slow: ",
		"body":    "POST /in HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n[1,",
		"chunked": "POST /in HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[1\r\n",
	} {
		c, err := net.Dial("tcp", g.h.address.String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(c, sent)
		c.SetReadDeadline(time.Now().Add(time.Minute))
		text, err := io.ReadAll(c) // to its end: the connection is closed
		if err != nil {
			t.Fatalf("%s: %v after %q", name, err, text)
		}
		if name != "head" && !strings.HasPrefix(string(text), "HTTP/1.1 408") {
			t.Errorf("%s: %q", name, text)
		}
		c.Close()
	}
	g.whole()
}

func TestASenderThatLeavesInItsBodyCostsNothing(t *testing.T) {
	g := newGate(t)
	for range 20 {
		c, err := net.Dial("tcp", g.h.address.String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(c, "POST /in HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n[1,2]")
		c.Close()
	}
	g.whole()
	if g.src.Lag(t.Context()) != 0 {
		t.Fatal("a part of a body was taken")
	}
}

func TestAWaitLongerThanTheTimeForABodyIsNotCutOff(t *testing.T) {
	g := newGate(t, "body_timeout", "500ms", "timeout", "1m")
	answer := g.post("1")
	r := g.read(1)[0]
	time.Sleep(1500 * time.Millisecond) // three times as long
	g.commit(r)
	g.wants(answer, 200, "")
}

func TestMistakesInSettingsOfListenersAreNamed(t *testing.T) {
	for url, want := range map[string]string{
		"webhook:": "no address to listen at", "webhook://x": "no address", "webhook://127.0.0.1:1?max_body=1GiB": "max_body is",
		"webhook://127.0.0.1:1?max_events=20000": "max_events is", "webhook://127.0.0.1:1?id_header=a%20b": "no name of a header",
		"webhook://127.0.0.1:0?tls_cert=none.pem": "tls_cert", "webhook://127.0.0.1:0?tls_client_ca=x": "without tls_cert", "webhook://127.0.0.1:0?x=1": "no setting",
	} {
		if _, err := messaging.Open(t.Context(), messaging.Options{Name: "c", URL: url}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", url, err)
		}
	}
}
