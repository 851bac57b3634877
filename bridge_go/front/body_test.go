package front

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// listening is a connection to a front that listens by itself, with its own limits.
func (r *rig) listening() net.Conn {
	r.Helper()
	address, err := r.front.Listen("127.0.0.1:0")
	if err != nil {
		r.Fatal(err)
	}
	conn, err := net.Dial("tcp", address.String())
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { conn.Close() })
	return conn
}

// begin sends the header of a request with a body of so many bytes.
func begin(conn net.Conn, length int, headers ...string) {
	fmt.Fprintf(conn, "POST /predict HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n", strings.Join(append(headers, ""), "\r\n"), length)
}

func (r *rig) answered(conn net.Conn) (int, string) {
	r.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		r.Fatal(err)
	}
	text, _ := io.ReadAll(answer.Body)
	return answer.StatusCode, string(text)
}

func TestABodyThatComesAtTheLeastRateIsTaken(t *testing.T) {
	r := newRig(t, Config{}).ready()
	r.front.slow = patience{grace: time.Second, most: time.Minute, rate: 10}
	conn := r.listening()
	body := `{"dep_delay":1,"pad":"` + strings.Repeat("x", 1000) + `"}`
	begin(conn, len(body))
	for len(body) > 0 { // 50 at once, for longer than the grace, and far ahead of the rate, whatever else the machine does
		n := min(len(body), 50)
		fmt.Fprint(conn, body[:n])
		body = body[n:]
		time.Sleep(60 * time.Millisecond)
	}
	if status, text := r.answered(conn); status != 200 {
		t.Errorf("%d %s", status, text)
	}
}

func TestABodyBelowTheLeastRateIs408HoweverSteadily(t *testing.T) {
	r := newRig(t, Config{}).ready()
	r.front.slow = patience{grace: 100 * time.Millisecond, most: time.Minute, rate: 1000}
	conn := r.listening()
	begin(conn, 1000)
	go func() {
		for {
			if _, err := fmt.Fprint(conn, " "); err != nil { // 100 a second
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	if status, text := r.answered(conn); status != 408 || !strings.Contains(text, "slow_body") {
		t.Errorf("%d %s", status, text)
	}
}

func TestTheTimeOfTheBodyCountsAgainstTheRequests(t *testing.T) {
	r := newRig(t, Config{}).ready()
	conn := r.listening()
	begin(conn, 1000, "Request-Timeout: 0.1")
	fmt.Fprint(conn, "{")
	if status, text := r.answered(conn); status != 408 {
		t.Errorf("%d %s", status, text)
	}
}

// The server's read deadline once passed while a row was being scored, and its client was taken for gone.
func TestALongWaitForTheModelIsNoSlowBody(t *testing.T) {
	r := newRig(t, Config{}).ready()
	r.front.server.ReadTimeout = time.Second // for the request to arrive, too
	conn := r.listening()
	body := `{"ask":"hold","dep_delay":1}`
	begin(conn, len(body))
	fmt.Fprint(conn, body)
	r.until("it waits", func() bool { rows, _ := r.front.load(); return rows == 1 })
	time.Sleep(1200 * time.Millisecond) // longer than the deadline: what is tested is that nothing happens
	close(r.worker.hold)
	if status, text := r.answered(conn); status != 200 {
		t.Errorf("%d %s", status, text)
	}
}

func TestBodiesThatArriveShareOneBudget(t *testing.T) {
	r := newRig(t, Config{Bytes: 1 << 20, MaxBody: 512 << 10}).ready()
	first := r.listening()
	begin(first, 400<<10)
	fmt.Fprint(first, `{"dep_delay":1,"pad":"`+strings.Repeat("x", 300<<10))
	r.until("it is counted", func() bool { return r.front.budget.arriving.Load() > 300<<10 })
	big := `{"dep_delay":1,"pad":"` + strings.Repeat("x", 300<<10) + `"}`
	if status, h, text := r.ask("POST", "/predict", big); status != 429 || h.Get("Retry-After") == "" || !strings.Contains(text, "queue_full") {
		t.Errorf("%d %s", status, text)
	}
	r.expect("POST", "/predict", `{"dep_delay":5}`, 200, `{"arr_delay":5,"late":false,"gate":null}`)
	first.Close()
	r.until("it is counted no more", func() bool { return r.front.budget.arriving.Load() == 0 })
	if status, _, text := r.ask("POST", "/predict", big); status != 200 {
		t.Errorf("%d %s", status, text)
	}
	if used := r.front.budget.used.Load(); used != 0 {
		t.Errorf("%d bytes are counted still", used)
	}
}

func TestAMalformedTimeoutIs400(t *testing.T) {
	r := newRig(t, Config{}).ready()
	conn := r.listening()
	begin(conn, 15, "Request-Timeout: soon")
	fmt.Fprint(conn, `{"dep_delay":1}`)
	if status, text := r.answered(conn); status != 400 || !strings.Contains(text, "bad_timeout") {
		t.Errorf("%d %s", status, text)
	}
}

func TestAClientThatWaitsLessThanTheServerIsAnsweredInItsTime(t *testing.T) {
	r := newRig(t, Config{RequestTimeout: time.Minute}).ready()
	conn := r.listening()
	body := `{"ask":"hold"}`
	begin(conn, len(body), "Request-Timeout: 1s")
	fmt.Fprint(conn, body)
	if status, text := r.answered(conn); status != 504 || !strings.Contains(text, "deadline") {
		t.Errorf("%d %s", status, text)
	}
	close(r.worker.hold)
}

func TestASlowBodyIs408OverHTTP2Too(t *testing.T) {
	r := newRig(t, Config{}).ready()
	r.front.slow.grace = 100 * time.Millisecond
	address, err := r.front.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	both := new(http.Protocols)
	both.SetUnencryptedHTTP2(true)
	client := http.Client{Transport: &http.Transport{Protocols: both}}
	from, to := io.Pipe()
	defer to.Close()
	go func() { _, _ = to.Write([]byte(`{"dep_delay":`)) }()
	answer, err := client.Post("http://"+address.String()+"/predict", "", from)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != 408 || answer.ProtoMajor != 2 {
		t.Errorf("%d over %s", answer.StatusCode, answer.Proto)
	}
	quick, err := client.Post("http://"+address.String()+"/predict", "", strings.NewReader(`{"dep_delay":1}`))
	if err != nil {
		t.Fatal(err)
	}
	defer quick.Body.Close()
	if quick.StatusCode != 200 {
		t.Errorf("%d behind it", quick.StatusCode)
	}
}
