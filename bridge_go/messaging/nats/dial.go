package nats

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	natsgo "github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"ds-runner.dev/ds-runner/bridge_go/messaging/jetstream"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// A server that was lost is dialled for ever, more and more seldom, with half of each pause left to chance so that many bridges do
// not come back at once.
const (
	firstRedial = 100 * time.Millisecond
	lastRedial  = 5 * time.Second
	pingEvery   = 10 * time.Second // two without an answer mean that the server is gone
)

func (c *connection) dial(ctx context.Context) error {
	options, err := c.credentials()
	if err != nil {
		return err
	}
	log := c.options.Log
	options = append(options,
		natsgo.Name("ds-bridge "+c.options.Name), natsgo.Timeout(c.patience(ctx)), natsgo.MaxReconnects(-1),
		natsgo.CustomReconnectDelay(redial), natsgo.PingInterval(pingEvery), natsgo.MaxPingsOutstanding(2),
		natsgo.ReconnectBufSize(-1), // what cannot be sent now fails now
		natsgo.IgnoreAuthErrorAbort(), natsgo.NoCallbacksAfterClientClose(),
		natsgo.DisconnectErrHandler(func(_ *natsgo.Conn, err error) { log.Warn("the server is lost, dialling again", "error", err) }),
		natsgo.ReconnectHandler(func(n *natsgo.Conn) {
			log.Info("the server is back", "server", n.ConnectedServerName())
			c.announce()
		}),
		natsgo.ErrorHandler(func(_ *natsgo.Conn, _ *natsgo.Subscription, err error) {
			log.Warn("the server complains", "error", err)
		}),
	)
	if c.conn, err = natsgo.Connect(c.options.URL, options...); err != nil {
		return explainDial(err)
	}
	c.api = &jetstream.API{Conn: c.conn, Closed: c.closed, Patience: c.settings.timeout}
	c.js, err = natsjs.New(c.conn, natsjs.WithDefaultTimeout(c.settings.timeout))
	if err == nil {
		err = c.ready(ctx)
	}
	if err != nil {
		c.conn.Close()
	}
	return err
}

func (c *connection) patience(ctx context.Context) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return max(min(c.settings.timeout, time.Until(deadline)), time.Millisecond)
	}
	return c.settings.timeout
}

func redial(attempts int) time.Duration {
	pause := min(lastRedial, firstRedial<<min(attempts, 10))
	return pause/2 + rand.N(pause/2)
}

// ready asks for the JetStream of a server that has what is needed. One that has just started may not have opened its streams.
func (c *connection) ready(ctx context.Context) error {
	var major, minor int
	version := c.conn.ConnectedServerVersion()
	if n, _ := fmt.Sscanf(version, "%d.%d", &major, &minor); n == 2 && (major < 2 || major == 2 && minor < 11) {
		return fmt.Errorf("server %s is too old: 2.11 is needed, which pins readers", version)
	}
	ctx, cancel := context.WithTimeout(ctx, c.settings.timeout)
	defer cancel()
	for {
		err := c.api.Call(ctx, "INFO", nil, nil)
		if err == nil || !errors.Is(err, natsgo.ErrNoResponders) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the server has no JetStream for this account: start it with -js, or enable it in its configuration")
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (c *connection) credentials() (options []natsgo.Option, err error) {
	s := c.settings
	for name, path := range map[string]string{"nkey": s.nkey, "creds": s.creds, "tls_ca": s.tlsCA, "tls_cert": s.cert, "tls_key": s.tlsKey} {
		if path != "" {
			if _, err := os.ReadFile(path); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	switch {
	case s.user != "":
		options = append(options, natsgo.UserInfo(s.user, s.password))
	case s.token != "":
		options = append(options, natsgo.Token(s.token))
	case s.creds != "":
		options = append(options, natsgo.UserCredentials(s.creds))
	case s.nkey != "":
		nkey, err := natsgo.NkeyOptionFromSeed(s.nkey)
		if err != nil {
			return nil, fmt.Errorf("nkey: %s: expected the seed of a user, which begins with SU: %w", s.nkey, err)
		}
		options = append(options, nkey)
	}
	if strings.HasPrefix(c.options.URL, "tls:") {
		options = append(options, natsgo.Secure())
	}
	if s.tlsCA != "" {
		options = append(options, natsgo.RootCAs(s.tlsCA))
	}
	if s.cert != "" {
		options = append(options, natsgo.ClientCert(s.cert, s.tlsKey))
	}
	return options, nil
}

func explainDial(err error) error {
	switch {
	case errors.Is(err, natsgo.ErrAuthorization), errors.Is(err, natsgo.ErrAuthExpired):
		return fmt.Errorf("the server does not let us in: %w. Check user and password, token, nkey or creds", err)
	case errors.Is(err, natsgo.ErrNoServers):
		return messaging.MarkAway(fmt.Errorf("nobody answers there: %w", err))
	case errors.Is(err, natsgo.ErrSecureConnRequired):
		return fmt.Errorf("the server wants TLS: write tls:// in place of nats://: %w", err)
	case errors.Is(err, natsgo.ErrSecureConnWanted):
		return fmt.Errorf("the server has no TLS: write nats:// in place of tls://: %w", err)
	}
	return err
}

// back is a channel that closes when the server is reached again after this call.
func (c *connection) back() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.again
}

func (c *connection) announce() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.again)
	c.again = make(chan struct{})
}
