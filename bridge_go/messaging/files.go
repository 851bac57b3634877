package messaging

import (
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
)

// Within is the path of a setting: a relative one begins in the project's folder. Empty stays empty.
func (o Options) Within(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(o.Dir, path)
}

// Trusted is the system's certificates, and beside them those of a file in PEM form, which the setting tls_ca names.
func (o Options) Trusted(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(o.Within(file))
	if err != nil {
		return nil, fmt.Errorf("tls_ca: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("tls_ca: %s holds no certificate in PEM form", file)
	}
	return pool, nil
}
