package front

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A client keeps its connection as long as the server lets it and never tries a request again. A dial that is refused is no
// loss: nothing was accepted. Everything else that is not an answer is one.
type client struct {
	address string
	answers atomic.Int64
	lost    atomic.Int64
	first   atomic.Pointer[error]
}

func (c *client) run(stop <-chan struct{}) {
	for {
		conn, err := net.Dial("tcp", c.address)
		if errors.Is(err, syscall.ECONNREFUSED) {
			return
		}
		if err == nil {
			err = c.converse(conn, stop)
			conn.Close()
		}
		if err != nil {
			c.lost.Add(1)
			c.first.CompareAndSwap(nil, &err)
			return
		}
		select {
		case <-stop:
			return
		default:
		}
	}
}

// converse asks until the server says close or the test ends.
func (c *client) converse(conn net.Conn, stop <-chan struct{}) error {
	reader := bufio.NewReader(conn)
	for {
		body := `{"dep_delay":1}`
		if _, err := fmt.Fprintf(conn, "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body); err != nil {
			return err
		}
		answer, err := http.ReadResponse(reader, nil)
		if err != nil {
			return err
		}
		text, err := io.ReadAll(answer.Body)
		if err != nil || answer.StatusCode != 200 || !strings.Contains(string(text), "arr_delay") {
			return fmt.Errorf("%d %s %w", answer.StatusCode, text, err)
		}
		c.answers.Add(1)
		if answer.Close {
			return nil
		}
		select {
		case <-stop:
			return nil
		default:
		}
	}
}

func TestDrainingLosesNoRequestOfClientsThatDoNotTryAgain(t *testing.T) {
	r := newRig(t, Config{DrainDelay: 300 * time.Millisecond}).ready()
	address, err := r.front.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &client{address: address.String()}
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for range 64 {
		clients.Go(func() { c.run(stop) })
	}
	r.until("all clients are served", func() bool { return c.answers.Load() > 1000 })
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if runtime.GOOS != "linux" {
		// Elsewhere it takes a load balancer that notices: no client dials any more.
		time.AfterFunc(150*time.Millisecond, func() { close(stop) })
	}
	if err := r.front.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	clients.Wait()
	if first := c.first.Load(); first != nil {
		t.Errorf("%d of %d lost, the first: %v", c.lost.Load(), c.answers.Load(), *first)
	}
	if _, err := net.Dial("tcp", address.String()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("listening still: %v", err)
	}
}

func TestWhileDrainingItAnswersAndIsNotReady(t *testing.T) {
	r := newRig(t, Config{DrainDelay: time.Hour}).ready()
	ctx, endDelay := context.WithCancel(t.Context())
	defer endDelay()
	drained := make(chan error, 1)
	go func() { drained <- r.front.Drain(ctx) }()
	r.until("it drains", r.front.draining.Load)
	h := r.expect("POST", "/predict", `{"dep_delay":1}`, 200, `{"arr_delay":1,"late":false,"gate":null}`)
	if h.Get("Connection") != "close" {
		t.Errorf("connection %q", h.Get("Connection"))
	}
	r.expect("GET", "/readyz", ``, 503, `{"error":"draining","code":"not_ready"}`)
	r.expect("GET", "/livez", ``, 200, "ok\n")
	endDelay()
	if err := <-drained; err != nil {
		t.Fatal(err)
	}
}

func TestDrainingWaitsForWhatIsBeingScored(t *testing.T) {
	r := newRig(t, Config{DrainDelay: -1}).ready()
	address, err := r.front.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan int, 1)
	go func() {
		answer, err := http.Post("http://"+address.String()+"/predict", "", strings.NewReader(`{"ask":"hold","dep_delay":1}`))
		if err != nil {
			answered <- 0
			return
		}
		answer.Body.Close()
		answered <- answer.StatusCode
	}()
	r.until("a row waits", func() bool { rows, _ := r.front.queue.load(); return rows == 1 })
	drained := make(chan error, 1)
	go func() { drained <- r.front.Drain(t.Context()) }()
	r.until("it drains", r.front.draining.Load)
	close(r.worker.hold)
	if err := <-drained; err != nil {
		t.Fatal(err)
	}
	if status := <-answered; status != 200 {
		t.Errorf("status %d", status)
	}
}

func TestADrainThatMayNotWaitCutsOff(t *testing.T) {
	r := newRig(t, Config{DrainDelay: -1}).ready()
	address, err := r.front.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_, _ = http.Post("http://"+address.String()+"/predict", "", strings.NewReader(`{"ask":"hold"}`))
	}()
	r.until("a row waits", func() bool { rows, _ := r.front.queue.load(); return rows == 1 })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := r.front.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	close(r.worker.hold)
}

func TestABodyThatComesTooSlowlyIs408(t *testing.T) {
	r := newRig(t, Config{}).ready()
	r.front.slow.grace = 100 * time.Millisecond
	address, err := r.front.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", address.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || answer.StatusCode != 408 {
		t.Errorf("%v %v", answer, err)
	}
}

func TestConnectionsOverTheLimitWaitUntilOneEnds(t *testing.T) {
	r := newRig(t, Config{MaxConnections: 1}).ready()
	address, err := r.front.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ask := func(conn net.Conn, patience time.Duration) error {
		fmt.Fprint(conn, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		_, err := http.ReadResponse(bufio.NewReader(conn), nil)
		return err
	}
	first, _ := net.Dial("tcp", address.String())
	if err := ask(first, time.Minute); err != nil {
		t.Fatal(err)
	}
	second, _ := net.Dial("tcp", address.String())
	defer second.Close()
	if err := ask(second, 100*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("answered beside the first: %v", err)
	}
	first.Close()
	if err := ask(second, time.Minute); err != nil {
		t.Fatal(err)
	}
}
