package http

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	nethttp "net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/http/httpguts"

	"ds-runner.dev/ds-runner/bridge_go/listen"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

func init() { messaging.Register("webhook", receive) }

type hookSettings struct {
	maxBody, maxEvent, holdBytes  int
	maxEvents, holdEvents         int
	timeout, bodyTimeout          time.Duration
	remember                      time.Duration
	rememberKeys                  int
	token, secret                 []byte
	secretHeader, prefix          string
	idHeader, keyHeader           string
	keep                          []string // names of headers that events keep
	retryFirst, retrySpread       int      // seconds that senders are asked to wait
	connections                   int
	headerTimeout, idle, goodbyes time.Duration
}

// Hooks are a connection that listens for senders of webhooks.
type hooks struct {
	options  messaging.Options
	settings hookSettings
	life     string
	server   *nethttp.Server
	listener *listen.Limited
	address  net.Addr
	held     *budget
	served   chan struct{} // closed when the server has ended

	requests, events, busy, refused, repeats prometheus.Counter

	mu     sync.Mutex
	topics map[string]*topic
	closed bool
}

// A topic is a path that senders may post to. Its source is nil while nobody reads.
type topic struct {
	name    string
	source  *source
	answers *answers
}

func receive(_ context.Context, o messaging.Options) (messaging.Connection, error) {
	s := o.Parse()
	h := &hooks{options: o, topics: map[string]*topic{}, served: make(chan struct{})}
	h.settings = hookSettings{
		maxBody:       int(s.Bytes("max_body", 4<<20, 1)),
		maxEvent:      int(s.Bytes("max_event", 1<<20, 1)),
		maxEvents:     int(s.Int("max_events", 1000, 1)),
		holdEvents:    int(s.Int("hold_events", 10_000, 1)),
		holdBytes:     int(s.Bytes("hold_bytes", 64<<20, 1)),
		timeout:       s.Duration("timeout", 30*time.Second, time.Millisecond),
		bodyTimeout:   s.Duration("body_timeout", 10*time.Second, time.Millisecond),
		remember:      s.Duration("remember", 10*time.Minute, 0),
		rememberKeys:  int(s.Int("remember_keys", 100_000, 0)),
		token:         []byte(s.String("token", "")),
		secret:        []byte(s.String("hmac_secret", "")),
		secretHeader:  s.String("hmac_header", "X-Hub-Signature-256"),
		prefix:        s.String("hmac_prefix", "sha256="),
		idHeader:      s.String("id_header", headerID),
		keyHeader:     s.String("key_header", headerKey),
		keep:          words(s.String("keep_headers", "")),
		connections:   int(s.Int("connections", 1000, 1)),
		headerTimeout: s.Duration("header_timeout", 5*time.Second, time.Millisecond),
		retryFirst:    1, retrySpread: 3, idle: 2 * time.Minute, goodbyes: 5 * time.Second,
	}
	cert, key, clients := s.String("tls_cert", ""), s.String("tls_key", ""), s.String("tls_client_ca", "")
	err := s.Done()
	if err == nil {
		err = h.settings.check()
	}
	var trust *tls.Config
	if err == nil {
		trust, err = serverTLS(o.Dir, cert, key, clients)
	}
	for _, name := range o.Topics { // before the first request
		h.declare(name)
	}
	if err == nil {
		err = h.open(o.URL, trust)
	}
	if err != nil {
		return nil, fmt.Errorf("connection %s: %w", o.Name, err)
	}
	return h, nil
}

func (s *hookSettings) check() error {
	for _, name := range append([]string{s.secretHeader, s.idHeader, s.keyHeader}, s.keep...) {
		if !httpguts.ValidHeaderFieldName(name) {
			return fmt.Errorf("%q is no name of a header", name)
		}
	}
	switch {
	case s.maxBody > s.holdBytes:
		return fmt.Errorf("max_body is %d, more than hold_bytes, which is %d: such a request would never be taken", s.maxBody, s.holdBytes)
	case s.maxEvents > s.holdEvents:
		return fmt.Errorf("max_events is %d, more than hold_events, which is %d: such a request would never be taken", s.maxEvents, s.holdEvents)
	}
	return nil
}

func serverTLS(dir, cert, key, clients string) (*tls.Config, error) {
	if cert == "" && key == "" {
		if clients != "" {
			return nil, errors.New("tls_client_ca is given without tls_cert and tls_key")
		}
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(within(dir, cert), within(dir, key))
	if err != nil {
		return nil, fmt.Errorf("tls_cert, tls_key: %w", err)
	}
	c := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	if clients == "" {
		return c, nil
	}
	text, err := os.ReadFile(within(dir, clients))
	if err != nil {
		return nil, fmt.Errorf("tls_client_ca: %w", err)
	}
	c.ClientCAs, c.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
	if !c.ClientCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("tls_client_ca: %s holds no certificate", clients)
	}
	return c, nil
}

func (h *hooks) open(raw string, trust *tls.Config) error {
	address, found := strings.CutPrefix(raw, "webhook://")
	if _, _, err := net.SplitHostPort(address); err != nil || !found {
		return fmt.Errorf("%s is no address to listen at, such as webhook://127.0.0.1:8090 or webhook://:8090", messaging.Mask(raw))
	}
	var plain net.ListenConfig
	plain.SetMultipathTCP(false) // CloseEmpty needs a filter, which multipath sockets do not take
	l, err := plain.Listen(context.Background(), "tcp", address)
	if err != nil {
		return fmt.Errorf("listen for webhooks: %w", err)
	}
	h.address, h.held = l.Addr(), newBudget(h.settings.holdEvents, h.settings.holdBytes)
	var life [8]byte
	rand.Read(life[:])
	h.life = hex.EncodeToString(life[:])
	h.counters()
	h.server = &nethttp.Server{
		Handler: h, TLSConfig: trust, ReadHeaderTimeout: h.settings.headerTimeout, IdleTimeout: h.settings.idle, MaxHeaderBytes: 32 << 10,
		ErrorLog: slog.NewLogLogger(h.options.Log.Handler(), slog.LevelDebug), // what strangers send, one line each, is no news
	}
	h.listener = listen.Limit(l, h.settings.connections)
	go func() {
		defer close(h.served)
		if trust != nil {
			h.server.ServeTLS(h.listener, "", "")
		} else {
			h.server.Serve(h.listener)
		}
	}()
	h.options.Log.Info("listening for webhooks", "address", h.address.String(), "tls", trust != nil)
	if len(h.settings.token) == 0 && len(h.settings.secret) == 0 && !h.address.(*net.TCPAddr).IP.IsLoopback() {
		h.options.Log.Warn("whoever reaches this address may send events: set token or hmac_secret on the connection", "address", h.address.String())
	}
	return nil
}

func (h *hooks) counters() {
	o := h.options
	h.requests = o.Counter("ds_webhook_requests_total", "Requests that came in.")
	h.events = o.Counter("ds_webhook_events_total", "Events of requests that were taken.")
	h.busy = o.Counter("ds_webhook_busy_total", "Requests that were answered 503 and are the sender's to try again.")
	h.refused = o.Counter("ds_webhook_refused_total", "Requests that were answered 4xx.")
	h.repeats = o.Counter("ds_webhook_repeated_total", "Requests with the id of one that was taken before, whose answer they got.")
}

// Source implements messaging.Connection. A request goes to one reader, so there is one at a time, whatever its group.
func (h *hooks) Source(_ context.Context, sc messaging.SourceConfig) (messaging.Source, error) {
	if sc.Transactional || sc.Start != nil {
		return nil, fmt.Errorf("webhook: %s: a request has no position to come back to, so there is no exactly-once: %w", sc.Topic, messaging.ErrNotSupported)
	}
	t, err := h.declare(sc.Topic)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if t.source != nil {
		return nil, fmt.Errorf("webhook: %s: %w", sc.Topic, messaging.ErrBusy)
	}
	t.source = newSource(h, t)
	return t.source, nil
}

// declare makes a path known. One that is known and not read is answered 503 instead of 404: senders try again.
func (h *hooks) declare(name string) (*topic, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
		return nil, messaging.ErrClosed
	case name == "":
		return nil, errors.New("webhook: the topic's name is empty")
	}
	t := h.topics[name]
	if t == nil {
		t = &topic{name: name, answers: newAnswers(h.settings.remember, h.settings.rememberKeys)}
		h.topics[name] = t
	}
	return t, nil
}

// reader is the topic of a path and whoever reads it, nil where there is none.
func (h *hooks) reader(name string) (*topic, *source) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.topics[name]
	if t == nil {
		return nil, nil
	}
	return t, t.source
}

func (h *hooks) left(t *topic, s *source) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if t.source == s {
		t.source = nil
	}
}

var errReadOnly = fmt.Errorf("webhook: requests are received and kept nowhere, so nothing can be written or looked at here: %w", messaging.ErrNotSupported)

// Sink implements messaging.Connection.
func (h *hooks) Sink(context.Context, messaging.SinkConfig) (messaging.Sink, error) {
	return nil, errReadOnly
}

// Browse implements messaging.Connection.
func (h *hooks) Browse(_ context.Context, _ string, from messaging.Cursor, _ int) ([]messaging.Record, messaging.Cursor, error) {
	return nil, from, errReadOnly
}

// Delete implements messaging.Connection.
func (h *hooks) Delete(context.Context, string, []messaging.Position) error { return errReadOnly }

// Incarnation implements messaging.Connection: each life of the bridge receives events of its own. It makes a path known that is no stream
// of program.yaml: it is asked before the first worker is ready, and the source is opened after.
func (h *hooks) Incarnation(_ context.Context, name string) (string, error) {
	_, err := h.declare(name)
	return h.life, err
}

// Close implements messaging.Connection. Requests that wait are answered first.
func (h *hooks) Close(ctx context.Context) error {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return nil
	}
	h.closed = true
	var open []*source
	for _, t := range h.topics {
		if t.source != nil {
			open = append(open, t.source)
		}
	}
	h.mu.Unlock()
	for _, s := range open {
		s.Close(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, h.settings.goodbyes)
	defer cancel()
	h.listener.CloseEmpty(ctx) // whoever has connected is answered too
	if h.server.Shutdown(ctx) != nil {
		h.server.Close() // a sender that does not read its answer
	}
	<-h.served
	return nil
}
