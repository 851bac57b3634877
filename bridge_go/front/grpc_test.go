package front

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"ds-runner.dev/ds-runner/bridge_go/front/openinference"
)

type (
	inferRequest = openinference.ModelInferRequest
	inputTensor  = openinference.ModelInferRequest_InferInputTensor
	askedTensor  = openinference.ModelInferRequest_InferRequestedOutputTensor
	contents     = openinference.InferTensorContents
)

// listenGRPC serves gRPC and gives its address and a client, which never tries a call again.
func (r *rig) listenGRPC(options ...grpc.DialOption) (string, openinference.GRPCInferenceServiceClient) {
	r.Helper()
	address, err := r.front.ListenGRPC("127.0.0.1:0")
	if err != nil {
		r.Fatal(err)
	}
	return address.String(), openinference.NewGRPCInferenceServiceClient(r.dial(address.String(), options...))
}

func (r *rig) dial(address string, options ...grpc.DialOption) *grpc.ClientConn {
	r.Helper()
	options = append(options, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry())
	conn, err := grpc.NewClient(address, options...)
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { conn.Close() })
	return conn
}

func delays(values ...float64) *inferRequest {
	return &inferRequest{ModelName: "flights", Id: "q1", Inputs: []*inputTensor{
		{Name: "dep_delay", Datatype: "FP64", Shape: []int64{int64(len(values))}, Contents: &contents{Fp64Contents: values}}}}
}

func TestTypedContentsOverGRPC(t *testing.T) {
	r := newRig(t, Config{}).ready()
	_, client := r.listenGRPC()
	var header metadata.MD
	got, err := client.ModelInfer(metadata.AppendToOutgoingContext(t.Context(), "x-request-id", "mine"), delays(5, math.NaN()), grpc.Header(&header))
	want := &openinference.ModelInferResponse{ModelName: "flights", ModelVersion: "3", Id: "q1",
		Outputs: []*openinference.ModelInferResponse_InferOutputTensor{
			{Name: "arr_delay", Datatype: "FP64", Shape: []int64{2}, Contents: &contents{Fp64Contents: []float64{5, -1}}},
			{Name: "late", Datatype: "BOOL", Shape: []int64{2}, Contents: &contents{BoolContents: []bool{false, false}}},
			{Name: "gate", Datatype: "BYTES", Shape: []int64{2}, Contents: &contents{BytesContents: [][]byte{{}, {}}}},
			{Name: "gate__valid", Datatype: "BOOL", Shape: []int64{2}, Contents: &contents{BoolContents: []bool{false, false}}},
		}}
	if err != nil || !proto.Equal(got, want) {
		t.Errorf("%v %v", got, err)
	}
	if id, version := header.Get("x-request-id"), header.Get("x-model-version"); len(id) != 1 || id[0] != "mine" || len(version) != 1 || version[0] != "3" {
		t.Errorf("%v", header)
	}
}

func TestRawContentsOverGRPC(t *testing.T) {
	r := newRig(t, Config{}).ready()
	_, client := r.listenGRPC()
	got, err := client.ModelInfer(t.Context(), &inferRequest{ModelName: "flights", ModelVersion: "3",
		Inputs: []*inputTensor{
			{Name: "flight_id", Datatype: "BYTES", Shape: []int64{2, 1}},
			{Name: "dep_delay", Datatype: "FP32", Shape: []int64{2}},
			{Name: "dep_delay__valid", Datatype: "BOOL", Shape: []int64{2}},
		},
		RawInputContents: [][]byte{[]byte(littleEndian("a", "b")), []byte(littleEndian(float32(5), float32(6))), {1, 0}},
		Outputs:          []*askedTensor{{Name: "late"}, {Name: "arr_delay"}, {Name: "error"}},
	}, grpc.UseCompressor(gzip.Name))
	want := &openinference.ModelInferResponse{ModelName: "flights", ModelVersion: "3",
		Outputs: []*openinference.ModelInferResponse_InferOutputTensor{
			{Name: "late", Datatype: "BOOL", Shape: []int64{2}}, {Name: "arr_delay", Datatype: "FP64", Shape: []int64{2}},
			{Name: "error", Datatype: "BYTES", Shape: []int64{2}}},
		RawOutputContents: [][]byte{{0, 0}, []byte(littleEndian(5.0, -1.0)), []byte(littleEndian("", ""))},
	}
	if err != nil || !proto.Equal(got, want) {
		t.Errorf("%v %v", got, err)
	}
}

func TestTheServerDescribesItselfOverGRPC(t *testing.T) {
	r := newRig(t, Config{})
	address, client := r.listenGRPC()
	health := healthpb.NewHealthClient(r.dial(address))
	serving := func() healthpb.HealthCheckResponse_ServingStatus {
		is, err := health.Check(t.Context(), &healthpb.HealthCheckRequest{Service: healthService})
		if err != nil {
			t.Fatal(err)
		}
		return is.Status
	}
	live, err := client.ServerLive(t.Context(), &openinference.ServerLiveRequest{})
	if err != nil || !live.Live {
		t.Errorf("%v %v", live, err)
	}
	if is, err := client.ServerReady(t.Context(), &openinference.ServerReadyRequest{}); err != nil || is.Ready || serving() == healthpb.HealthCheckResponse_SERVING {
		t.Errorf("ready without a worker: %v %v", is, err)
	}
	r.ready()
	r.until("health says so", func() bool { return serving() == healthpb.HealthCheckResponse_SERVING })
	if is, err := client.ServerReady(t.Context(), &openinference.ServerReadyRequest{}); err != nil || !is.Ready {
		t.Errorf("%v %v", is, err)
	}
	if is, err := client.ModelReady(t.Context(), &openinference.ModelReadyRequest{Name: "flights", Version: "3"}); err != nil || !is.Ready {
		t.Errorf("%v %v", is, err)
	}
	server, err := client.ServerMetadata(t.Context(), &openinference.ServerMetadataRequest{})
	if err != nil || server.Name != "ds-runner" || server.Version != "2" || len(server.Extensions) != 1 {
		t.Errorf("%v %v", server, err)
	}
	model, err := client.ModelMetadata(t.Context(), &openinference.ModelMetadataRequest{Name: "flights"})
	if err != nil || len(model.Inputs) != 9 || model.Inputs[3].Name != "dep_delay__valid" || model.Outputs[0].Datatype != "FP64" || model.Versions[0] != "3" {
		t.Errorf("%v %v", model, err)
	}
}

func TestProblemsOverGRPCHaveCodes(t *testing.T) {
	r := newRig(t, Config{Rows: 64, MaxBody: 4096}).ready()
	address, client := r.listenGRPC()
	rows := func(text ...string) *inferRequest {
		var elements [][]byte
		for _, t := range text {
			elements = append(elements, []byte(t))
		}
		return &inferRequest{ModelName: "flights", Inputs: []*inputTensor{
			{Name: "event", Datatype: "BYTES", Shape: []int64{int64(len(text))}, Contents: &contents{BytesContents: elements}}}}
	}
	raw := func(datatype string, shape []int64, data ...[]byte) *inferRequest {
		return &inferRequest{ModelName: "flights", RawInputContents: data, Inputs: []*inputTensor{{Name: "dep_delay", Datatype: datatype, Shape: shape}}}
	}
	both := delays(1)
	both.RawInputContents = [][]byte{make([]byte, 8)}
	stateful := delays(1)
	stateful.Parameters = map[string]*openinference.InferParameter{"sequence_id": {ParameterChoice: &openinference.InferParameter_Int64Param{Int64Param: 7}}}
	shared := delays(1)
	shared.Inputs[0].Parameters = map[string]*openinference.InferParameter{
		"shared_memory_region": {ParameterChoice: &openinference.InferParameter_StringParam{StringParam: "r"}}}
	many := &inferRequest{ModelName: "flights"}
	for range maxTensors/2 + 1 {
		many.Inputs, many.Outputs = append(many.Inputs, &inputTensor{}), append(many.Outputs, &askedTensor{})
	}
	for name, c := range map[string]struct {
		request *inferRequest
		code    codes.Code
		reason  string
		text    string
	}{
		"model":          {&inferRequest{ModelName: "trains"}, codes.NotFound, "no_model", "no model trains here"},
		"version":        {&inferRequest{ModelName: "flights", ModelVersion: "9"}, codes.NotFound, "no_version", "version 9 is not loaded"},
		"nothing":        {&inferRequest{ModelName: "flights"}, codes.InvalidArgument, "bad_tensor", "inputs is empty"},
		"a bad row":      {rows(`{"dep_delay":1}`, `{"dep_delay":"twelve"}`), codes.InvalidArgument, "rows", "row 1: 1 field is wrong"},
		"rejected":       {rows(`{"ask":"reject"}`), codes.InvalidArgument, "rows", "row 0: cancelled flight"},
		"raw of some":    {raw("FP64", []int64{1}, make([]byte, 8), nil), codes.InvalidArgument, "bad_tensor", "2 raw_input_contents for 1 inputs"},
		"raw and typed":  {both, codes.InvalidArgument, "bad_tensor", "is sent as one of both"},
		"cut off":        {raw("FP64", []int64{1}, make([]byte, 7)), codes.InvalidArgument, "bad_tensor", "does not end with an element"},
		"too few":        {raw("FP64", []int64{2}, make([]byte, 8)), codes.InvalidArgument, "bad_tensor", "has 1 values for shape [2]"},
		"negative":       {raw("FP64", []int64{-1, -1}, make([]byte, 8)), codes.InvalidArgument, "bad_tensor", "shape [-1 -1]"},
		"overflow":       {raw("FP64", []int64{math.MaxInt64, 1}, make([]byte, 8)), codes.InvalidArgument, "bad_tensor", "has 1 values"},
		"no datatype":    {raw("", []int64{1}, make([]byte, 8)), codes.InvalidArgument, "bad_tensor", "which the protocol does not know"},
		"too many rows":  {raw("INT8", []int64{65}, make([]byte, 65)), codes.InvalidArgument, "too_many_rows", "64 rows"},
		"sequence":       {stateful, codes.InvalidArgument, "bad_tensor", "keeps no state"},
		"shared memory":  {shared, codes.InvalidArgument, "bad_tensor", "shared memory"},
		"other contents": {&inferRequest{ModelName: "flights", Inputs: []*inputTensor{{Name: "dep_delay", Datatype: "FP16", Shape: []int64{1}}}}, codes.InvalidArgument, "bad_tensor", "FP16"},
		"message":        {rows(strings.Repeat("x", 5000)), codes.ResourceExhausted, "", "larger than max"},
	} {
		_, err := client.ModelInfer(t.Context(), c.request)
		s := status.Convert(err)
		if s.Code() != c.code || !strings.Contains(s.Message(), c.text) || reasonIn(s) != c.reason {
			t.Errorf("%s: %v %s, want %v", name, s.Code(), s.Message(), c.code)
		}
	}
	_, err := openinference.NewGRPCInferenceServiceClient(r.dial(address)).ModelInfer(t.Context(), delays(1), grpc.CallContentSubtype("json"))
	if err == nil {
		t.Error("a message of another codec was taken")
	}
	if _, err := client.ModelInfer(t.Context(), delays(1)); err != nil {
		t.Errorf("after all of these: %v", err)
	}
}

func reasonIn(s *status.Status) string {
	for _, detail := range s.Details() {
		if info, is := detail.(*errdetails.ErrorInfo); is {
			return info.Reason
		}
	}
	return ""
}

func TestAMessageOfManyEmptyPartsIsRefusedBeforeTheyAreMade(t *testing.T) {
	of := func(field protowire.Number, value string) string {
		return string(protowire.AppendString(protowire.AppendTag(nil, field, protowire.BytesType), value))
	}
	for what, c := range map[string]struct {
		wrap func(part string) string
		one  string
		most int
	}{
		"inputs":                     {func(p string) string { return p }, of(5, ""), maxTensors},
		"outputs":                    {func(p string) string { return p }, of(6, ""), maxTensors},
		"raw_input_contents":         {func(p string) string { return p }, of(7, ""), maxTensors},
		"parameters":                 {func(p string) string { return p }, of(4, ""), maxTensors},
		"parameters ":                {func(p string) string { return of(5, p) }, of(4, ""), maxTensors},
		"elements of bytes_contents": {func(p string) string { return of(5, of(5, p)) }, of(8, ""), maxElements},
	} {
		want := fmt.Sprintf("more than %d %s", c.most, strings.TrimSpace(what))
		if err := countParts([]byte(c.wrap(strings.Repeat(c.one, c.most+1)))); err == nil || err.Error() != want {
			t.Errorf("%v, not %s", err, want)
		}
		if err := countParts([]byte(c.wrap(strings.Repeat(c.one, c.most)))); err != nil {
			t.Error(err)
		}
	}
	for _, cut := range []string{"\x2a\x05", "\x2a", "\xff", "\x00"} {
		if err := countParts([]byte(cut)); err == nil {
			t.Errorf("%q was counted", cut)
		}
	}
}

func TestABombOverGRPCIsRefused(t *testing.T) {
	r := newRig(t, Config{MaxBody: 1 << 14, RequestTimeout: time.Minute}).ready()
	_, client := r.listenGRPC()
	bomb := &inferRequest{ModelName: "flights", Id: strings.Repeat("0", 1<<20)}
	_, err := client.ModelInfer(t.Context(), bomb, grpc.UseCompressor(gzip.Name))
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("%.200v", err)
	}
}

func TestWithoutAWorkerACallIsUnavailableAndSaysWhenToComeBack(t *testing.T) {
	r := newRig(t, Config{})
	_, client := r.listenGRPC()
	_, err := client.ModelInfer(t.Context(), &inferRequest{ModelName: "flights", Inputs: []*inputTensor{
		{Name: "x", Datatype: "FP64", Shape: []int64{1}, Contents: &contents{Fp64Contents: []float64{1}}}}})
	s := status.Convert(err)
	if s.Code() != codes.Unavailable || reasonIn(s) != "not_ready" || len(s.Details()) != 2 {
		t.Errorf("%v %v", s, s.Details())
	}
}

func held() *inferRequest {
	return &inferRequest{ModelName: "flights", Inputs: []*inputTensor{
		{Name: "event", Datatype: "BYTES", Shape: []int64{1}, Contents: &contents{BytesContents: [][]byte{[]byte(`{"ask":"hold","dep_delay":1}`)}}}}}
}

func TestDeadlinesOverGRPC(t *testing.T) {
	r := newRig(t, Config{RequestTimeout: 300 * time.Millisecond}).ready()
	_, client := r.listenGRPC()
	defer close(r.worker.hold)
	if _, err := client.ModelInfer(t.Context(), held()); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("the server's own: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := client.ModelInfer(ctx, held()); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("the client's: %v", err)
	}
	impatient := held()
	impatient.Parameters = map[string]*openinference.InferParameter{"timeout": {ParameterChoice: &openinference.InferParameter_Int64Param{Int64Param: 50_000}}}
	began := time.Now()
	if _, err := client.ModelInfer(t.Context(), impatient); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("its parameter's: %v after %v", err, time.Since(began))
	}
	r.until("what nobody waits for is dropped", func() bool { rows, _ := r.front.queue.load(); return rows == 0 })
}

func TestTheDeadlineOfACallIsToldToTheQueue(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	f := &Front{cfg: Config{RequestTimeout: time.Hour}}
	start := time.Now()
	got, p := f.deadline(asRequest(ctx, "").Header, start)
	if want, _ := ctx.Deadline(); p != nil || got.Before(want.Add(-time.Second)) || got.After(want.Add(time.Second)) {
		t.Errorf("%v, not %v: %v", got, want, p)
	}
}

func TestMessagesOverGRPCCountAgainstTheBudget(t *testing.T) {
	r := newRig(t, Config{Bytes: 4096}).ready()
	_, client := r.listenGRPC()
	big := delays(1)
	big.Id = strings.Repeat("x", 5000)
	if _, err := client.ModelInfer(t.Context(), big); status.Code(err) != codes.ResourceExhausted || reasonIn(status.Convert(err)) != "queue_full" {
		t.Errorf("%v", err)
	}
	if _, err := client.ModelInfer(t.Context(), delays(1)); err != nil {
		t.Error(err)
	}
	if used := r.front.budget.used.Load(); used != 0 {
		t.Errorf("%d bytes are not given back", used)
	}
}

func TestACallThatSendsNoMessageEnds(t *testing.T) {
	r := newRig(t, Config{RequestTimeout: 100 * time.Millisecond}).ready()
	address, _ := r.listenGRPC()
	stream, err := r.dial(address).NewStream(t.Context(), &grpc.StreamDesc{ClientStreams: true}, openinference.GRPCInferenceService_ModelInfer_FullMethodName)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.RecvMsg(&openinference.ModelInferResponse{}); err == nil {
		t.Error("it was answered")
	}
	r.until("its place is free", func() bool { return r.front.grpc.inside.Load() == 0 })
}

func TestCallsOverTheLimitAreRefused(t *testing.T) {
	r := newRig(t, Config{MaxConnections: 2}).ready()
	_, client := r.listenGRPC()
	var ended sync.WaitGroup
	for range 2 {
		ended.Go(func() { _, _ = client.ModelInfer(t.Context(), held()) })
	}
	r.until("both are inside", func() bool { return r.front.grpc.inside.Load() == 2 })
	if _, err := client.ServerLive(t.Context(), &openinference.ServerLiveRequest{}); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("%v", err)
	}
	close(r.worker.hold)
	ended.Wait()
	r.until("there is room again", func() bool { return r.front.grpc.inside.Load() == 0 })
	if _, err := client.ServerLive(t.Context(), &openinference.ServerLiveRequest{}); err != nil {
		t.Error(err)
	}
}

func TestAPanicOverGRPCIsInternal(t *testing.T) {
	r := newRig(t, Config{}).ready()
	g := &grpcServer{front: r.front}
	info := &grpc.UnaryServerInfo{FullMethod: openinference.GRPCInferenceService_ModelInfer_FullMethodName}
	_, err := g.unary(t.Context(), nil, info, func(context.Context, any) (any, error) { panic("no") })
	if s := status.Convert(err); s.Code() != codes.Internal || s.Message() != "internal error" {
		t.Errorf("%v", err)
	}
}

func TestTokensOverGRPC(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(file, []byte("0123456789abcdef0123456789\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := newRig(t, Config{Tokens: file}).ready()
	address, client := r.listenGRPC()
	if _, err := client.ModelInfer(t.Context(), delays(1)); status.Code(err) != codes.Unauthenticated {
		t.Errorf("%v", err)
	}
	if _, err := client.ServerMetadata(t.Context(), &openinference.ServerMetadataRequest{}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("%v", err)
	}
	with := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer 0123456789abcdef0123456789")
	if _, err := client.ModelInfer(with, delays(1)); err != nil {
		t.Errorf("%v", err)
	}
	if _, err := client.ServerReady(t.Context(), &openinference.ServerReadyRequest{}); err != nil {
		t.Errorf("%v", err)
	}
	if _, err := healthpb.NewHealthClient(r.dial(address)).Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil {
		t.Errorf("%v", err)
	}
}

func TestTLSOverGRPC(t *testing.T) {
	dir := t.TempDir()
	cert, key := pair(t, "grpc")
	write600(t, filepath.Join(dir, "tls.crt"), cert)
	write600(t, filepath.Join(dir, "tls.key"), key)
	r := newRig(t, Config{Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key")}).ready()
	address, plain := r.listenGRPC()
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(cert)
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: trusted})))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := openinference.NewGRPCInferenceServiceClient(conn).ModelInfer(t.Context(), delays(1)); err != nil {
		t.Error(err)
	}
	if _, err := plain.ModelInfer(t.Context(), delays(1)); status.Code(err) != codes.Unavailable {
		t.Errorf("without TLS: %v", err)
	}
}

// A gRPC client that pings more often than it may is told ENHANCE_YOUR_CALM, and its connection ends.
func TestKeepaliveIsEnforced(t *testing.T) {
	r := newRig(t, Config{}).ready()
	address, _ := r.listenGRPC()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	framer := http2.NewFramer(conn, conn)
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	_ = framer.WriteSettings()
	for i := range 8 {
		_ = framer.WritePing(false, [8]byte{byte(i)})
	}
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			t.Fatalf("no GOAWAY: %v", err)
		}
		if away, is := frame.(*http2.GoAwayFrame); is {
			if away.ErrCode != http2.ErrCodeEnhanceYourCalm {
				t.Errorf("%v", away)
			}
			return
		}
	}
}

func TestDrainingLosesNoCallOfClientsThatDoNotTryAgain(t *testing.T) {
	r := newRig(t, Config{DrainDelay: 1500 * time.Millisecond}).ready()
	address, _ := r.listenGRPC()
	var answers atomic.Int64
	var clients sync.WaitGroup
	lost := make(chan error, 16)
	for range 16 {
		client := openinference.NewGRPCInferenceServiceClient(r.dial(address, grpc.WithKeepaliveParams(keepalive.ClientParameters{})))
		clients.Go(func() {
			for {
				_, err := client.ModelInfer(t.Context(), delays(1))
				if err != nil {
					if !refusedDial(err) {
						lost <- err
					}
					return
				}
				answers.Add(1)
			}
		})
	}
	watch, err := healthpb.NewHealthClient(r.dial(address)).Watch(t.Context(), &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	r.until("all clients are served", func() bool { return answers.Load() > 200 })
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := r.front.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	clients.Wait()
	close(lost)
	for err := range lost {
		t.Errorf("lost: %v", err)
	}
	for err = nil; err == nil; { // SERVING, NOT_SERVING, the end
		_, err = watch.Recv()
	}
	if _, err := net.Dial("tcp", address); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("listening still: %v", err)
	}
}

// goaway reads what a connection of HTTP/2 is told until that is GOAWAY, and answers pings, as clients do.
func goaway(t *testing.T, address string) <-chan error {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	framer := http2.NewFramer(conn, conn)
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	told, settled := make(chan error, 1), make(chan struct{})
	go func() {
		for settles, away := false, false; ; {
			frame, err := framer.ReadFrame()
			if err != nil {
				if !away {
					told <- err
				}
				return
			}
			switch f := frame.(type) {
			case *http2.GoAwayFrame:
				if !away {
					away = true
					told <- nil
				}
			case *http2.PingFrame:
				_ = framer.WritePing(true, f.Data)
			case *http2.SettingsFrame:
				if f.IsAck() && !settles {
					settles = true
					close(settled)
				}
			}
		}
	}()
	select {
	case <-settled:
	case err := <-told:
		t.Fatalf("before anything ended: %v", err)
	}
	return told
}

// SERVING 13. GOAWAY came only when the drain delay was over.
func TestGoawayComesAtTheStartOfTheDrainDelayWhileConnectionsAreStillAccepted(t *testing.T) {
	r := newRig(t, Config{DrainDelay: time.Hour}).ready()
	address, client := r.listenGRPC()
	if _, err := client.ModelInfer(t.Context(), delays(1)); err != nil {
		t.Fatal(err)
	}
	old := goaway(t, address)
	ctx, endDelay := context.WithCancel(t.Context())
	drained := make(chan error, 1)
	go func() { drained <- r.front.Drain(ctx) }()
	if err := <-old; err != nil {
		t.Fatalf("instead of GOAWAY: %v", err)
	}
	if _, err := client.ModelInfer(t.Context(), delays(1)); err != nil {
		t.Errorf("a call in the delay: %v", err)
	}
	if _, err := openinference.NewGRPCInferenceServiceClient(r.dial(address)).ModelInfer(t.Context(), delays(1)); err != nil {
		t.Errorf("a call on a new connection: %v", err)
	}
	if err := <-goaway(t, address); err != nil {
		t.Errorf("a new connection is told, too: %v", err)
	}
	endDelay()
	<-drained
}

func TestConnectionsOfGRPCAreCounted(t *testing.T) {
	r := newRig(t, Config{}).ready()
	address, err := r.front.ListenGRPC("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	callers := &r.front.numbers.callers
	spoken := r.dial(address.String())
	if _, err := openinference.NewGRPCInferenceServiceClient(spoken).ServerLive(t.Context(), &openinference.ServerLiveRequest{}); err != nil {
		t.Fatal(err)
	}
	silent, err := net.Dial("tcp", address.String())
	if err != nil {
		t.Fatal(err)
	}
	r.until("both are counted", func() bool { return callers.Load() == 2 })
	spoken.Close()
	silent.Close()
	r.until("none is", func() bool { return callers.Load() == 0 })
}

func TestWhenWorkersComeBackGRPCServesAsBefore(t *testing.T) {
	r := newRig(t, Config{DrainDelay: time.Hour}).ready()
	address, client := r.listenGRPC()
	leaving := func() bool {
		r.front.grpc.door.mu.Lock()
		defer r.front.grpc.door.mu.Unlock()
		return r.front.grpc.door.leaving
	}
	told := goaway(t, address)
	r.front.parting.stage.Store(workersLeave)
	r.until("clients are sent away", leaving)
	if err := <-told; err != nil {
		t.Errorf("instead of GOAWAY: %v", err)
	}
	r.front.parting.stage.Store(staying)
	r.until("it stays", func() bool { return !leaving() })
	if _, err := client.ModelInfer(t.Context(), delays(1)); err != nil {
		t.Error(err)
	}
	r.until("servers that nobody needs are gone", func() bool {
		r.front.grpc.door.mu.Lock()
		defer r.front.grpc.door.mu.Unlock()
		return len(r.front.grpc.door.rooms) == 1
	})
}

// refusedDial says that a call never left its client: nobody listens any more, so nothing was accepted.
func refusedDial(err error) bool {
	return status.Code(err) == codes.Unavailable && strings.Contains(err.Error(), "connection refused")
}
