package formats

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/sr"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// Bounds of what a registry is believed.
const (
	maxAnswer     = 16 << 20
	maxReferences = 200 // of one schema, all that it leads to
	maxKept       = 10_000
)

// A Registry is a connection to a schema registry. Its settings:
//
//	user, password    or those of the URL
//	token             a bearer token instead
//	tls_ca            a file of certificates to trust beside the system's
//	timeout=5s        of one request
type Registry struct {
	name   string
	client *sr.Client

	mu   sync.Mutex
	byID map[int]sr.Schema
}

// NewRegistry reads a connection's settings. Nothing is asked of the registry yet: a program starts without it, and waits.
func NewRegistry(o messaging.Options) (*Registry, error) {
	o, err := o.Ready()
	if err != nil {
		return nil, err
	}
	at, err := url.Parse(o.URL)
	if err != nil || at.Host == "" || (at.Scheme != "http" && at.Scheme != "https") {
		return nil, fmt.Errorf("connection %s: %s is no schema registry: its URL begins with http:// or https://", o.Name, messaging.Mask(o.URL))
	}
	s := o.Parse()
	user, password := s.String("user", at.User.Username()), ""
	if given, ok := at.User.Password(); ok {
		password = given
	}
	password = s.String("password", password)
	token, ca := s.String("token", ""), s.String("tls_ca", "")
	timeout := s.Duration("timeout", 5*time.Second, 100*time.Millisecond)
	if err := s.Done(); err != nil {
		return nil, err
	}
	at.User = nil
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if ca != "" {
		pool, err := o.Trusted(ca)
		if err != nil {
			return nil, fmt.Errorf("connection %s: %w", o.Name, err)
		}
		transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
	}
	options := []sr.ClientOpt{sr.URLs(at.String()), sr.UserAgent("ds-runner"), sr.HTTPClient(&http.Client{Timeout: timeout, Transport: bounded{transport}})}
	switch {
	case token != "":
		options = append(options, sr.BearerToken(token))
	case user != "" || password != "":
		options = append(options, sr.BasicAuth(user, password))
	}
	client, err := sr.NewClient(options...)
	if err != nil {
		return nil, fmt.Errorf("connection %s: %w", o.Name, err)
	}
	return &Registry{name: o.Name, client: client, byID: map[int]sr.Schema{}}, nil
}

// bounded reads no more of an answer than a schema may have.
type bounded struct{ http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		answer.Body = http.MaxBytesReader(nil, answer.Body, maxAnswer)
	}
	return answer, err
}

// byNumber is the schema of an id, which never changes.
func (r *Registry) byNumber(ctx context.Context, id int) (sr.Schema, error) {
	r.mu.Lock()
	known, ok := r.byID[id]
	r.mu.Unlock()
	if ok {
		return known, nil
	}
	found, err := r.client.SchemaByID(ctx, id)
	if err != nil {
		return found, r.failed(fmt.Sprintf("schema %d", id), err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.byID) >= maxKept {
		clear(r.byID)
	}
	r.byID[id] = found
	return found, nil
}

// A dependency is a schema that another one refers to by a name.
type dependency struct{ name, text string }

// dependencies are all schemas that one leads to, those first that others need.
func (r *Registry) dependencies(ctx context.Context, s sr.Schema) ([]dependency, error) {
	var found []dependency
	seen := map[string]bool{}
	var visit func(s sr.Schema) error
	visit = func(s sr.Schema) error {
		for _, ref := range s.References {
			if seen[ref.Name] {
				continue
			}
			if seen[ref.Name] = true; len(seen) > maxReferences {
				return mistakef("the schema leads to more than %d others", maxReferences)
			}
			got, err := r.client.SchemaByVersion(ctx, ref.Subject, ref.Version)
			if err != nil {
				return r.failed(fmt.Sprintf("version %d of %s", ref.Version, ref.Subject), err)
			}
			if err := visit(got.Schema); err != nil {
				return err
			}
			found = append(found, dependency{ref.Name, got.Schema.Schema})
		}
		return nil
	}
	return found, visit(s)
}

// latest is the newest version of a subject.
func (r *Registry) latest(ctx context.Context, subject string) (sr.SubjectSchema, error) {
	found, err := r.client.SchemaByVersion(ctx, subject, -1)
	if err != nil {
		return found, r.failed("the latest version of "+subject, err)
	}
	return found, nil
}

// registered is the id of a schema under a subject. It is made one, or only looked up.
func (r *Registry) registered(ctx context.Context, subject string, s sr.Schema, register bool) (sr.SubjectSchema, error) {
	if !register {
		found, err := r.client.LookupSchema(ctx, subject, s)
		if err != nil {
			return found, r.failed("look up "+subject, err)
		}
		return found, nil
	}
	id, err := r.client.RegisterSchema(ctx, subject, s, -1, -1)
	if err != nil {
		return sr.SubjectSchema{}, r.failed("register "+subject, err)
	}
	return sr.SubjectSchema{Subject: subject, ID: id, Schema: s}, nil
}

// authFailures are the answers that are about who asks.
var authFailures = []int{http.StatusUnauthorized, http.StatusForbidden}

// failed says what to do about a registry's answer.
func (r *Registry) failed(what string, err error) error {
	var answer *sr.ResponseError
	advice := ""
	switch {
	case errors.As(err, &answer) && slices.Contains(authFailures, answer.StatusCode):
		advice = ". Correct user, password or token of the connection"
	case errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound && strings.HasPrefix(what, "look up"):
		advice = ". Register this schema, or set register_schema: true on the stream"
	case errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound:
		advice = ". Is it another registry than the one that the writer of these events uses?"
	case errors.As(err, &answer) && answer.StatusCode == http.StatusConflict:
		advice = ". Change the schema so that it is compatible, or the subject's level of compatibility"
	}
	var request *url.Error
	if errors.As(err, &request) {
		err = request.Err
	}
	return fmt.Errorf("schema registry %s: %s: %w%s", r.name, what, err, advice)
}
