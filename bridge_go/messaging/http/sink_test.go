package http

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	nethttp "net/http"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/messaging/messagingtest"
)

var topics atomic.Int64

// conformance runs the battery on sinks whose receiver's store is read.
func conformance(t *testing.T, settings map[string]string, can messagingtest.Capabilities) {
	settings["max_value"] = "2MiB"
	can.MaxBytes = 2 << 20
	can.Deletes, can.Seeks = true, true // of the receiver's store
	messagingtest.Run(t, messagingtest.Harness{
		Connect: func(t *testing.T) messaging.Connection {
			r := newReceiver(t)
			return &seeking{paired{r.store, dial(t, r.url, settings)}, r.store.(messaging.Seeker)}
		},
		Topic: func(*testing.T) string { return fmt.Sprint("topic ", topics.Add(1)) },
		Can:   can,
	})
}

type seeking struct {
	paired
	messaging.Seeker
}

func TestSinkThatSendsARequestARecord(t *testing.T) {
	conformance(t, map[string]string{"concurrency": "1"}, messagingtest.Capabilities{
		Keys: true, Nulls: true, Empty: true, Binary: true, Times: true,
	})
}

func TestSinkThatSendsLines(t *testing.T) {
	conformance(t, map[string]string{"concurrency": "1", "body": "lines"}, messagingtest.Capabilities{})
}

func TestSinkThatSendsArrays(t *testing.T) {
	conformance(t, map[string]string{"concurrency": "1", "body": "array", "content_type": "application/array"}, messagingtest.Capabilities{})
}

var hasty = map[string]string{"backoff": "1ms", "backoff_max": "2ms", "tries": "3"}

func with(pairs ...string) map[string]string {
	all := map[string]string{}
	for k, v := range hasty {
		all[k] = v
	}
	for i := 0; i < len(pairs); i += 2 {
		all[pairs[i]] = pairs[i+1]
	}
	return all
}

func failures(t *testing.T, err error) []messaging.WriteFailure {
	t.Helper()
	var partial *messaging.WriteError
	if !errors.As(err, &partial) {
		t.Fatalf("got %v, want a WriteError", err)
	}
	return partial.Failed
}

func TestAnswersAreRetriedOrRefusedByTheirClass(t *testing.T) {
	for status, forGood := range map[int]bool{
		301: true, 302: true, 304: true, 400: true, 401: true, 403: true, 404: true, 409: true, 410: true, 413: true, 422: true, 431: true, 451: true,
		408: false, 425: false, 429: false, 500: false, 502: false, 503: false, 504: false, 507: false, 599: false,
	} {
		r := newReceiver(t)
		var asked atomic.Int32
		r.judge = func(*nethttp.Request, []byte, nethttp.ResponseWriter) int { asked.Add(1); return status }
		failed := failures(t, sinkTo(t, dial(t, r.url, hasty), "a").Write(t.Context(), outgoing("1")))
		if len(failed) != 1 || failed[0].Permanent != forGood || !strings.Contains(failed[0].Err.Error(), strconv.Itoa(status)) {
			t.Errorf("%d: %+v", status, failed)
		}
		if want := map[bool]int32{true: 1, false: 3}[forGood]; asked.Load() != want {
			t.Errorf("%d: asked %d times, want %d", status, asked.Load(), want)
		}
	}
}

func TestTheSettingRetryNamesStatusesThatMayPass(t *testing.T) {
	r := newReceiver(t)
	r.judge = func(*nethttp.Request, []byte, nethttp.ResponseWriter) int { return 403 }
	failed := failures(t, sinkTo(t, dial(t, r.url, with("retry", "403")), "a").Write(t.Context(), outgoing("1")))
	if failed[0].Permanent {
		t.Fatal("refused for good")
	}
}

func TestWhatPassesAfterAWhileIsStoredOnceAndInOrder(t *testing.T) {
	r := newReceiver(t)
	var asked atomic.Int32
	r.judge = func(*nethttp.Request, []byte, nethttp.ResponseWriter) int {
		if asked.Add(1)%3 != 0 {
			return 503
		}
		return 0
	}
	s := sinkTo(t, dial(t, r.url, with("concurrency", "1")), "a")
	if err := s.Write(t.Context(), outgoing("0", "1", "2", "3")); err != nil {
		t.Fatal(err)
	}
	if got := r.values("a"); !slices.Equal(got, []string{"0", "1", "2", "3"}) {
		t.Fatalf("stored %v", got)
	}
}

func TestOneRefusedRecordOfABatchIsFoundAndItsNeighboursAreStored(t *testing.T) {
	for _, body := range []string{"lines", "array"} {
		r := newReceiver(t)
		r.judge = func(_ *nethttp.Request, body []byte, _ nethttp.ResponseWriter) int {
			if strings.Contains(string(body), "bad") {
				return 413
			}
			return 0
		}
		settings := with("body", body, "concurrency", "1")
		if body == "array" {
			settings["content_type"] = "application/array"
		}
		values := []string{"0", "1", `"bad"`, "3", "4", "5", "6", `"bad"`, "8"}
		failed := failures(t, sinkTo(t, dial(t, r.url, settings), "a").Write(t.Context(), outgoing(values...)))
		if len(failed) != 2 || failed[0].Index != 2 || failed[1].Index != 7 || !failed[0].Permanent || !failed[1].Permanent {
			t.Fatalf("%s: %+v", body, failed)
		}
		if got := r.values("a"); !slices.Equal(got, []string{"0", "1", "3", "4", "5", "6", "8"}) {
			t.Fatalf("%s: stored %v", body, got)
		}
	}
}

func TestAValueThatWouldChangeItsNeighboursIsRefusedBeforeItIsSent(t *testing.T) {
	r := newReceiver(t)
	s := sinkTo(t, dial(t, r.url, with("body", "lines", "concurrency", "1")), "a")
	failed := failures(t, s.Write(t.Context(), outgoing("1", `{"b":"`, `"}`, "{\n \"x\": 1}", "2\n3")))
	if len(failed) != 3 || failed[0].Index != 1 || failed[1].Index != 2 || failed[2].Index != 4 {
		t.Fatalf("%+v", failed)
	}
	if got := r.values("a"); !slices.Equal(got, []string{"1", `{"x":1}`}) {
		t.Fatalf("stored %q", got)
	}
}

func TestRecordsOfOneKeyArriveInOrderThoughSomeHaveToBeTriedAgain(t *testing.T) {
	r := newReceiver(t)
	var mu sync.Mutex
	under, most, n := 0, 0, 0
	r.judge = func(*nethttp.Request, []byte, nethttp.ResponseWriter) int {
		mu.Lock()
		under++
		most = max(most, under)
		n++
		fails := n%5 == 0
		mu.Unlock()
		time.Sleep(time.Millisecond) // so that requests meet
		mu.Lock()
		under--
		mu.Unlock()
		if fails {
			return 500
		}
		return 0
	}
	var all []messaging.Outgoing
	for i := range 300 {
		all = append(all, messaging.Outgoing{Record: messaging.Record{Key: fmt.Append(nil, i%7), Value: fmt.Append(nil, i)}})
	}
	s := sinkTo(t, dial(t, r.url, with("tries", "2", "concurrency", "4")), "a")
	for len(all) > 0 {
		err := s.Write(t.Context(), all)
		if err == nil {
			break
		}
		var left []messaging.Outgoing
		for _, f := range failures(t, err) {
			left = append(left, all[f.Index])
		}
		all = left
	}
	last := map[int]int{}
	for _, text := range r.values("a") {
		v, _ := strconv.Atoi(text)
		if before, seen := last[v%7]; seen && before >= v {
			t.Fatalf("%d after %d", v, before)
		}
		last[v%7] = v
	}
	if got := r.values("a"); len(got) != 300 {
		t.Fatalf("%d were stored", len(got))
	}
	if most < 2 || most > 4 {
		t.Fatalf("%d requests at once, want 2 to 4", most)
	}
}

func TestTheEndpointsWishToBeLeftAloneIsKept(t *testing.T) {
	r := newReceiver(t)
	var asked []time.Time
	var mu sync.Mutex
	r.judge = func(_ *nethttp.Request, _ []byte, w nethttp.ResponseWriter) int {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, time.Now())
		if len(asked) == 1 {
			w.Header().Set("Retry-After", "1")
			return 429
		}
		return 0
	}
	// One at a time, or the others are under way by then.
	if err := sinkTo(t, dial(t, r.url, with("concurrency", "1")), "a").Write(t.Context(), outgoing("1", "2", "3")); err != nil {
		t.Fatal(err)
	}
	if len(asked) != 4 {
		t.Fatalf("asked %d times", len(asked))
	}
	for _, at := range asked[1:] {
		if at.Sub(asked[0]) < time.Second {
			t.Fatalf("asked again after %s", at.Sub(asked[0]))
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	r.judge = func(_ *nethttp.Request, _ []byte, w nethttp.ResponseWriter) int {
		w.Header().Set("Retry-After", "9")
		return 503
	}
	if err := sinkTo(t, dial(t, r.url, hasty), "a").Write(ctx, outgoing("1")); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v: the wait does not end with the context", err)
	}
}

func TestWaitsAreReadFromSecondsAndDates(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-7": 0, "soon": 0, "99999999999999999999": 0, "0": 0,
		"Fri, 02 Jan 2026 03:04:35 GMT": 30 * time.Second, "Fri, 02 Jan 2026 03:04:00 GMT": 0,
	} {
		if got := retryAfter(text, now); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

func TestServersThatAreGoneHangOrCutAreTriedAgainLater(t *testing.T) {
	hang := func(c net.Conn) { time.Sleep(time.Second) }
	cut := func(c net.Conn) { c.Read(make([]byte, 10)) }
	half := func(c net.Conn) { c.Read(make([]byte, 1000)); fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Le") }
	noise := func(c net.Conn) { c.Read(make([]byte, 1000)); fmt.Fprint(c, "SSH-2.0-OpenSSH_9.6\r\n") }
	flood := func(c net.Conn) {
		c.Read(make([]byte, 1000))
		fmt.Fprint(c, "HTTP/1.1 200 OK\r\n")
		for range 10_000 {
			if _, err := fmt.Fprintf(c, "X-Flood: %0100d\r\n", 1); err != nil {
				return
			}
		}
	}
	for name, serve := range map[string]func(net.Conn){"gone": nil, "hang": hang, "cut": cut, "half": half, "noise": noise, "flood": flood} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			if serve == nil {
				l.Close()
			}
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					go func() { defer c.Close(); serve(c) }()
				}
			}()
			s := sinkTo(t, dial(t, "http://"+l.Addr().String(), with("timeout", "100ms")), "a")
			failed := failures(t, s.Write(t.Context(), outgoing("1", "2")))
			if len(failed) != 2 || failed[0].Permanent || failed[1].Permanent {
				t.Fatalf("%+v", failed)
			}
		})
	}
}

func TestRedirectsAreFollowedAtTheSameServerOnly(t *testing.T) {
	elsewhere, r := newReceiver(t), newReceiver(t)
	elsewhere.judge = func(q *nethttp.Request, _ []byte, _ nethttp.ResponseWriter) int {
		t.Errorf("%s arrived at another server, with %v", q.URL, q.Header)
		return 0
	}
	r.judge = func(q *nethttp.Request, _ []byte, w nethttp.ResponseWriter) int {
		switch q.URL.Path {
		case "/here":
			w.Header().Set("Location", "/stored")
			return 308
		case "/there":
			w.Header().Set("Location", elsewhere.url+"/stored")
			return 307
		case "/get":
			w.Header().Set("Location", "/stored")
			return 303
		}
		return 0
	}
	c := dial(t, r.url, with("token", "hunter2"))
	if err := sinkTo(t, c, "here").Write(t.Context(), outgoing("1")); err != nil {
		t.Fatal(err)
	}
	if got := r.values("stored"); !slices.Equal(got, []string{"1"}) {
		t.Fatalf("stored %v", got)
	}
	for _, topic := range []string{"there", "get"} {
		failed := failures(t, sinkTo(t, c, topic).Write(t.Context(), outgoing("2")))
		if !failed[0].Permanent || !strings.Contains(failed[0].Err.Error(), "/stored, which is not followed") {
			t.Fatalf("%s: %+v", topic, failed)
		}
	}
}

func TestARequestCarriesWhatItsReceiverNeeds(t *testing.T) {
	r := newReceiver(t)
	var got nethttp.Header
	var at string
	r.judge = func(q *nethttp.Request, _ []byte, _ nethttp.ResponseWriter) int {
		got, at = q.Header.Clone(), q.URL.String()
		return 0
	}
	c := dial(t, r.url+"/v1/{topic}", map[string]string{
		"token": "hunter2", "headers": "X-Team: ds; X-Env:prod", "query": "?a=1&b=2", "pass_headers": "trace-id", "method": "PUT", "content_type": "application/cloudevents+json",
	})
	record := messaging.Outgoing{ID: "p/c:1/2 é", Record: messaging.Record{
		Key: []byte("k\n%"), Value: []byte("{}"), Headers: []messaging.Header{
			{Name: "ds-source", Value: []byte("in/0/7")}, {Name: "ds-model", Value: []byte("m@3")}, {Name: "trace-id", Value: []byte("t")},
			{Name: "Authorization", Value: []byte("mine")}, {Name: "Host", Value: []byte("mine")}, {Name: "trace-id", Value: []byte("a\r\nb: c")},
		},
	}}
	if err := sinkTo(t, c, "a b/c").Write(t.Context(), []messaging.Outgoing{record}); err != nil {
		t.Fatal(err)
	}
	if at != "/v1/a%20b%2Fc?a=1&b=2" {
		t.Fatalf("sent to %s", at)
	}
	for name, want := range map[string]string{
		"Idempotency-Key": "p/c:1/2%20%C3%A9", "Ds-Key": "k%0A%25", "Ds-Source": "in/0/7", "Ds-Model": "m@3", "Trace-Id": "t",
		"Authorization": "Bearer hunter2", "X-Team": "ds", "X-Env": "prod", "Content-Type": "application/cloudevents+json",
	} {
		if values := got[name]; len(values) != 1 || values[0] != want {
			t.Errorf("%s: %q, want %q", name, values, want)
		}
	}
}

func TestAddresses(t *testing.T) {
	for _, c := range []struct{ url, topic, want string }{
		{"https://h", "a", "https://h/a"}, {"https://h/", "a/b", "https://h/a/b"}, {"https://h/v1", "a", "https://h/v1"},
		{"https://h/v1/{topic}/x", "a", "https://h/v1/a/x"}, {"http://u:p@h:81/{topic}", "a/..", "http://h:81/a%2F.."},
	} {
		if got := dial(t, c.url, nil).(*endpoint).address(c.topic); got != c.want {
			t.Errorf("%s, %s: %s, want %s", c.url, c.topic, got, c.want)
		}
	}
}

func TestMistakesInSettingsAreNamedAndSecretsAreNot(t *testing.T) {
	for url, want := range map[string]string{
		"http:": "no address of an endpoint", "http://h/#x": "no address", "http://h?retry=x": "retry is", "http://h?retry=200": "retry is",
		"http://h?headers=nope": "headers is no list", "http://h?token=a%0Ahunter2": "token: cannot be a header",
		"http://u:hunter2@h?token=x": "a user and a token", "http://h?pass_headers=Authorization": "pass_headers names", "http://h?tls_ca=x": "not https",
		"https://h?tls_ca=missing.pem": "tls_ca", "https://h?tls_cert=missing.pem": "tls_cert", "http://h?body=xml": "body is", "http://h?x=1": `no setting "x"`,
		"http://h:hunter2": "no address",
	} {
		_, err := messaging.Open(t.Context(), messaging.Options{Name: "c", URL: url})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") && url != "http://h:hunter2" {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestAnEndpointIsWrittenAlone(t *testing.T) {
	c := dial(t, "http://127.0.0.1:1", nil)
	if _, err := c.Source(t.Context(), messaging.SourceConfig{Topic: "a"}); !errors.Is(err, messaging.ErrNotSupported) || !strings.Contains(err.Error(), "webhook://") {
		t.Fatalf("got %v", err)
	}
}
