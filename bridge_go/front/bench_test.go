package front

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/dispatch"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// An echo answers each batch at once with the same output for each row: what is measured is the front and the route.
type echo struct {
	*worker
	batches chan *wire.Batch
}

func (e *echo) Send(b *wire.Batch) { e.batches <- b }

func (e *echo) run() {
	output := []byte(`{"arr_delay":5.25,"late":false}`)
	for b := range e.batches {
		outputs := make([][]byte, len(b.Payloads))
		for i := range outputs {
			outputs[i] = output
		}
		e.route.Result(e, &wire.Result{Lease: b.Lease, Count: uint64(len(outputs)), Outputs: outputs})
	}
}

// BenchmarkPredict asks over 64 connections of this very process: clients, net/http, front and route share the processors.
func BenchmarkPredict(b *testing.B) {
	body := `{"flight_id":"N14228-1545","carrier":"UA","origin":"EWR","distance":1400,"dep_delay":2.0,"hour":5,"minute":15}`
	benchmark(b, fmt.Sprintf("POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
}

// BenchmarkInfer is BenchmarkPredict of the same row in tensors.
func BenchmarkInfer(b *testing.B) {
	values := `{"inputs":[{"name":"flight_id","datatype":"BYTES","shape":[1],"data":["N14228-1545"]},` +
		`{"name":"origin","datatype":"BYTES","shape":[1],"data":["EWR"]},{"name":"distance","datatype":"FP64","shape":[1],"data":[1400]},` +
		`{"name":"dep_delay","datatype":"FP64","shape":[1],"data":[2.0]},{"name":"seats","datatype":"INT64","shape":[1],"data":[5]},` +
		`{"name":"night","datatype":"BOOL","shape":[1],"data":[true]}]}`
	id, ids := rawTensor("flight_id", "BYTES", 1, littleEndian("N14228-1545"))
	origin, origins := rawTensor("origin", "BYTES", 1, littleEndian("EWR"))
	distance, distances := rawTensor("distance", "FP64", 1, littleEndian(1400.0))
	delay, late := rawTensor("dep_delay", "FP64", 1, littleEndian(2.0))
	head := `{"inputs":[` + id + "," + origin + "," + distance + "," + delay + `],"parameters":{"binary_data_output":true}}`
	binary := head + ids + origins + distances + late
	b.Run("JSON", func(b *testing.B) {
		benchmark(b, fmt.Sprintf("POST /v2/models/flights/infer HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(values), values))
	})
	b.Run("binary", func(b *testing.B) {
		benchmark(b, fmt.Sprintf("POST /v2/models/flights/infer HTTP/1.1\r\nHost: x\r\nInference-Header-Content-Length: %d\r\nContent-Length: %d\r\n\r\n%s",
			len(head), len(binary), binary))
	})
}

// benchmark sends the same request again and again; cpu-us/op is of this process, its clients included.
func benchmark(b *testing.B, request string) {
	front, err := New(Config{Program: "flights", Command: "serve-api"})
	if err != nil {
		b.Fatal(err)
	}
	route := front.Route(dispatch.Config{Program: "flights", Command: "serve-api", Stream: "http", Nonce: 7})
	go func() { _ = route.Run(b.Context()) }()
	e := &echo{&worker{route: route, hello: wire.Hello{Worker: "w1", Describe: []byte(described)}}, make(chan *wire.Batch, 16)}
	go e.run()
	if _, err := route.Join(e); err != nil {
		b.Fatal(err)
	}
	route.Ready(e, 1024, 4<<20)
	for front.cause() != "" {
		front.look()
	}
	address, err := front.Listen("127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer front.Close()
	var left atomic.Int64
	left.Store(int64(b.N))
	var clients sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	before := cpuTime(b)
	for range 64 {
		clients.Go(func() { hammer(b, address, []byte(request), &left) })
	}
	clients.Wait()
	b.StopTimer()
	b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(b.N), "cpu-us/op")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
}

func cpuTime(b *testing.B) time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

func hammer(b *testing.B, address net.Addr, request []byte, left *atomic.Int64) {
	conn, err := net.Dial("tcp", address.String())
	if err != nil {
		b.Error(err)
		return
	}
	defer conn.Close()
	reader := bufio.NewReader(conn)
	for left.Add(-1) >= 0 {
		if _, err := conn.Write(request); err != nil {
			b.Error(err)
			return
		}
		answer, err := http.ReadResponse(reader, nil)
		if err != nil || answer.StatusCode != 200 {
			b.Errorf("%v %v", answer, err)
			return
		}
		_, _ = io.Copy(io.Discard, answer.Body)
	}
}
