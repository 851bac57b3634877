package kafka

import (
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

const defaultPort = "9092"

type settings struct {
	brokers  []string
	clientID string
	connect  time.Duration
	metadata time.Duration

	startWait time.Duration

	tls  tlsSettings
	sasl saslSettings

	create               bool
	partitions, replicas int64

	instance                  string
	session, rebalance, waits time.Duration
	skipGaps                  bool

	fetchBytes, fetchPartition int64
	fetches                    int64
	fetchWait                  time.Duration
	scan                       int64

	compression string
	write       time.Duration
	transaction time.Duration
	maxValue    int64
}

type tlsSettings struct {
	on, insecure          bool
	ca, cert, key, server string
}

type saslSettings struct {
	mechanism, user, password, tokenFile string
}

func parse(o messaging.Options) (settings, error) {
	scheme, address, _ := strings.Cut(o.URL, ":")
	brokers, user, password, err := addresses(address)
	if err != nil {
		return settings{}, fmt.Errorf("connection %s: %w", o.Name, err)
	}
	s := o.Parse()
	v := settings{
		brokers:  brokers,
		clientID: s.String("client_id", "ds-runner"),
		connect:  s.Duration("connect_timeout", 10*time.Second, time.Millisecond),
		metadata: s.Duration("metadata_age", 30*time.Second, 10*time.Millisecond),

		startWait: s.Duration("start_wait", time.Minute, 0),
		tls: tlsSettings{
			on: s.Bool("tls", scheme == "kafka+tls"), insecure: s.Bool("tls_insecure", false),
			ca: o.Within(s.String("tls_ca", "")), cert: o.Within(s.String("tls_cert", "")), key: o.Within(s.String("tls_key", "")), server: s.String("tls_server_name", ""),
		},
		sasl: saslSettings{
			mechanism: s.Choice("sasl", "auto", "none", "plain", "scram-sha-256", "scram-sha-512", "oauthbearer"),
			user:      s.String("user", user), password: s.String("password", password), tokenFile: o.Within(s.String("token_file", "")),
		},
		create:         s.Bool("create", true),
		partitions:     s.Int("partitions", 0, 0),
		replicas:       s.Int("replicas", 0, 0),
		instance:       s.String("instance_id", ""),
		session:        s.Duration("session_timeout", 15*time.Second, time.Second),
		rebalance:      s.Duration("rebalance_timeout", 2*time.Minute, time.Second),
		waits:          s.Duration("revoke_wait", 30*time.Second, 0),
		skipGaps:       s.Choice("gap", "stop", "continue") == "continue",
		fetchBytes:     s.Bytes("fetch_bytes", 16<<20, 1<<10),
		fetchPartition: s.Bytes("fetch_partition_bytes", 1<<20, 1<<10),
		fetches:        s.Int("fetches", 0, 0),
		fetchWait:      s.Duration("fetch_wait", 500*time.Millisecond, time.Millisecond),
		scan:           s.Int("browse_scan", 1_000_000, 0),
		compression:    s.Choice("compression", "none", "snappy", "lz4", "zstd", "gzip"),
		write:          s.Duration("write_timeout", 30*time.Second, 10*time.Millisecond),
		transaction:    s.Duration("transaction_timeout", 45*time.Second, time.Second),
		maxValue:       s.Bytes("max_value", 0, 0),
	}
	if err := s.Done(); err != nil {
		return v, err
	}
	if err := v.agree(); err != nil {
		return v, fmt.Errorf("connection %s: %w", o.Name, err)
	}
	return v, nil
}

// agree asks for what no single setting can be asked.
func (s settings) agree() error {
	switch {
	case s.waits >= s.rebalance:
		return fmt.Errorf("revoke_wait is %s, expected less than rebalance_timeout (%s): the group would give the member up meanwhile", s.waits, s.rebalance)
	case s.write >= s.transaction:
		return fmt.Errorf("write_timeout is %s, expected less than transaction_timeout (%s): the broker would end the transaction meanwhile", s.write, s.transaction)
	case s.sasl.mechanism == "oauthbearer" && s.sasl.tokenFile == "":
		return fmt.Errorf("sasl is oauthbearer, expected token_file as well")
	case (s.tls.cert == "") != (s.tls.key == ""):
		return fmt.Errorf("tls_cert and tls_key are given together or not at all")
	case !s.tls.on && (s.tls.ca != "" || s.tls.cert != "" || s.tls.server != "" || s.tls.insecure):
		return fmt.Errorf("settings of TLS are given and TLS is off: write kafka+tls:// or tls: true")
	}
	return nil
}

// addresses reads //user:password@host:port,host:port. Without a host it is this machine.
func addresses(rest string) (brokers []string, user, password string, err error) {
	rest = strings.TrimSuffix(strings.TrimPrefix(rest, "//"), "/")
	if at := strings.LastIndex(rest, "@"); at >= 0 {
		name, secret, _ := strings.Cut(rest[:at], ":")
		if user, err = url.PathUnescape(name); err == nil {
			password, err = url.PathUnescape(secret)
		}
		if err != nil {
			return nil, "", "", fmt.Errorf("the user or password in the URL has a broken %%-escape")
		}
		rest = rest[at+1:]
	}
	if rest == "" {
		rest = "127.0.0.1"
	}
	for broker := range strings.SplitSeq(rest, ",") {
		broker = strings.TrimSpace(broker)
		host, port, err := net.SplitHostPort(broker)
		if err != nil {
			host, port = strings.Trim(broker, "[]"), defaultPort
		}
		if host == "" || strings.ContainsAny(host, "/ ") {
			return nil, "", "", fmt.Errorf("%q is no broker's address, expected kafka://host:port,host:port", broker)
		}
		brokers = append(brokers, net.JoinHostPort(host, port))
	}
	return brokers, user, password, nil
}
