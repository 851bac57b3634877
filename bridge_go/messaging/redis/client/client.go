// Package client opens connections to a Redis server, for streams and for keys alike.
//
// Every command has a deadline: the caller's, and [Client.Timeout] where that is sooner. A server that was stopped or cut off
// costs a call that long and no more; the connection is dialled again by the next call.
package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/redis/rueidis"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// A Client is safe from any goroutine.
type Client struct {
	rueidis.Client
	Timeout time.Duration // of one command, without the time it may block on purpose
	cluster bool
}

// Together is how many keys one command may name: as many as are asked for, or one in a cluster, whose keys lie apart.
func (c *Client) Together(keys int) int {
	if c.cluster {
		return 1
	}
	return keys
}

// Config is what the settings that all of Redis share say.
type Config struct {
	timeout       time.Duration
	cluster       bool
	ca, cert, key string
	atOnce        bool
}

// AtOnce has what cannot reach the server fail at once, for callers who have somebody to tell. Otherwise what only reads is tried
// again for as long as it has time.
func (c Config) AtOnce() Config {
	c.atOnce = true
	return c
}

// Settings reads the settings that all of Redis share.
func Settings(s *messaging.Settings) Config {
	return Config{
		timeout: s.Duration("timeout", 5*time.Second, 10*time.Millisecond),
		cluster: s.Bool("cluster", false),
		ca:      s.String("tls_ca", ""),
		cert:    s.String("tls_cert", ""),
		key:     s.String("tls_key", ""),
	}
}

// A connection may serve streams and keys. Each of the two reads its own settings and lets those of the other stand.
var ofStreams = []string{"takeover", "gap", "value_field", "max_length", "max_age", "dedup", "wait_replicas"}

// OfStreams lets the settings of streams stand.
func OfStreams(s *messaging.Settings) { letStand(s, ofStreams...) }

// OfKeys lets the settings of keys stand.
func OfKeys(s *messaging.Settings) { letStand(s, "prefix") }

func letStand(s *messaging.Settings, names ...string) {
	for _, name := range names {
		s.String(name, "")
	}
}

// Open connects, so that a wrong address or password is said at once.
func Open(ctx context.Context, o messaging.Options, c Config) (*Client, error) {
	option, err := c.option(o)
	if err != nil {
		return nil, fmt.Errorf("connection %s: %w", o.Name, err)
	}
	inner, err := rueidis.NewClient(option)
	if err != nil {
		return nil, Starting(fmt.Errorf("connection %s: %s: %w", o.Name, messaging.Mask(o.URL), err))
	}
	opened := &Client{Client: inner, Timeout: c.timeout, cluster: c.cluster}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	if err := inner.Do(ctx, inner.B().Ping().Build()).Error(); err != nil {
		inner.Close()
		return nil, Starting(fmt.Errorf("connection %s: %s: %w", o.Name, messaging.Mask(o.URL), err))
	}
	return opened, nil
}

// Starting marks the answers of a server that is there and not ready: it reads its data, or looks for its cluster.
func Starting(err error) error {
	var said *rueidis.RedisError
	if errors.As(err, &said) && (said.IsLoading() || said.IsClusterDown()) {
		return messaging.MarkAway(err)
	}
	return err
}

func (c Config) option(o messaging.Options) (rueidis.ClientOption, error) {
	option, err := parse(o.URL)
	if err != nil {
		return option, err
	}
	option.ClientName = "ds-bridge"
	option.ForceSingleClient = !c.cluster
	option.DisableCache = true // nothing is cached here, and tracking would cost a connection's memory on both sides
	option.DisableRetry = c.atOnce
	option.ConnWriteTimeout = c.timeout
	option.Dialer = net.Dialer{Timeout: c.timeout, KeepAlive: time.Second}
	option.AlwaysPipelining = true // only a pipelined command ends with its context; the others hold on to the socket's deadline
	option.PipelineMultiplex = -1  // one connection: records of one sink stay in order, and sources wait on connections of their own
	if option.TLSConfig == nil {
		if c.ca != "" || c.cert != "" || c.key != "" {
			return option, errors.New("tls_ca, tls_cert and tls_key need a rediss: URL")
		}
		return option, nil
	}
	return option, c.certificates(option.TLSConfig, o.Dir)
}

// parse reads redis://[user[:password]@]host[:port][/database]. Its errors do not repeat the URL, which may hold a password.
func parse(url string) (rueidis.ClientOption, error) {
	option, err := rueidis.ParseURL(url)
	if err != nil {
		return option, fmt.Errorf("%s is not of the form redis://[user:password@]host:port/database", messaging.Mask(url))
	}
	if option.TLSConfig != nil {
		option.TLSConfig.MinVersion = tls.VersionTLS12
	}
	return option, nil
}

// certificates adds an authority of one's own and a client's certificate.
func (c Config) certificates(config *tls.Config, dir string) error {
	if c.ca != "" {
		pem, err := os.ReadFile(within(dir, c.ca))
		if err != nil {
			return fmt.Errorf("tls_ca: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("tls_ca: %s holds no certificate", c.ca)
		}
	}
	if (c.cert == "") != (c.key == "") {
		return errors.New("tls_cert and tls_key go together")
	}
	if c.cert == "" {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(within(dir, c.cert), within(dir, c.key))
	if err != nil {
		return fmt.Errorf("tls_cert: %w", err)
	}
	config.Certificates = []tls.Certificate{pair}
	return nil
}

func within(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// Bound is a context of one command.
func (c *Client) Bound(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, c.Timeout)
}

// Run sends one command with its deadline.
func (c *Client) Run(ctx context.Context, command rueidis.Completed) rueidis.RedisResult {
	ctx, cancel := c.Bound(ctx)
	defer cancel()
	return c.Do(ctx, command)
}

// RunAll sends commands in one go, in order, with one deadline.
func (c *Client) RunAll(ctx context.Context, commands []rueidis.Completed) []rueidis.RedisResult {
	ctx, cancel := c.Bound(ctx)
	defer cancel()
	return c.DoMulti(ctx, commands...)
}

// Refused says that the server has answered, with an error of its own. Its prefix is the kind: OOM, NOGROUP, WRONGTYPE.
func Refused(err error) (*rueidis.RedisError, bool) { return rueidis.IsRedisErr(err) }
