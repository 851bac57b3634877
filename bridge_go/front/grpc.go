package front

import (
	"context"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	_ "google.golang.org/grpc/encoding/gzip" // messages may come compressed; the limit is of what they are unpacked
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"

	"ds-runner.dev/ds-runner/bridge_go/front/openinference"
	"ds-runner.dev/ds-runner/bridge_go/listen"
)

// The Open Inference Protocol over gRPC, on a port of its own. A call passes the same edges, queue and limits as a request over HTTP:
// its metadata are taken for headers, so that tokens, request ids, trace context and deadlines are written alike.
//
//	tap: too many calls? a deadline -> message within max_body -> unary: token, id, trace -> ModelInfer: tensors -> inferred
//
// Goroutines: grpc-go's own, all ended by Drain or Close, and a look ten times a second at whether the front is ready.

// Limits of gRPC's connections.
const (
	maxStreams    = 128              // calls at once on one connection
	leastPing     = 10 * time.Second // between pings of a client; one that pings more often is sent away
	pingIdle      = 60 * time.Second // after which a client that is silent is asked whether it is there
	pingTimeout   = 20 * time.Second // for its answer
	healthService = "inference.GRPCInferenceService"
)

type grpcServer struct {
	openinference.UnimplementedGRPCInferenceServiceServer
	front   *Front
	door    *door
	health  *health.Server
	leaving chan struct{} // closed when no more calls are to come
	inside  atomic.Int64  // calls that have not ended
}

// ListenGRPC binds the address of gRPC, which has none otherwise. [Front.Close] or [Front.Drain] end it.
func (f *Front) ListenGRPC(address string) (net.Addr, error) {
	var plain net.ListenConfig
	plain.SetMultipathTCP(false) // as in Listen
	listener, err := plain.Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, err
	}
	g := &grpcServer{front: f, health: health.NewServer(), leaving: make(chan struct{})}
	g.tellHealth()
	g.door = newDoor(listen.Limit(listener, f.cfg.MaxConnections), &f.numbers.callers, g.serverFor)
	f.grpc = g
	f.cfg.Log.Info("serving", "url", "grpc://"+listener.Addr().String())
	f.beside.Go(func() {
		f.each(lookEvery, func(time.Time) {
			g.tellHealth()
			g.door.turn(f.ending())
		})
	})
	return listener.Addr(), nil
}

// serverFor makes a server for connections that come; leaving: for those that are to go elsewhere soon.
func (g *grpcServer) serverFor(leaving bool) *grpc.Server {
	kept := keepalive.ServerParameters{MaxConnectionIdle: idleTimeout, Time: pingIdle, Timeout: pingTimeout}
	if leaving {
		kept.MaxConnectionAge = lastStay
	}
	s := grpc.NewServer(append(g.options(), grpc.KeepaliveParams(kept))...)
	openinference.RegisterGRPCInferenceServiceServer(s, g)
	healthpb.RegisterHealthServer(s, g.health)
	return s
}

func (g *grpcServer) options() []grpc.ServerOption {
	c := &g.front.cfg
	options := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(c.MaxBody), grpc.MaxSendMsgSize(math.MaxInt32), grpc.MaxHeaderListSize(maxHeader),
		grpc.MaxConcurrentStreams(maxStreams), grpc.ConnectionTimeout(headerTimeout),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: leastPing, PermitWithoutStream: true}),
		grpc.InTapHandle(g.tap), grpc.ChainUnaryInterceptor(g.unary), grpc.ChainStreamInterceptor(g.stream),
		grpc.ForceServerCodecV2(boundedCodec{}),
	}
	if g.front.cert != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(g.front.cert.config())))
	}
	return options
}

// tap sees a call before its message is read. One that does not send its message, or whose model does not answer, ends by the
// time that a request may take.
func (g *grpcServer) tap(parent context.Context, info *tap.Info) (context.Context, error) {
	if g.inside.Add(1) > int64(g.front.cfg.MaxConnections) {
		g.inside.Add(-1)
		return nil, status.Error(codes.ResourceExhausted, "too many calls at once; try again later")
	}
	if info.FullMethodName == healthpb.Health_Watch_FullMethodName {
		context.AfterFunc(parent, func() { g.inside.Add(-1) })
		return parent, nil // it lasts as long as its client listens
	}
	ctx, cancel := context.WithTimeout(parent, g.front.cfg.RequestTimeout)
	context.AfterFunc(parent, func() {
		cancel()
		g.inside.Add(-1)
	})
	return ctx, nil
}

// A call is what stands for the request of HTTP.
type call struct {
	request *http.Request
	start   time.Time
}

type callKey struct{}

func callOf(ctx context.Context) call { return ctx.Value(callKey{}).(call) }

// Paths of calls whose pages over HTTP ask for no token.
var openCalls = map[string]string{
	openinference.GRPCInferenceService_ServerLive_FullMethodName:  "/v2/health/live",
	openinference.GRPCInferenceService_ServerReady_FullMethodName: "/v2/health/ready",
	healthpb.Health_Check_FullMethodName:                          "/readyz",
	healthpb.Health_List_FullMethodName:                           "/readyz",
	healthpb.Health_Watch_FullMethodName:                          "/readyz",
}

// asRequest takes metadata for headers, and the deadline of the call, its client's or ours, for the one that says it to the queue.
func asRequest(ctx context.Context, method string) *http.Request {
	path := method
	if open, is := openCalls[method]; is {
		path = open
	}
	header := http.Header{}
	given, _ := metadata.FromIncomingContext(ctx)
	for name, values := range given {
		header[http.CanonicalHeaderKey(name)] = values
	}
	if deadline, is := ctx.Deadline(); is {
		left := max(1, min(time.Until(deadline).Milliseconds(), 99_999_999)) // as many digits as the header has
		header[grpcTimeoutHeader] = []string{strconv.FormatInt(left, 10) + "m"}
	}
	r := &http.Request{Method: http.MethodPost, URL: &url.URL{Path: path}, Header: header}
	return r.WithContext(ctx)
}

// unary is what every call passes: token, request id, trace context; and what becomes of panics and problems.
func (g *grpcServer) unary(ctx context.Context, message any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (answer any, err error) {
	f := g.front
	c := call{asRequest(ctx, info.FullMethod), time.Now()}
	told := http.Header{"X-Request-Id": {f.ids.of(c.request.Header["X-Request-Id"])}}
	if f.log != nil {
		c.request.Header["X-Request-Id"] = told["X-Request-Id"]
	}
	defer func() {
		if broken := recover(); broken != nil {
			f.cfg.Log.Error("a call broke the front", "method", info.FullMethod, "panic", fmt.Sprint(broken), "stack", string(debug.Stack()))
			answer, err = nil, &problem{http.StatusInternalServerError, "internal", "internal error"}
		}
		f.numbers.request(pageGRPC, statusOfError(err), time.Since(c.start))
		err = asStatus(ctx, err)
	}()
	if !f.guard.admits(c.request) {
		return nil, problemToken
	}
	if given := c.request.Header[traceHeader]; given != nil {
		trace(told, c.request, given)
	}
	headers := metadata.MD{}
	for name, values := range told {
		headers.Set(name, values...)
	}
	_ = grpc.SetHeader(ctx, headers) // fails only after the answer
	return handler(context.WithValue(ctx, callKey{}, c), message)
}

// stream guards what is no single call: the watching of health.
func (g *grpcServer) stream(service any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	if !g.front.guard.admits(asRequest(stream.Context(), info.FullMethod)) {
		return asStatus(stream.Context(), problemToken)
	}
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	go func() {
		select {
		case <-g.leaving:
			cancel()
		case <-ctx.Done():
		}
	}()
	return handler(service, boundStream{stream, ctx})
}

// A boundStream ends with its context, so that no listener to health keeps the server from its end.
type boundStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s boundStream) Context() context.Context { return s.ctx }

// tellHealth gives the standard health service what /readyz says.
func (g *grpcServer) tellHealth() {
	is := healthpb.HealthCheckResponse_SERVING
	if g.front.serverCause() != "" {
		is = healthpb.HealthCheckResponse_NOT_SERVING
	}
	g.health.SetServingStatus("", is)
	g.health.SetServingStatus(healthService, is)
}

// drain ends gRPC as Drain ends HTTP: clients have been told by GOAWAY for the drain delay, new connections are refused, those that
// were made are told now not to send more calls, and the calls that they had sent are answered. When the context ends first, what is
// left is cut off.
func (g *grpcServer) drain(ctx context.Context, lastLook time.Duration) error {
	unseen, err := g.door.drain(ctx, func() {
		wait(ctx, lastLook)
		close(g.leaving)
	})
	if unseen != nil {
		g.front.cfg.Log.Warn("connections that nobody had accepted may be lost", "error", unseen)
	}
	return err
}

// drainGRPC drains gRPC, if there is any, beside HTTP. One answer comes, when it has ended.
func (f *Front) drainGRPC(ctx context.Context) <-chan error {
	ended := make(chan error, 1)
	if f.grpc == nil {
		ended <- nil
		return ended
	}
	go func() { ended <- f.grpc.drain(ctx, min(idleAfterDrain, f.cfg.DrainDelay)) }()
	return ended
}

// closeGRPC ends gRPC at once, if there is any.
func (f *Front) closeGRPC() {
	if f.grpc != nil {
		f.grpc.door.cut()
	}
}
