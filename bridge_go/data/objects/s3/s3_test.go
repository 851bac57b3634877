package s3

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"ds-runner.dev/ds-runner/bridge_go/data/objects"
	"ds-runner.dev/ds-runner/bridge_go/data/objects/objectstest"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/providers"
)

// below is the provider's URL with a prefix, for a bucket of one's own.
func below(t *testing.T, prefix string) string {
	t.Helper()
	base, query, _ := strings.Cut(providers.URL(t, "s3"), "?")
	return base + "/" + prefix + "?" + query
}

func try(t *testing.T, url string, settings map[string]string) (objects.Bucket, error) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return objects.Open(ctx, messaging.Options{Name: "models", URL: url, Settings: settings})
}

func open(t *testing.T, url string, settings map[string]string) *bucket {
	t.Helper()
	b, err := try(t, url, settings)
	if err != nil {
		t.Fatal(err)
	}
	return b.(*bucket)
}

func TestBattery(t *testing.T) {
	prefixes := map[*testing.T]string{}
	here := func(t *testing.T) *bucket {
		if prefixes[t] == "" {
			prefixes[t] = rand.Text()
		}
		return open(t, below(t, prefixes[t]), nil)
	}
	objectstest.Run(t, objectstest.Harness{
		Open: func(t *testing.T) objects.Bucket { return here(t) },
		Leftovers: func(t *testing.T) (n int) {
			b := here(t)
			for upload := range b.core.ListIncompleteUploads(context.Background(), b.bucket, b.prefix, true) {
				if upload.Err != nil {
					t.Fatal(upload.Err)
				}
				n++
			}
			return n
		},
	})
}

func TestMistakesAreToldWithWhatToDo(t *testing.T) {
	good := providers.URL(t, "s3")
	base, query, _ := strings.Cut(good, "?")
	at, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	host := at.Host
	for _, x := range []struct {
		url      string
		settings map[string]string
		want     string
	}{
		{strings.TrimSuffix(base, "test") + "absent?" + query, nil, "There is no bucket absent at " + host + ": make it, or correct the URL"},
		{"s3://test:wrong@" + host + "/test?" + query, nil, "Correct access_key, secret_key"},
		{"s3://nobody:wrong@" + host + "/test?" + query, nil, "Correct access_key, secret_key"},
		{"s3://" + host + "/test?" + query, nil, "no credentials: write access_key"},
		{"s3://test@" + host + "/test?" + query, nil, "access_key and secret_key belong together"},
		{"s3://test:x@" + host + "?" + query, nil, "the URL names no bucket"},
		{good, map[string]string{"insecure": "false"}, "set insecure: true"},
		{good, map[string]string{"part_size": "1MiB"}, "part_size is \"1MiB\", expected a size of at least 5242880 bytes"},
		{good, map[string]string{"credentials": "stolen"}, "expected auto, given, environment, role, none"},
		{good, map[string]string{"colour": "red"}, `no setting "colour"`},
		{good, map[string]string{"tls_ca": "/none", "insecure": "false"}, "tls_ca: open /none"},
		{good, map[string]string{"region": "mars-1"}, "set region to that of the bucket"},
		{"s3://test:x@127.0.0.1:1/test?" + query, nil, "Is the host of the URL right, and does the service run?"},
	} {
		_, err := try(t, x.url, x.settings)
		if err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s %v: %v, want %s", messaging.Mask(x.url), x.settings, err, x.want)
		}
		if err != nil && strings.Contains(err.Error(), "test-secret") {
			t.Errorf("a secret is told: %v", err)
		}
	}
}

func TestCredentialsOfTheEnvironment(t *testing.T) {
	base, query, _ := strings.Cut(providers.URL(t, "s3"), "?")
	at, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	secret, _ := at.User.Password()
	t.Setenv("AWS_ACCESS_KEY_ID", at.User.Username())
	t.Setenv("AWS_SECRET_ACCESS_KEY", secret)
	b := open(t, "s3://"+at.Host+at.Path+"?"+query, nil)
	if _, err := b.List(t.Context(), "", "", 1); err != nil {
		t.Error(err)
	}
}

func TestWhereABucketIs(t *testing.T) {
	for _, x := range []struct {
		url, endpoint, bucket, prefix string
		settings                      map[string]string
		lookup                        minio.BucketLookupType
	}{
		{"s3://k:s@storage.example.com:9000/models", "storage.example.com:9000", "models", "", nil, minio.BucketLookupPath},
		{"s3://k:s@storage.example.com/models/prod/", "storage.example.com", "models", "prod/", nil, minio.BucketLookupPath},
		{"s3:///models?region=eu-west-1", "s3.eu-west-1.amazonaws.com", "models", "", map[string]string{"credentials": "role"}, minio.BucketLookupAuto},
		{"s3:///models?region=eu-west-1&style=path", "s3.eu-west-1.amazonaws.com", "models", "", nil, minio.BucketLookupPath},
		{"s3://storage.example.com/models?style=host", "storage.example.com", "models", "", nil, minio.BucketLookupDNS},
	} {
		o, err := messaging.Options{Name: "models", URL: x.url, Settings: x.settings}.Ready()
		if err != nil {
			t.Fatal(err)
		}
		s, err := parse(o)
		if err != nil || s.endpoint != x.endpoint || s.bucket != x.bucket || s.prefix != x.prefix || s.lookup() != x.lookup {
			t.Errorf("%s: %+v, %v", x.url, s, err)
		}
	}
}

// A proxy stands before the service and does what a test wants with its requests.
func proxied(t *testing.T, prefix string, settings map[string]string, handle func(w http.ResponseWriter, r *http.Request, pass http.Handler)) *bucket {
	t.Helper()
	at, err := url.Parse(below(t, prefix))
	if err != nil {
		t.Fatal(err)
	}
	service := at.Host
	pass := &httputil.ReverseProxy{
		Rewrite:      func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = "http", service }, // the Host stays: it is signed
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) {},
	}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handle(w, r, pass) }))
	t.Cleanup(front.Close)
	at.Host = front.Listener.Addr().String()
	return open(t, at.String(), settings)
}

func send(ctx context.Context, b *bucket, key string, n int64, fill byte) (sum string, err error) {
	part := make([]byte, objects.PartBytes)
	for i := range part {
		part[i] = fill + byte(i)
	}
	whole := sha256.New()
	for left := n; left > 0; left -= objects.PartBytes {
		whole.Write(part[:min(left, objects.PartBytes)])
	}
	sum = hex.EncodeToString(whole.Sum(nil))
	u, err := b.Create(ctx, key, objects.Announced{Size: n, SHA256: sum})
	if err != nil {
		return "", err
	}
	for i, left := 1, n; left > 0; i, left = i+1, left-objects.PartBytes {
		if err := u.Part(ctx, i, part[:min(left, objects.PartBytes)]); err != nil {
			return "", errors.Join(err, u.Abort(ctx))
		}
	}
	return sum, u.Finish(ctx, n, sum)
}

// What is announced decides how much is held at once, and whoever writes may announce anything.
func TestAnObjectWhosePartsWouldFillTheMemoryIsRefusedBeforeItBegins(t *testing.T) {
	b := &bucket{settings: settings{name: "models", partSize: 8 << 20}}
	for size, want := range map[int64]int{-1: 8 << 20, 1: 8 << 20, 5 << 40: 5<<40/mostParts + 1, 6 << 40: 0, math.MaxInt64: 0} {
		u, err := b.Create(t.Context(), "model.bin", objects.Announced{Size: size})
		var known *objects.Error
		switch {
		case want == 0 && (!errors.As(err, &known) || known.Code != "bad_value" || !strings.Contains(known.Reason, "model.bin")):
			t.Errorf("%d bytes: %v", size, err)
		case want != 0 && (err != nil || u.(*upload).size != want):
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

func TestAHungServiceEndsByItsDeadlineAndIsUnavailable(t *testing.T) {
	var hang atomic.Bool
	release := make(chan struct{})
	defer close(release)
	b := proxied(t, rand.Text(), map[string]string{"timeout": "1s"}, func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		if hang.Load() {
			select {
			case <-release:
			case <-r.Context().Done():
			}
			return
		}
		pass.ServeHTTP(w, r)
	})
	hang.Store(true)
	begun := time.Now()
	_, err := b.Head(t.Context(), "k")
	var told *objects.Error
	if !errors.As(err, &told) || !told.Retry() || !strings.Contains(told.Reason, "has not answered in time") {
		t.Error(err)
	}
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("took %s", took)
	}
}

func TestAConnectionThatBreaksInTheMiddleOfAPartIsTriedAgain(t *testing.T) {
	var cuts atomic.Int32
	cuts.Store(2)
	b := proxied(t, rand.Text(), nil, func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		if r.Method == http.MethodPut && r.URL.Query().Get("partNumber") == "2" && cuts.Add(-1) >= 0 {
			io.CopyN(io.Discard, r.Body, 1<<20)
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				conn.Close()
			}
			return
		}
		pass.ServeHTTP(w, r)
	})
	sum, err := send(t.Context(), b, "k", 20<<20, 1)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := b.Head(t.Context(), "k"); err != nil || info.SHA256 != sum || info.Size != 20<<20 {
		t.Errorf("%+v, %v", info, err)
	}
}

func TestAnUploadThatFailsForGoodIsAbortedAndWhatWasThereStays(t *testing.T) {
	var refuse atomic.Bool
	b := proxied(t, rand.Text(), map[string]string{"timeout": "5s"}, func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		if refuse.Load() && r.URL.Query().Get("partNumber") == "2" {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `<Error><Code>AccessDenied</Code><Message>No more.</Message></Error>`)
			return
		}
		pass.ServeHTTP(w, r)
	})
	before, err := send(t.Context(), b, "k", 1<<20, 1)
	if err != nil {
		t.Fatal(err)
	}
	refuse.Store(true)
	_, err = send(t.Context(), b, "k", 20<<20, 2)
	var told *objects.Error
	if !errors.As(err, &told) || told.Code != "refused" || !strings.Contains(err.Error(), "No more (AccessDenied)") {
		t.Error(err)
	}
	if info, err := b.Head(t.Context(), "k"); err != nil || info.SHA256 != before {
		t.Errorf("%+v, %v", info, err)
	}
	for left := range b.core.ListIncompleteUploads(t.Context(), b.bucket, b.prefix, true) {
		t.Errorf("left: %+v", left)
	}
}

func TestAnAnswerThatIsLostAtTheEndIsNoFailure(t *testing.T) {
	lose := atomic.Bool{}
	lose.Store(true)
	b := proxied(t, rand.Text(), nil, func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		if r.Method == http.MethodPost && r.URL.Query().Get("uploadId") != "" && lose.Swap(false) {
			pass.ServeHTTP(httptest.NewRecorder(), r)
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		pass.ServeHTTP(w, r)
	})
	sum, err := send(t.Context(), b, "k", 12<<20, 3)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := b.Head(t.Context(), "k"); err != nil || info.SHA256 != sum {
		t.Errorf("%+v, %v", info, err)
	}
}

func TestLargeObjectsNeedTheMemoryOfAFewParts(t *testing.T) {
	b := open(t, below(t, rand.Text()), nil)
	const size = 256 << 20
	var most atomic.Uint64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most.Store(max(most.Load(), m.HeapInuse))
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	}()
	sum, err := send(t.Context(), b, "k", size, 4)
	if err != nil {
		t.Fatal(err)
	}
	whole := sha256.New()
	for at := int64(0); at < size; {
		data, err := b.Read(t.Context(), "k", at, objects.PartBytes)
		if err != nil {
			t.Fatal(err)
		}
		whole.Write(data)
		at += int64(len(data))
	}
	close(stop)
	<-stopped
	if got := hex.EncodeToString(whole.Sum(nil)); got != sum {
		t.Errorf("%s, want %s", got, sum)
	}
	if m := most.Load(); m > 64<<20 {
		t.Errorf("the heap grew to %d MiB", m>>20)
	}
	if err := b.Delete(t.Context(), "k"); err != nil {
		t.Error(err)
	}
}
