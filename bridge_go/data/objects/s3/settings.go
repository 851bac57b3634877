package s3

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// leastPart is S3's own limit, of all parts but the last.
const leastPart = 5 << 20

type settings struct {
	name           string // of the connection
	endpoint       string
	bucket, prefix string
	region, style  string
	insecure       bool
	key, secret    string
	session        string
	credentials    string
	ca             string
	partSize       int64
	timeout        time.Duration
	transport      *http.Transport
}

func parse(o messaging.Options) (settings, error) {
	at, err := url.Parse(o.URL)
	if err != nil {
		return settings{}, fmt.Errorf("connection %s: %s is no URL. For example: s3://storage.example.com/bucket", o.Name, messaging.Mask(o.URL))
	}
	user, password := "", ""
	if at.User != nil {
		user = at.User.Username()
		password, _ = at.User.Password()
	}
	s := o.Parse()
	v := settings{
		name: o.Name, endpoint: at.Host,
		region: s.String("region", "us-east-1"), insecure: s.Bool("insecure", false), style: s.Choice("style", "auto", "path", "host"),
		key: s.String("access_key", user), secret: s.String("secret_key", password), session: s.String("session_token", ""),
		credentials: s.Choice("credentials", "auto", "given", "environment", "role", "none"),
		ca:          s.String("tls_ca", ""), partSize: s.Bytes("part_size", 8<<20, leastPart),
		timeout: s.Duration("timeout", 30*time.Second, time.Second),
	}
	problem := s.Done()
	if v.endpoint == "" {
		v.endpoint = "s3." + v.region + ".amazonaws.com"
	}
	v.bucket, v.prefix, _ = strings.Cut(strings.Trim(at.Path, "/"), "/")
	if v.prefix != "" {
		v.prefix += "/"
	}
	if v.bucket == "" {
		problem = errors.Join(problem, fmt.Errorf("connection %s: the URL names no bucket. For example: s3://%s/models", o.Name, v.endpoint))
	}
	if (v.key == "") != (v.secret == "") {
		problem = errors.Join(problem, fmt.Errorf("connection %s: access_key and secret_key belong together, and one of them is missing", o.Name))
	}
	return v, problem
}

func (s *settings) client(o messaging.Options) (*minio.Core, error) {
	chosen, err := s.who()
	if err != nil {
		return nil, err
	}
	if s.transport, err = s.dialer(o); err != nil {
		return nil, err
	}
	return minio.NewCore(s.endpoint, &minio.Options{
		Creds: chosen, Secure: !s.insecure, Transport: s.transport, Region: s.region, BucketLookup: s.lookup(), MaxRetries: 3,
	})
}

func (s *settings) lookup() minio.BucketLookupType {
	switch {
	case s.style == "path", s.style == "auto" && !strings.HasSuffix(s.endpoint, ".amazonaws.com"):
		return minio.BucketLookupPath
	case s.style == "host":
		return minio.BucketLookupDNS
	}
	return minio.BucketLookupAuto
}

// who is how requests are signed. Keys stay in this process.
func (s *settings) who() (*credentials.Credentials, error) {
	kind := s.credentials
	if kind == "auto" {
		switch {
		case s.key != "":
			kind = "given"
		case os.Getenv("AWS_ACCESS_KEY_ID") != "":
			kind = "environment"
		case os.Getenv("AWS_WEB_IDENTITY_TOKEN_FILE") != "", os.Getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI") != "",
			os.Getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") != "":
			kind = "role"
		default:
			return nil, errors.New("no credentials: write access_key: ${env:NAME} and secret_key: ${env:NAME}, or credentials: role for those " +
				"of a pod or machine, or none for a public bucket")
		}
	}
	switch kind {
	case "given":
		if s.key == "" {
			return nil, errors.New("credentials is given, but access_key and secret_key are not")
		}
		return credentials.NewStaticV4(s.key, s.secret, s.session), nil
	case "environment":
		if os.Getenv("AWS_ACCESS_KEY_ID") == "" {
			return nil, errors.New("credentials is environment, but AWS_ACCESS_KEY_ID is not set")
		}
		return credentials.NewEnvAWS(), nil
	case "role":
		return credentials.NewIAM(""), nil
	}
	return credentials.NewStatic("", "", "", credentials.SignatureAnonymous), nil
}

func (s *settings) dialer(o messaging.Options) (*http.Transport, error) {
	transport, err := minio.DefaultTransport(!s.insecure)
	if err != nil || s.ca == "" {
		return transport, err
	}
	pool, err := o.Trusted(s.ca)
	if err != nil {
		return nil, err
	}
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
	return transport, nil
}
