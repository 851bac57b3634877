// Package front is the HTTP side of a program: it turns requests into events, has them scored by the same route as any
// stream, and answers with their fates.
//
// A request's life: a handler (predict, or infer for the Open Inference Protocol) reads the body, finds the extents of its
// rows without reading their fields (scan), and puts it into the [queue]. The route takes rows from there whenever a worker
// is free, through a [messaging.Source]; fates come back through a [dispatch.Outlet]. The last fate of a request wakes its
// handler, which writes the answer. Nothing is durable here: a row that is not answered by its deadline gets 504, and its
// worker's slot stays taken until Python answers.
//
// Goroutines: net/http's own, one that sweeps deadlines, and one that watches whether the route is ready. No timer, goroutine or channel is made for a request.
//
// Ends: [Front.Drain] turns unready, says "Connection: close" on every answer while it still accepts, has the kernel refuse
// new connections while it accepts those that were made, stops listening, and only then shuts down. So a client loses
// nothing that it sent on a connection, though it never tries again.
package front

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ds-runner.dev/ds-runner/bridge_go/listen"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// Config is how a front serves. Zero values are replaced by the defaults that are named.
type Config struct {
	Program, Command string // the program's name is the model's name over HTTP

	Rows           int           // rows that wait or are being scored, then 429; 16,384
	Bytes          int           // of these rows, then 429; 64 MiB
	MaxBody        int           // then 413, as it is sent and as it is decompressed; 8 MiB
	RequestTimeout time.Duration // its body included, then 504; 10 s
	DrainDelay     time.Duration // between unready and the end of listening; 5 s, negative for none
	MaxConnections int           // others wait in the kernel; 4096
	Batch          int           // rows of one batch of the route; 256
	BatchBytes     int           // of these rows; 256 KiB
	RouteHeader    string        // keeps who sends it with one version, where events have no key; none

	Cert, Key string // files of TLS; none: plain HTTP
	Tokens    string // a file of bearer tokens; none: nobody is asked

	RequestLog *RequestLog // nil: there is none
	Log        *slog.Logger
	Registerer prometheus.Registerer // gets the metrics of the front
	Gatherer   prometheus.Gatherer   // what GET /metrics shows; nil: there is no such page
}

// Limits of slow and greedy clients.
const (
	headerTimeout  = 5 * time.Second
	readTimeout    = 10 * time.Second // of the header and the first bytes of the body
	bodyTimeout    = 30 * time.Second
	writeTimeout   = 30 * time.Second
	idleTimeout    = 120 * time.Second
	maxHeader      = 16 << 10
	idleAfterDrain = 2 * time.Second
	sweepEvery     = 20 * time.Millisecond
	lookEvery      = 100 * time.Millisecond
)

func (c Config) withDefaults() Config {
	or(&c.Rows, 16384)
	or(&c.Bytes, 64<<20)
	or(&c.MaxBody, 8<<20)
	or(&c.RequestTimeout, 10*time.Second)
	or(&c.DrainDelay, 5*time.Second)
	or(&c.MaxConnections, 4096)
	or(&c.Batch, 256)
	or(&c.BatchBytes, 256<<10)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

func or[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// A Front serves one command of one program.
type Front struct {
	cfg     Config
	queue   *queue // of the first lane; its pool serves all
	first   *Lane
	budget  *budget
	slow    patience
	log     *requestLog // nil: there is none
	numbers *numbers
	types   atomic.Pointer[types] // of the version that most requests go to

	guests      map[string]*Front // of other models, by name; see Host
	base        string            // of the pages of this model
	guarded     bool              // its requests bring a token
	routing     atomic.Pointer[routing]
	routingLock sync.Mutex
	publishing  sync.Mutex // one at a time tells of a change
	server      *http.Server
	guard       *guard
	cert        *certificate // nil: plain HTTP

	grpc     *grpcServer // nil: there is none
	listener *listen.Limited
	served   chan error // the end of Serve
	draining atomic.Bool
	parting  parting
	seen     atomic.Pointer[state]
	stop     chan struct{}
	stopOnce sync.Once
	beside   sync.WaitGroup // sweep and watch
	ids      requestIDs
}

// New makes a front. It takes requests when it listens, or by [Front.ServeHTTP], and answers them once a source is open.
func New(c Config) (_ *Front, err error) {
	c = c.withDefaults()
	f := &Front{cfg: c, base: "/", guarded: c.Tokens != "", slow: patient, served: make(chan error, 1), stop: make(chan struct{}), ids: newRequestIDs()}
	f.budget = newBudget(c.Bytes, c.MaxBody)
	f.first = f.newLane("")
	f.queue = f.first.queue
	f.routing.Store(newRouting(c.Program, f.first))
	if c.RequestLog != nil {
		f.log = newRequestLog(*c.RequestLog, c.Log)
		defer func() {
			if err != nil {
				f.log.close()
			}
		}()
	}
	if f.numbers, err = newNumbers(f); err != nil {
		return nil, err
	}
	if f.guard, err = newGuard(c.Tokens); err != nil {
		return nil, err
	}
	if f.cert, err = newCertificate(c.Cert, c.Key); err != nil {
		return nil, err
	}
	f.types.Store(&types{})
	f.seen.Store(&state{cause: "starting"})
	f.server = &http.Server{
		Handler: f, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, IdleTimeout: idleTimeout,
		WriteTimeout: bodyTimeout + c.RequestTimeout + writeTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(c.Log.Handler(), slog.LevelDebug), ConnState: f.numbers.connection,
		Protocols: protocols(),
	}
	f.watch("the bearer tokens are", f.guard.file)
	if f.cert != nil {
		f.server.TLSConfig = f.cert.config()
		f.watch("the certificate is", f.cert.files)
	}
	f.beside.Go(func() { f.each(sweepEvery, func(now time.Time) { f.lanes(func(l *Lane) { l.queue.sweep(now) }) }) })
	f.beside.Go(func() { f.each(lookEvery, func(time.Time) { f.look() }) })
	return f, nil
}

// Open gives the route the source of rows; it has the form of dispatch.Config.Open. describe is the worker's description of
// its types, as JSON.
func (f *Front) Open(ctx context.Context, describe []byte) (messaging.Source, error) {
	return f.first.Open(ctx, describe)
}

// Listen binds the address; connections are accepted, and answered, from now on. [Front.Close] or [Front.Drain] end it.
func (f *Front) Listen(address string) (net.Addr, error) {
	var plain net.ListenConfig
	plain.SetMultipathTCP(false) // CloseEmpty needs a filter, which multipath sockets do not take
	listener, err := plain.Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, err
	}
	f.listener = listen.Limit(listener, f.cfg.MaxConnections)
	f.cfg.Log.Info("serving", "url", f.Scheme()+"://"+listener.Addr().String())
	go func() { f.served <- f.serve() }()
	return listener.Addr(), nil
}

// each does something again and again until the front ends.
func (f *Front) each(every time.Duration, do func(now time.Time)) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-f.stop:
			return
		case now := <-ticker.C:
			do(now)
		}
	}
}

// Drain ends serving without losing a request that was accepted, or sent on a connection that was: see the package's
// comment. The route must go on until it returns. When the context ends first, what is left is cut off.
func (f *Front) Drain(ctx context.Context) error {
	f.draining.Store(true)
	f.eachGuest(func(g *Front) { g.draining.Store(true) })
	f.cfg.Log.Info("draining", "delay", f.cfg.DrainDelay)
	defer f.stopBeside()
	if !f.parting.shut() { // else load balancers have had their time
		wait(ctx, f.cfg.DrainDelay)
	}
	grpcDrained := f.drainGRPC(ctx)
	f.lanes(func(l *Lane) { l.queue.idle(ctx) })
	f.eachGuest(func(g *Front) { g.lanes(func(l *Lane) { l.queue.idle(ctx) }) })
	if f.listener != nil {
		if err := f.listener.CloseEmpty(ctx); err != nil {
			f.cfg.Log.Warn("connections that nobody had accepted may be lost", "error", err)
		}
		<-f.served
		wait(ctx, min(idleAfterDrain, f.cfg.DrainDelay))
	}
	err := f.server.Shutdown(ctx)
	if err != nil {
		f.server.Close()
	}
	err = errors.Join(err, <-grpcDrained)
	f.eachGuest(func(g *Front) { g.Close() })
	f.lanes(func(l *Lane) { l.queue.close() })
	return err
}

// Close ends serving at once.
func (f *Front) Close() error {
	defer f.stopBeside()
	err := f.server.Close()
	f.closeGRPC()
	f.eachGuest(func(g *Front) { g.Close() })
	f.lanes(func(l *Lane) { l.queue.close() })
	return err
}

func (f *Front) stopBeside() {
	f.stopOnce.Do(func() {
		close(f.stop)
		f.beside.Wait()
		f.log.close()
	})
}

func wait(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
