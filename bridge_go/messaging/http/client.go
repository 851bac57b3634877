package http

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	nethttp "net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/http/httpguts"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

func init() {
	messaging.Register("http", connect)
	messaging.Register("https", connect)
}

// How the records of one write become bodies.
const (
	bodyValue = "value" // a request a record
	bodyLines = "lines" // a JSON value a line
	bodyArray = "array" // a JSON array
)

type settings struct {
	method, body, contentType, order string
	query                            string
	header                           nethttp.Header // of every request
	pass                             []string       // names of record headers that are sent as headers
	timeout, longest, first, last    time.Duration
	tries, concurrency               int
	batchEvents, batchBytes          int
	maxValue                         int
	retried                          []int
}

// An endpoint is a connection that is called.
type endpoint struct {
	options  messaging.Options
	base     *url.URL
	user     *url.Userinfo
	settings settings
	client   *nethttp.Client

	sent, retries, refusals prometheus.Counter

	mu     sync.Mutex
	closed bool
	until  time.Time // the endpoint asked for silence
}

func connect(_ context.Context, o messaging.Options) (messaging.Connection, error) {
	s := o.Parse()
	e := &endpoint{options: o}
	e.settings = settings{
		method:      s.Choice("method", nethttp.MethodPost, nethttp.MethodPut),
		body:        s.Choice("body", bodyValue, bodyLines, bodyArray),
		contentType: s.String("content_type", ""),
		order:       s.Choice("order", "key", "none"),
		query:       s.String("query", ""),
		timeout:     s.Duration("timeout", 10*time.Second, time.Millisecond),
		longest:     s.Duration("retry_after_max", 5*time.Minute, 0),
		first:       s.Duration("backoff", 100*time.Millisecond, time.Millisecond),
		last:        s.Duration("backoff_max", 5*time.Second, time.Millisecond),
		tries:       int(s.Int("tries", 4, 1)),
		concurrency: int(s.Int("concurrency", 8, 1)),
		batchEvents: int(s.Int("batch_events", 100, 1)),
		batchBytes:  int(s.Bytes("batch_bytes", 1<<20, 1)),
		maxValue:    int(s.Bytes("max_value", 8<<20, 1)),
		pass:        words(s.String("pass_headers", "")),
	}
	retried := s.String("retry", "408,425,429")
	headers, token := s.String("headers", ""), s.String("token", "")
	key, keyHeader := s.String("api_key", ""), s.String("api_key_header", "X-Api-Key")
	user, password := s.String("user", ""), s.String("password", "")
	trust := tlsFiles{
		ca: s.String("tls_ca", ""), cert: s.String("tls_cert", ""), key: s.String("tls_key", ""),
		name: s.String("tls_server_name", ""), insecure: s.Bool("tls_insecure", false),
	}
	err := s.Done()
	if err == nil {
		err = e.parse(retried, headers, token, key, keyHeader)
	}
	if err == nil {
		err = e.where(o.URL, user, password)
	}
	if err == nil {
		err = e.dialer(trust)
	}
	if err != nil {
		return nil, fmt.Errorf("connection %s: %w", o.Name, err)
	}
	e.sent = o.Counter("ds_http_sent_total", "Requests that were sent to the endpoint, tries included.")
	e.retries = o.Counter("ds_http_retries_total", "Requests that failed and may pass when they are tried again.")
	e.refusals = o.Counter("ds_http_refused_total", "Records that the endpoint refused for good.")
	return e, nil
}

func words(list string) (all []string) {
	for word := range strings.SplitSeq(list, ",") {
		if word = strings.TrimSpace(word); word != "" {
			all = append(all, word)
		}
	}
	return all
}

// parse reads the settings that are lists.
func (e *endpoint) parse(retried, headers, token, key, keyHeader string) error {
	for _, word := range words(retried) {
		status, err := strconv.Atoi(word)
		if err != nil || status < 400 || status > 599 {
			return fmt.Errorf("retry is %q, expected numbers of 400 to 599 with commas, such as 408,429", retried)
		}
		e.settings.retried = append(e.settings.retried, status)
	}
	e.settings.header = nethttp.Header{"User-Agent": {"ds-bridge"}}
	for line := range strings.SplitSeq(headers, ";") {
		if strings.TrimSpace(line) == "" {
			continue
		}
		name, value, found := strings.Cut(line, ":")
		if err := e.set(name, value); err != nil || !found {
			return errors.New("headers is no list of NAME: VALUE with semicolons")
		}
	}
	if token != "" {
		if err := e.set("Authorization", "Bearer "+token); err != nil {
			return fmt.Errorf("token: %w", err)
		}
	}
	if key != "" {
		if err := e.set(keyHeader, key); err != nil {
			return fmt.Errorf("api_key, api_key_header: %w", err)
		}
	}
	for _, name := range e.settings.pass {
		if !httpguts.ValidHeaderFieldName(name) || ours(name) {
			return fmt.Errorf("pass_headers names %q, which cannot be a header of a request", name)
		}
	}
	return nil
}

// ours are headers that the events' writers have no say in.
func ours(name string) bool {
	name = nethttp.CanonicalHeaderKey(name)
	return slices.Contains([]string{
		"Authorization", "Connection", "Content-Length", "Content-Type", "Cookie", "Expect", "Host", "Idempotency-Key", "Keep-Alive",
		"Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	}, name) || strings.HasPrefix(name, "Ds-")
}

func (e *endpoint) set(name, value string) error {
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
		return errors.New("cannot be a header of a request") // without the value, which may be a secret
	}
	e.settings.header.Set(name, value)
	return nil
}

// where reads the URL. What may be a secret of it is in no error.
func (e *endpoint) where(raw, user, password string) error {
	base, err := url.Parse(raw)
	if err != nil || base.Host == "" || base.Fragment != "" {
		return fmt.Errorf("%s is no address of an endpoint, such as https://host/path or https://host/{topic}", messaging.Mask(raw))
	}
	e.user, base.User = base.User, nil
	if user != "" {
		e.user = url.UserPassword(user, password)
	}
	if e.user != nil && e.settings.header.Get("Authorization") != "" {
		return errors.New("a user and a token are given, and a request has one Authorization")
	}
	base.RawQuery = strings.TrimPrefix(e.settings.query, "?")
	e.base = base
	return nil
}

type tlsFiles struct {
	ca, cert, key, name string
	insecure            bool
}

func (e *endpoint) dialer(files tlsFiles) error {
	if e.base.Scheme == "http" && (files != tlsFiles{}) {
		return errors.New("tls settings are given, and the scheme of the address is http, not https")
	}
	trust, err := files.config(e.options.Dir)
	if err != nil {
		return err
	}
	transport := &nethttp.Transport{
		Proxy:                  nethttp.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: e.settings.timeout}).DialContext,
		TLSClientConfig:        trust,
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    e.settings.concurrency,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
	e.client = &nethttp.Client{Transport: transport, CheckRedirect: sameHost}
	return nil
}

func (f tlsFiles) config(dir string) (*tls.Config, error) {
	c := &tls.Config{ServerName: f.name, InsecureSkipVerify: f.insecure, MinVersion: tls.VersionTLS12} //nolint:gosec // asked for by tls_insecure
	if f.ca != "" {
		text, err := os.ReadFile(within(dir, f.ca))
		if err != nil {
			return nil, fmt.Errorf("tls_ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("tls_ca: %s holds no certificate", f.ca)
		}
	}
	if f.cert == "" && f.key == "" {
		return c, nil
	}
	pair, err := tls.LoadX509KeyPair(within(dir, f.cert), within(dir, f.key))
	if err != nil {
		return nil, fmt.Errorf("tls_cert, tls_key: %w", err)
	}
	c.Certificates = []tls.Certificate{pair}
	return c, nil
}

func within(dir, file string) string {
	if file == "" || filepath.IsAbs(file) {
		return file
	}
	return filepath.Join(dir, file)
}

// sameHost lets a request go on at the same server, with its body, a few times. Credentials and events go nowhere else.
func sameHost(r *nethttp.Request, via []*nethttp.Request) error {
	first := via[0].URL
	if len(via) > 3 || r.Method != via[0].Method || r.URL.Scheme != first.Scheme || r.URL.Host != first.Host {
		return nethttp.ErrUseLastResponse
	}
	return nil
}

// Sink implements messaging.Connection. The endpoint is not asked whether it is there: the first write will see.
func (e *endpoint) Sink(_ context.Context, sc messaging.SinkConfig) (messaging.Sink, error) {
	if e.isClosed() {
		return nil, messaging.ErrClosed
	}
	return &sink{e: e, url: e.address(sc.Topic)}, nil
}

// address is where records of a topic go: the URL with the topic in the place of {topic}; the topic as path where the URL
// names none; otherwise the URL as it is.
func (e *endpoint) address(topic string) string {
	to := *e.base
	switch {
	case strings.Contains(to.Path, "{topic}"):
		to.RawPath = strings.ReplaceAll(to.EscapedPath(), url.PathEscape("{topic}"), url.PathEscape(topic))
		to.Path = strings.ReplaceAll(to.Path, "{topic}", topic)
	case to.Path == "" || to.Path == "/":
		to.Path, to.RawPath = "/"+strings.TrimPrefix(topic, "/"), ""
	}
	return to.String()
}

var errWriteOnly = fmt.Errorf("http: an endpoint is written, not read: a connection webhook:// receives events: %w", messaging.ErrNotSupported)

// Source implements messaging.Connection.
func (e *endpoint) Source(context.Context, messaging.SourceConfig) (messaging.Source, error) {
	if e.isClosed() {
		return nil, messaging.ErrClosed
	}
	return nil, errWriteOnly
}

// Browse implements messaging.Connection.
func (e *endpoint) Browse(_ context.Context, _ string, from messaging.Cursor, _ int) ([]messaging.Record, messaging.Cursor, error) {
	return nil, from, errWriteOnly
}

// Delete implements messaging.Connection.
func (e *endpoint) Delete(context.Context, string, []messaging.Position) error { return errWriteOnly }

// Incarnation implements messaging.Connection.
func (e *endpoint) Incarnation(context.Context, string) (string, error) { return "", errWriteOnly }

// Close implements messaging.Connection.
func (e *endpoint) Close(context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.closed {
		e.closed = true
		e.client.CloseIdleConnections()
	}
	return nil
}

func (e *endpoint) isClosed() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.closed
}
