package front

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestARowIsAnsweredWithItsPrediction(t *testing.T) {
	r := newRig(t, Config{}).ready()
	h := r.expect("POST", "/predict", ` {"dep_delay": 5} `, 200, `{"arr_delay":5,"late":false,"gate":null}`)
	if h.Get("Content-Type") != "application/json" {
		t.Errorf("content type %q", h.Get("Content-Type"))
	}
	r.expect("POST", "/predict", `{"ask":"none"}`, 200, `[]`)
	r.expect("POST", "/predict", `{"ask":"many","dep_delay":1}`, 200, `[{"arr_delay":1,"late":false,"gate":null},{"arr_delay":1,"late":false,"gate":null}]`)
	r.expect("POST", "/predict", `{"ask":"reject"}`, 200, `{"rejected":"cancelled flight"}`)
	r.expect("POST", "/predict", `{"dep_delay":"twelve"}`, 422, `{"errors":[{"field":"dep_delay","got":"twelve","expected":"number or null"}]}`)
	r.expect("POST", "/predict", `{"ask":"fail"}`, 500, `{"error":"ValueError: no","code":"exception"}`)
}

func TestAListIsAnsweredByPosition(t *testing.T) {
	r := newRig(t, Config{}).ready()
	r.expect("POST", "/predict", `[{"dep_delay":1}, {"ask":"reject"}, {"dep_delay":"x"}, {"ask":"fail"}, {"ask":"none"}, 7, {"dep_delay":2}]`, 200,
		`{"predictions":[{"arr_delay":1,"late":false,"gate":null},null,null,null,[],null,{"arr_delay":2,"late":false,"gate":null}],
		  "errors":[null,{"rejected":"cancelled flight"},{"errors":[{"field":"dep_delay","got":"twelve","expected":"number or null"}]},
		   {"error":"ValueError: no","code":"exception"},null,{"errors":[{"field":"dep_delay","got":"twelve","expected":"number or null"}]},null]}`)
	r.expect("POST", "/predict", `[]`, 200, `{"predictions":[],"errors":[]}`)
}

func TestMalformedBodiesNameTheByte(t *testing.T) {
	r := newRig(t, Config{MaxBody: 100}).ready()
	r.expect("POST", "/predict", `{"a":1}{"a":2}`, 400, `{"error":"malformed JSON at byte 7: more than one value","code":"malformed"}`)
	r.expect("POST", "/predict", ``, 400, `{"error":"malformed JSON at byte 0: the body is empty. Send a JSON object, or a list of them","code":"malformed"}`)
	r.expect("POST", "/predict", `"`+strings.Repeat("x", 100)+`"`, 413, `{"error":"the body is larger than 100 bytes","code":"body_too_large"}`)
	if h := r.expect("GET", "/predict", ``, 405, `{"error":"only POST here","code":"method"}`); h.Get("Allow") != "POST" {
		t.Errorf("allow %q", h.Get("Allow"))
	}
	r.expect("GET", "/nothing", ``, 404, `{"error":"no such page. See /docs","code":"not_found"}`)
}

func TestABodyWithoutLengthIsLimitedToo(t *testing.T) {
	r := newRig(t, Config{MaxBody: 1000}).ready()
	for size, want := range map[int]int{10: 200, 990: 200, 2000: 413} {
		body := `{"pad":"` + strings.Repeat("x", size) + `"}`
		request, _ := http.NewRequest("POST", r.server.URL+"/predict", struct{ *strings.Reader }{strings.NewReader(body)})
		request.ContentLength = -1
		answer, err := http.DefaultTransport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("%d bytes: %d", size, answer.StatusCode)
		}
	}
}

func TestWithoutAWorkerTheCauseIsTold(t *testing.T) {
	r := newRig(t, Config{})
	r.until("the route runs", func() bool { return r.front.cause() == "no worker is ready" })
	h := r.expect("POST", "/predict", `{"a":1}`, 503, `{"error":"no worker is ready","code":"not_ready"}`)
	if seconds, err := strconv.Atoi(h.Get("Retry-After")); err != nil || seconds < 1 {
		t.Errorf("retry after %q", h.Get("Retry-After"))
	}
	r.expect("GET", "/readyz", ``, 503, `{"error":"no worker is ready","code":"not_ready"}`)
	r.expect("GET", "/livez", ``, 200, "ok\n")
	r.ready()
	r.expect("GET", "/readyz", ``, 200, `{"ready":true}`)
}

func TestAFullQueueRefusesWithRetryAfter(t *testing.T) {
	r := newRig(t, Config{Rows: 4, Bytes: 1000}).ready()
	var held sync.WaitGroup
	for range 4 {
		held.Go(func() {
			r.expect("POST", "/predict", `{"ask":"hold","dep_delay":1}`, 200, `{"arr_delay":1,"late":false,"gate":null}`)
		})
	}
	r.until("four rows wait", func() bool { rows, _ := r.front.queue.load(); return rows == 4 })
	h := r.expect("POST", "/predict", `{"dep_delay":1}`, 429, `{"error":"the queue is full; try again later","code":"queue_full"}`)
	if seconds, err := strconv.Atoi(h.Get("Retry-After")); err != nil || seconds < 1 || seconds > 3 {
		t.Errorf("retry after %q", h.Get("Retry-After"))
	}
	r.expect("GET", "/readyz", ``, 200, `{"ready":true}`)
	close(r.worker.hold)
	held.Wait()
	r.expect("POST", "/predict", `{"dep_delay":1}`, 200, `{"arr_delay":1,"late":false,"gate":null}`)
	if status, _, text := r.ask("POST", "/predict", `[1,2,3,4,5]`); status != 413 {
		t.Errorf("a list that never fits: %d %s", status, text)
	}
	big := `{"pad":"` + strings.Repeat("x", 1000) + `"}`
	if status, _, text := r.ask("POST", "/predict", big); status != 413 {
		t.Errorf("bytes that never fit: %d %s", status, text)
	}
	if rows, bytes := r.front.queue.load(); rows != 0 || bytes != 0 {
		t.Errorf("%d rows and %d bytes are counted still", rows, bytes)
	}
}

func TestAModelThatDoesNotAnswerInTimeIs504AndTheLateAnswerIsForgotten(t *testing.T) {
	r := newRig(t, Config{RequestTimeout: time.Second}).ready()
	r.expect("POST", "/predict", `{"ask":"hold"}`, 504, `{"error":"the model did not answer in time","code":"deadline"}`)
	close(r.worker.hold)
	r.until("the worker is free", func() bool {
		status, _, _ := r.ask("POST", "/predict", `{"dep_delay":1}`)
		return status == 200
	})
	r.until("nothing is kept", func() bool {
		r.front.queue.mu.Lock()
		defer r.front.queue.mu.Unlock()
		return len(r.front.queue.sent) == 0 && r.front.queue.rows == 0
	})
}

func TestARowThatKillsItsWorkersIs500AndItsNeighboursAreAnswered(t *testing.T) {
	r := newRig(t, Config{RequestTimeout: 30 * time.Second}).ready()
	status, _, text := r.ask("POST", "/predict", `[{"dep_delay":1},{"ask":"die"},{"dep_delay":2}]`)
	if status != 200 || !strings.HasPrefix(text, `{"predictions":[{"arr_delay":1,"late":false,"gate":null},null,{"arr_delay":2,`) ||
		!strings.Contains(text, `"errors":[null,{"error":`) || !strings.Contains(text, `"code":"worker_died"},null]}`) {
		t.Errorf("%d %s", status, text)
	}
	r.until("the next worker is ready", func() bool { return r.front.cause() == "" })
	status, _, text = r.ask("POST", "/predict", `{"ask":"die"}`)
	if status != 500 || !strings.Contains(text, "worker_died") {
		t.Errorf("%d %s", status, text)
	}
}

func TestAClientThatHangsUpFreesItsPlace(t *testing.T) {
	r := newRig(t, Config{}).ready()
	conn, err := net.Dial("tcp", r.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	body := `{"ask":"hold"}`
	fmt.Fprintf(conn, "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	r.until("it waits", func() bool { rows, _ := r.front.queue.load(); return rows == 1 })
	conn.Close()
	r.until("its place is free", func() bool { rows, _ := r.front.queue.load(); return rows == 0 })
	close(r.worker.hold)
}

func TestRequestsShareBatchesWhileTheWorkerIsBusy(t *testing.T) {
	r := newRig(t, Config{}).ready()
	var clients sync.WaitGroup
	hold := func() {
		clients.Go(func() {
			r.expect("POST", "/predict", `{"ask":"hold","dep_delay":0}`, 200, `{"arr_delay":0,"late":false,"gate":null}`)
		})
	}
	hold()
	r.until("the worker is busy", func() bool { r.worker.mu.Lock(); defer r.worker.mu.Unlock(); return len(r.worker.batches) == 1 })
	for i := range 40 {
		clients.Go(func() {
			r.expect("POST", "/predict", fmt.Sprintf(`{"dep_delay":%d}`, i), 200, fmt.Sprintf(`{"arr_delay":%d,"late":false,"gate":null}`, i))
		})
	}
	r.until("forty rows wait", func() bool { rows, _ := r.front.queue.load(); return rows == 41 })
	close(r.worker.hold)
	clients.Wait()
	if len(r.worker.batches) > 4 {
		t.Errorf("41 rows took %v batches", r.worker.batches)
	}
}

func TestALongListDoesNotStarveSingleRows(t *testing.T) {
	q := newQueue(10_000, 1<<20, 8)
	long := &request{body: []byte("x"), rows: make([]span, 1000), done: make(chan struct{}, 1)}
	single := &request{body: []byte("y"), rows: make([]span, 1), done: make(chan struct{}, 1)}
	q.admit(long)
	q.admit(single)
	q.lend(2)
	batch, err := q.take(limitOf(8))
	if err != nil || len(batch) != 8 {
		t.Fatalf("%d rows, %v", len(batch), err)
	}
	if single.taken != 1 || long.taken != 7 {
		t.Errorf("single %d, long %d", single.taken, long.taken)
	}
}

func TestWhatTheRouteGaveBackGoesOutAgainFirst(t *testing.T) {
	q := newQueue(10_000, 1<<20, 8)
	a := &request{body: []byte("ab"), rows: []span{{0, 1}, {1, 2}}, done: make(chan struct{}, 1)}
	q.admit(a)
	first, _ := q.take(limitOf(8))
	b := &request{body: []byte("c"), rows: []span{{0, 1}}, done: make(chan struct{}, 1)}
	q.admit(b)
	q.giveBack()
	second, _ := q.take(limitOf(8))
	text := ""
	for _, r := range second {
		text += string(r.Value)
	}
	if len(first) != 2 || text != "abc" || second[0].Offset <= first[1].Offset {
		t.Errorf("%q, offsets %d then %d", text, first[1].Offset, second[0].Offset)
	}
}

func TestRequestIDsAreRepeatedIfTheyAreSafe(t *testing.T) {
	ids := newRequestIDs()
	if got := ids.of([]string{"abc-1:2_3.4"}); got != "abc-1:2_3.4" {
		t.Error(got)
	}
	seen := map[string]bool{}
	for _, given := range [][]string{nil, {""}, {"a b"}, {"a\n"}, {strings.Repeat("x", 129)}, {"ä"}, {"a", "b"}} {
		got := ids.of(given)
		if !safeID(got) || seen[got] {
			t.Errorf("%q: %q", given, got)
		}
		seen[got] = true
	}
}

func TestHeadersOverTheLimitAreRefused(t *testing.T) {
	r := newRig(t, Config{}).ready()
	address, err := r.front.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", address.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /livez HTTP/1.1\r\nHost: x\r\nX-Big: %s\r\n\r\n", strings.Repeat("x", 40<<10))
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || answer.StatusCode != 431 {
		t.Errorf("%v %v", answer, err)
	}
}
