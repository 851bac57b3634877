package front

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"sync/atomic"
)

// A certificate says who the server is. It is read again when its files change; connections that stand keep the one they have.
type certificate struct {
	files *watched
	pair  atomic.Pointer[tls.Certificate]
}

// newCertificate reads a certificate and its key, nil when there is to be none.
func newCertificate(cert, key string) (*certificate, error) {
	if cert == "" {
		return nil, nil
	}
	c := &certificate{}
	c.files = &watched{paths: []string{cert, key}, take: c.take}
	if err := c.files.look(); err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	return c, nil
}

func (c *certificate) take(contents [][]byte) error {
	pair, err := tls.X509KeyPair(contents[0], contents[1])
	if err != nil {
		return fmt.Errorf("%s with %s: %w", c.files.paths[0], c.files.paths[1], err)
	}
	c.pair.Store(&pair)
	return nil
}

// config is for whoever serves by this certificate.
func (c *certificate) config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.pair.Load(), nil },
	}
}

// protocols are those that a client may choose from: HTTP/1.1, and HTTP/2 with TLS or by prior knowledge (h2c).
func protocols() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetHTTP2(true)
	p.SetUnencryptedHTTP2(true)
	return p
}

// Scheme is http or https.
func (f *Front) Scheme() string {
	if f.cert != nil {
		return "https"
	}
	return "http"
}

func (f *Front) serve() error {
	if f.cert != nil {
		return f.server.ServeTLS(f.listener, "", "")
	}
	return f.server.Serve(f.listener)
}
