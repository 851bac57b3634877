package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"

	"ds-runner.dev/ds-runner/bridge_go/front/openinference"
)

const row, answer = `{"id":"a-{n}","n":{n}}`, `{"id":"a-{n}","value":{twice}}`

// doubling answers as the models of the fault tests do.
func doubling(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var n int64
	_, _ = fmt.Sscanf(string(body[strings.LastIndex(string(body), ":")+1:]), "%d", &n)
	fmt.Fprintf(w, `{"value": %d.0, "id": "a-%d"}`, 2*n, n)
}

func asking(t *testing.T, o options) *Report {
	t.Helper()
	o.connections, o.streams, o.patience = max(1, o.connections), max(1, o.streams), time.Minute
	if o.protocol == "" {
		o.protocol = "h1"
	}
	if o.body == "" {
		o.body, o.want = row, answer
	}
	got, err := run(o, make(chan os.Signal))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestRightAnswersAreCounted(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(doubling))
	defer s.Close()
	got := asking(t, options{url: s.URL, connections: 4, length: time.Second})
	if got.Answered["200"] == 0 || got.Sent != got.Answered["200"] || got.Wrong+got.Lost+got.Refused != 0 {
		t.Errorf("%+v", got)
	}
}

func TestAnAnswerOnAnothersRowIsWrong(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"id":"a-7","value":14}`) }))
	defer s.Close()
	got := asking(t, options{url: s.URL, length: time.Second})
	if got.Wrong != got.Answered["200"]-1 && got.Wrong != got.Answered["200"] || got.First["wrong"] == "" {
		t.Errorf("%+v", got)
	}
}

func TestARequestWithoutAnAnswerIsLost(t *testing.T) {
	var asked atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1)%10 == 0 {
			panic(http.ErrAbortHandler)
		}
		doubling(w, r)
	}))
	defer s.Close()
	got := asking(t, options{url: s.URL, connections: 4, length: time.Second})
	if got.Lost == 0 || got.First["lost"] == "" || got.Sent != got.Lost+got.Answered["200"] {
		t.Errorf("%+v", got)
	}
}

// The control of every drain: a server that ends as net/http does by itself loses what its clients sent on kept connections.
func TestAServerThatShutsDownWithoutAWordLosesRequests(t *testing.T) {
	for try := range 10 {
		s := httptest.NewServer(http.HandlerFunc(doubling))
		time.AfterFunc(100*time.Millisecond, func() { _ = s.Config.Shutdown(context.Background()) })
		got := asking(t, options{url: s.URL, connections: 64, length: time.Minute, untilRefused: true})
		s.Close()
		if got.Lost > 0 {
			t.Logf("try %d: lost %d of %d: %s", try, got.Lost, got.Sent, got.First["lost"])
			return
		}
	}
	t.Error("nothing was seen as lost")
}

func TestToBeRefusedIsNoLoss(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	got := asking(t, options{url: "http://" + listener.Addr().String(), connections: 3, length: time.Second, untilRefused: true})
	if got.Refused != 3 || got.Sent != 0 {
		t.Errorf("%+v", got)
	}
}

func TestListsAreComparedRowByRow(t *testing.T) {
	rows := newTemplate(row, answer, 3)
	if got := string(rows.request(nil, 5)); got != `[{"id":"a-5","n":5},{"id":"a-6","n":6},{"id":"a-7","n":7}]` {
		t.Error(got)
	}
	right := `{"predictions":[{"id":"a-5","value":10.0},{"id":"a-6","value":12},{"id":"a-7","value":14}]}`
	if said := rows.wrong(answered{200, []byte(right)}, 5); said != "" {
		t.Error(said)
	}
	for _, wrong := range []string{
		`{"predictions":[{"id":"a-6","value":12},{"id":"a-5","value":10},{"id":"a-7","value":14}]}`,
		`{"predictions":[{"id":"a-5","value":10},{"id":"a-6","value":12}]}`,
		strings.TrimSuffix(right, "}") + `,"errors":[null,{"error":"no"},null]}`,
	} {
		if rows.wrong(answered{200, []byte(wrong)}, 5) == "" {
			t.Error("taken for right:", wrong)
		}
	}
}

func TestLatencyOfAnOpenLoopCountsFromTheScheduledTime(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(20 * time.Millisecond)
		doubling(w, r)
	}))
	defer s.Close()
	// One connection can take 50 a second: of 500 a second most wait for it.
	got := asking(t, options{url: s.URL, length: 500 * time.Millisecond, rate: 500, seed: 7})
	if got.Latency["200"].Max < 200 || got.Lag == nil || got.Lag.Max < 200 {
		t.Errorf("%+v", got)
	}
}

func TestArrivalsHaveTheirRateAndAreTheSameForASeed(t *testing.T) {
	a, b := newArrivals(1000, 3), newArrivals(1000, 3)
	total := time.Duration(0)
	for range 100_000 {
		gap := a.gap()
		if gap != b.gap() {
			t.Fatal("not the same")
		}
		total += gap
	}
	if total < 98*time.Second || total > 102*time.Second {
		t.Error(total)
	}
}

func TestHTTP2WithoutTLS(t *testing.T) {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	s := &http.Server{Handler: http.HandlerFunc(doubling), Protocols: &protocols}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve(listener) }()
	time.AfterFunc(time.Second, func() { _ = s.Shutdown(context.Background()) })
	got := asking(t, options{url: "http://" + listener.Addr().String(), protocol: "h2c", connections: 4, streams: 8, length: time.Minute, untilRefused: true})
	if got.Answered["200"] == 0 || got.Lost+got.Wrong != 0 {
		t.Errorf("%+v", got)
	}
}

// A doubler is a model of the Open Inference Protocol.
type doubler struct {
	openinference.UnimplementedGRPCInferenceServiceServer
}

func (doubler) ModelInfer(_ context.Context, m *openinference.ModelInferRequest) (*openinference.ModelInferResponse, error) {
	w := httptest.NewRecorder()
	doubling(w, httptest.NewRequest("POST", "/", bytes.NewReader(m.Inputs[0].Contents.BytesContents[0])))
	return &openinference.ModelInferResponse{Outputs: []*openinference.ModelInferResponse_InferOutputTensor{
		{Contents: &openinference.InferTensorContents{BytesContents: [][]byte{w.Body.Bytes()}}}}}, nil
}

func TestGRPC(t *testing.T) {
	s := grpc.NewServer()
	openinference.RegisterGRPCInferenceServiceServer(s, doubler{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve(listener) }()
	time.AfterFunc(time.Second, s.GracefulStop)
	got := asking(t, options{url: "grpc://" + listener.Addr().String() + "/m", protocol: "grpc", connections: 4, streams: 8, length: time.Minute, untilRefused: true})
	if got.Answered["200"] == 0 || got.Lost+got.Wrong != 0 {
		t.Errorf("%+v", got)
	}
}
