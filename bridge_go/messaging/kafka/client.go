package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// client is what all clients of a connection have in common.
func (s settings) client(seen *dials, log *slog.Logger) ([]kgo.Opt, error) {
	o := []kgo.Opt{
		kgo.SeedBrokers(s.brokers...),
		kgo.ClientID(s.clientID),
		kgo.DialTimeout(s.connect),
		kgo.MetadataMaxAge(s.metadata),
		kgo.MetadataMinAge(min(s.metadata, 250*time.Millisecond)),
		kgo.WithHooks(seen),
		kgo.WithLogger(logger{log}),
		kgo.DisableClientMetrics(),
	}
	o = append(o, stepOptions...)
	if s.tls.on {
		config, err := s.tls.config()
		if err != nil {
			return nil, err
		}
		o = append(o, kgo.DialTLSConfig(config))
	}
	if m := s.sasl.choose(); m != nil {
		o = append(o, kgo.SASL(m))
	}
	return o, nil
}

func (t tlsSettings) config() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.server, InsecureSkipVerify: t.insecure} //nolint:gosec // a setting, off by default
	if t.ca != "" {
		pem, err := os.ReadFile(t.ca)
		if err != nil {
			return nil, fmt.Errorf("tls_ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls_ca: %s holds no certificate in PEM form", t.ca)
		}
	}
	if t.cert != "" {
		pair, err := tls.LoadX509KeyPair(t.cert, t.key)
		if err != nil {
			return nil, fmt.Errorf("tls_cert, tls_key: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// choose is nil where nobody logs in.
func (s saslSettings) choose() sasl.Mechanism {
	switch s.mechanism {
	case "scram-sha-256":
		return scram.Auth{User: s.user, Pass: s.password}.AsSha256Mechanism()
	case "scram-sha-512":
		return scram.Auth{User: s.user, Pass: s.password}.AsSha512Mechanism()
	case "oauthbearer":
		return oauth.Oauth(s.token)
	case "plain":
	case "auto":
		if s.tokenFile != "" {
			return oauth.Oauth(s.token)
		}
		if s.user == "" {
			return nil
		}
	default:
		return nil
	}
	return plain.Auth{User: s.user, Pass: s.password}.AsMechanism()
}

// token is read at each authentication: whoever writes the file may replace it at any time.
func (s saslSettings) token(context.Context) (oauth.Auth, error) {
	text, err := os.ReadFile(s.tokenFile)
	if err != nil {
		return oauth.Auth{}, fmt.Errorf("token_file: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" {
		return oauth.Auth{}, fmt.Errorf("token_file: %s is empty", s.tokenFile)
	}
	return oauth.Auth{Token: token}, nil
}

// dials remembers how the last attempt to reach a broker failed: the client tries on and on, so that its callers see no more
// than their own deadline.
type dials struct {
	mu   sync.Mutex
	last error
}

// OnBrokerConnect implements kgo.HookBrokerConnect. Connecting includes logging in.
func (d *dials) OnBrokerConnect(meta kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	if ownEnd(err) {
		return
	}
	if err != nil {
		err = fmt.Errorf("broker %s: %w", net.JoinHostPort(meta.Host, fmt.Sprint(meta.Port)), err)
	}
	d.note(err)
}

// OnBrokerE2E implements kgo.HookBrokerE2E: connections that were made and then broke.
func (d *dials) OnBrokerE2E(meta kgo.BrokerMetadata, _ int16, e2e kgo.BrokerE2E) {
	if err := e2e.Err(); err != nil && !ownEnd(err) {
		d.note(fmt.Errorf("broker %s: %w", net.JoinHostPort(meta.Host, fmt.Sprint(meta.Port)), err))
	}
}

// ownEnd says that it was this side which ended the connection.
func ownEnd(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, net.ErrClosed) || errors.Is(err, kgo.ErrClientClosed)
}

func (d *dials) note(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last = err
}

func (d *dials) failure() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.last
}

// logger passes the client's warnings and errors on; the rest is said by this package where it matters.
type logger struct{ log *slog.Logger }

func (l logger) Level() kgo.LogLevel {
	if l.log == nil {
		return kgo.LogLevelNone
	}
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		return kgo.LogLevelInfo
	}
	return kgo.LogLevelWarn
}

// Log lowers each level by one: what the client calls an error it mostly mends itself, and what it does not is returned to us.
func (l logger) Log(level kgo.LogLevel, msg string, keyvals ...any) {
	to := slog.LevelDebug
	if level == kgo.LogLevelError {
		to = slog.LevelWarn
	}
	l.log.Log(context.Background(), to, "kafka: "+msg, keyvals...)
}
