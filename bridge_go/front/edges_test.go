package front

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestEveryProblemIsProblemJSON(t *testing.T) {
	r := newRig(t, Config{MaxBody: 100}).ready()
	for _, c := range []struct {
		method, path, body, want string
		status                   int
	}{
		{"POST", "/predict", `{`, `{"error":"malformed JSON at byte 1: a name in double quotes is expected","code":"malformed"`, 400},
		{"POST", "/predict", `{"dep_delay":"x"}`, `{"errors":[{"field":"dep_delay","got":"twelve","expected":"number or null"}],"code":"invalid_event"`, 422},
		{"POST", "/predict", `{"ask":"fail"}`, `{"error":"ValueError: no","code":"exception"`, 500},
		{"POST", "/v2/models/flights/infer", `{}`, `{"error":`, 400},
		{"GET", "/v2/models/trains", ``, `{"error":"no model trains here`, 404},
		{"GET", "/v2/models/a&b>c", ``, `{"error":"no model a&b>c here`, 404}, // it was spelt with \u003e
		{"POST", "/models/trains/predict", `{}`, `{"error":"no model trains here`, 404},
		{"POST", "/models/flights/drive", `{}`, `{"error":"no page drive of a model, but predict`, 404},
		{"POST", "/models/flights/predict", `{`, `{"error":"malformed JSON`, 400},
	} {
		status, h, text := r.ask(c.method, c.path, c.body)
		r.plain(status, h, text)
		if status != c.status || !strings.HasPrefix(text, c.want) {
			t.Errorf("%s %s: %d %s", c.path, c.body, status, text)
		}
	}
}

func gzipped(data []byte) []byte {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write(data)
	z.Close()
	return packed.Bytes()
}

func deflated(data []byte) []byte {
	var packed bytes.Buffer
	z := zlib.NewWriter(&packed)
	z.Write(data)
	z.Close()
	return packed.Bytes()
}

// send posts a body with headers given in pairs.
func (r *rig) send(body []byte, headers ...string) (int, http.Header, []byte) {
	r.Helper()
	request, _ := http.NewRequest("POST", r.server.URL+"/predict", bytes.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		request.Header.Add(headers[i], headers[i+1])
	}
	answer, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		r.Fatal(err)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		r.Fatal(err)
	}
	return answer.StatusCode, answer.Header, data
}

func TestCompressedBodiesAreReadWithinTheLimit(t *testing.T) {
	const limit = 64 << 10
	r := newRig(t, Config{MaxBody: limit}).ready()
	row := []byte(`{"dep_delay":1,"pad":"` + strings.Repeat("x", 1000) + `"}`)
	bomb := bytes.Repeat([]byte(" "), 64<<20)
	twice := append(gzipped(row[:100]), gzipped(row[100:])...)
	empties := bytes.Repeat(gzipped(nil), limit/20)
	for name, c := range map[string]struct {
		coding string
		body   []byte
		status int
		code   string
	}{
		"gzip":                   {"gzip", gzipped(row), 200, ""},
		"in capitals":            {"GZIP", gzipped(row), 200, ""},
		"deflate":                {"deflate", deflated(row), 200, ""},
		"as it is":               {"identity", row, 200, ""},
		"two members":            {"gzip", twice, 200, ""},
		"a bomb":                 {"gzip", gzipped(bomb), 413, "body_too_large"},
		"a bomb in deflate":      {"deflate", deflated(bomb), 413, "body_too_large"},
		"a bomb in a bomb":       {"gzip", gzipped(gzipped(bomb)), 400, "malformed"},
		"empty members for ever": {"gzip", empties, 413, "body_too_large"},
		"not compressed":         {"gzip", row, 400, "bad_body"},
		"nothing":                {"gzip", nil, 400, "malformed"},
		"cut off":                {"gzip", gzipped(row)[:50], 400, "bad_body"},
		"a flipped bit":          {"gzip", flipped(gzipped(row)), 400, "bad_body"},
		"garbage behind it":      {"gzip", append(gzipped(row), "garbage"...), 400, "bad_body"},
		"brotli":                 {"br", row, 415, "content_encoding"},
		"twice over":             {"gzip, gzip", gzipped(gzipped(row)), 415, "content_encoding"},
	} {
		for _, announced := range []bool{true, false} {
			body, headers := c.body, []string{"Content-Encoding", c.coding}
			status, _, text := r.send(body, headers...)
			if !announced {
				status, text = r.chunked(body, c.coding)
			}
			if status != c.status || c.code != "" && !bytes.Contains(text, []byte(`"code":"`+c.code+`"`)) {
				t.Errorf("%s: %d %s", name, status, text)
			}
		}
	}
}

func flipped(data []byte) []byte {
	data[len(data)-6] ^= 1 // in the checksum
	return data
}

func (r *rig) chunked(body []byte, coding string) (int, []byte) {
	r.Helper()
	request, _ := http.NewRequest("POST", r.server.URL+"/predict", struct{ io.Reader }{bytes.NewReader(body)})
	request.Header.Set("Content-Encoding", coding)
	request.ContentLength = -1
	answer, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		r.Fatal(err)
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	return answer.StatusCode, text
}

func FuzzCompressedBodies(f *testing.F) {
	f.Add([]byte(`{}`), true)
	f.Add(gzipped([]byte(`{"dep_delay":1}`)), true)
	f.Add(deflated([]byte(`{"dep_delay":1}`)), false)
	f.Add(gzipped(make([]byte, 1<<16)), true)
	front, err := New(Config{MaxBody: 1 << 10})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { front.Close() })
	f.Fuzz(func(t *testing.T, body []byte, zip bool) {
		coding := map[bool]string{true: "gzip", false: "deflate"}[zip]
		request, _ := http.NewRequest("POST", "/predict", bytes.NewReader(body))
		if p := unpack(request, []string{coding}, front.cfg.MaxBody); p != nil {
			return
		}
		if got, p := front.body(nil, request); p == nil && len(got) > front.cfg.MaxBody {
			t.Errorf("%d bytes", len(got))
		} else if p != nil && p.status != 400 && p.status != 413 {
			t.Errorf("%+v", p)
		}
	})
}

func TestLargeAnswersAreCompressedForThoseWhoAsk(t *testing.T) {
	r := newRig(t, Config{}).ready()
	list := []byte("[" + strings.Repeat(`{"dep_delay":1},`, 400) + `{"dep_delay":1}]`)
	status, h, plain := r.send(list, "Accept-Encoding", "identity")
	if status != 200 || h.Get("Content-Encoding") != "" || len(plain) < compressedFrom {
		t.Fatalf("%d %q %d bytes", status, h.Get("Content-Encoding"), len(plain))
	}
	status, h, packed := r.send(list, "Accept-Encoding", "br, gzip")
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil || status != 200 || h.Get("Content-Encoding") != "gzip" || h.Get("Vary") != "Accept-Encoding" {
		t.Fatalf("%v %d %v", err, status, h)
	}
	if got, err := io.ReadAll(z); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("%v, or another answer", err)
	}
	if _, h, _ := r.send([]byte(`{"dep_delay":1}`), "Accept-Encoding", "gzip"); h.Get("Content-Encoding") != "" {
		t.Error("a small answer is compressed")
	}
}

func TestAcceptEncodingIsReadWithItsWeights(t *testing.T) {
	for given, want := range map[string]bool{
		"": false, "gzip": true, "GZip": true, "br, gzip;q=0.5": true, "gzip;q=0": false, "gzip; q=0.000": false, "x-gzip-not": false, "*": false,
	} {
		if takesGzip([]string{given}) != want {
			t.Errorf("%q: %v", given, !want)
		}
	}
}

const clients = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func TestTraceContextGoesOnWithAnIDOfOurs(t *testing.T) {
	r := newRig(t, Config{}).ready()
	_, h, _ := r.send([]byte(`{"dep_delay":1}`), "traceparent", clients)
	got := h.Get("traceparent")
	if !validTrace(got) || got[:36] != clients[:36] || got[36:52] == clients[36:52] || got[52:] != clients[52:] {
		t.Errorf("%q", got)
	}
	if _, h, _ := r.send([]byte(`{"dep_delay":1}`)); h.Get("traceparent") != "" {
		t.Error("a trace was begun")
	}
	request, _ := http.NewRequest("POST", "/predict", nil)
	trace(http.Header{}, request, []string{clients})
	if rows := rowHeaders(request); len(rows) != 1 || rows[0].Name != "traceparent" || string(rows[0].Value[:36]) != clients[:36] {
		t.Errorf("%+v", rows)
	}
}

func TestTraceContextThatIsNoneIsDropped(t *testing.T) {
	r := newRig(t, Config{}).ready()
	for _, given := range []string{
		"", "00", clients[:54], clients + "0", clients + "-x", strings.ToUpper(clients), "ff" + clients[2:],
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01", "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
		"00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
	} {
		if status, h, _ := r.send([]byte(`{"dep_delay":1}`), "traceparent", given); status != 200 || h.Get("traceparent") != "" {
			t.Errorf("%q: %d %q", given, status, h.Get("traceparent"))
		}
	}
	if !validTrace("cc" + clients[2:] + "-what-comes") {
		t.Error("a later version is refused")
	}
	if traced([]string{clients, clients}) != "" {
		t.Error("two are taken")
	}
}

func write600(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path+".new", data, 0o600); err == nil {
		if err = os.Rename(path+".new", path); err == nil {
			return
		}
	}
	t.Fatal("cannot write " + path)
}

func TestATokenOpensEveryPageAndProbesNeedNone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	write600(t, path, []byte("# of the shop\n\nsixteen-or-more-characters\r\nanother-token-that-is-known"))
	r := newRig(t, Config{Tokens: path}).ready()
	row := []byte(`{"dep_delay":1}`)
	for given, want := range map[string]int{
		"Bearer sixteen-or-more-characters": 200, "bearer another-token-that-is-known": 200, "": 401, "Bearer": 401, "Bearer ": 401,
		"Bearer # of the shop": 401, "Bearer sixteen-or-more-character": 401, "Basic sixteen-or-more-characters": 401, "sixteen-or-more-characters": 401,
	} {
		status, h, text := r.send(row, "Authorization", given)
		if status != want || (want == 401) != (h.Get("WWW-Authenticate") == "Bearer") || want == 401 && !bytes.Contains(text, []byte(`"code":"unauthorized"`)) {
			t.Errorf("%q: %d %s", given, status, text)
		}
	}
	if status, _, _ := r.send(row, "Authorization", "Bearer sixteen-or-more-characters", "Authorization", "Bearer another-token-that-is-known"); status != 401 {
		t.Error("two tokens are let in")
	}
	for path, want := range map[string]int{
		"/livez": 200, "/readyz": 200, "/v2/health/live": 200, "/v2/health/ready": 200, "/docs": 200, "/docs.js": 200,
		"/openapi.json": 401, "/metrics": 401, "/v2": 401, "/v2/models/flights": 401, "/nothing": 401, "/livez/": 401, "//livez": 401,
	} {
		if status, _, _ := r.ask("GET", path, ""); status != want {
			t.Errorf("%s: %d", path, status)
		}
	}
}

func TestTokensAreReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	write600(t, path, []byte("the-first-token-of-all\n"))
	g, err := newGuard(path)
	if err != nil {
		t.Fatal(err)
	}
	known := func(token string) bool { return g.allows("Bearer " + token) }
	write600(t, path, []byte("the-second-token-of-all\n"))
	if err := g.file.look(); err != nil || known("the-first-token-of-all") || !known("the-second-token-of-all") {
		t.Errorf("%v, or the old token counts", err)
	}
	write600(t, path, []byte("short\n"))
	if err := g.file.look(); err == nil || !strings.Contains(err.Error(), "tokens:1:") || !known("the-second-token-of-all") {
		t.Errorf("%v, or what was known is forgotten", err)
	}
	os.Remove(path)
	if err := g.file.look(); err == nil || !known("the-second-token-of-all") {
		t.Errorf("%v, or what was known is forgotten", err)
	}
	write600(t, path, nil)
	if err := g.file.look(); err != nil || known("the-second-token-of-all") || known("") {
		t.Errorf("%v, or an empty file lets somebody in", err)
	}
}

func TestFilesThatCannotServeAreRefusedAtTheStart(t *testing.T) {
	dir := t.TempDir()
	at := func(name string, data string) string {
		write600(t, filepath.Join(dir, name), []byte(data))
		return filepath.Join(dir, name)
	}
	cert, key := pair(t, "a")
	other, _ := pair(t, "b")
	for _, c := range []struct {
		config Config
		want   string
	}{
		{Config{Tokens: filepath.Join(dir, "missing")}, "tokens: open .*missing: no such file"},
		{Config{Tokens: at("empty", "# nobody yet\n")}, "tokens: .*empty holds none: write one a line"},
		{Config{Tokens: at("short", "0123456789abcdef\nshort\n")}, `tokens: .*short:2: a token is at least 16 visible ASCII`},
		{Config{Tokens: at("blank", "two words that are long\n")}, `blank:1: a token is`},
		{Config{Tokens: at("large", strings.Repeat("x", mostInFile+1))}, "large: larger than any such file is"},
		{Config{Tokens: at("many", strings.Repeat("0123456789abcdef\n", mostTokens+1))}, "more than 1000 tokens"},
		{Config{Cert: at("crt", string(cert)), Key: filepath.Join(dir, "missing")}, "tls: open .*missing"},
		{Config{Cert: at("other", string(other)), Key: at("key", string(key))}, "tls: .*other with .*key: .*does not match"},
	} {
		f, err := New(c.config)
		if err == nil {
			f.Close()
		}
		if err == nil || !regexp.MustCompile(c.want).MatchString(err.Error()) {
			t.Errorf("%v, not %s", err, c.want)
		}
	}
}

// pair is a certificate for 127.0.0.1 of that name, and its key, as PEM.
func pair(t *testing.T, name string) (cert, key []byte) {
	t.Helper()
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	told := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	signed, err := x509.CreateCertificate(rand.Reader, told, told, own.Public(), own)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
}

func TestTheCertificateIsReadAgainAndOpenConnectionsStand(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	trusted := x509.NewCertPool()
	renew := func(name string) {
		cert, key := pair(t, name)
		trusted.AppendCertsFromPEM(cert)
		write600(t, certFile, cert)
		write600(t, keyFile, key)
	}
	renew("first")
	r := newRig(t, Config{Cert: certFile, Key: keyFile}).ready()
	address, err := r.front.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	name := func(c *http.Client) string {
		answer, err := c.Post("https://"+address.String()+"/predict", "", strings.NewReader(`{"dep_delay":1}`))
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		io.Copy(io.Discard, answer.Body)
		return fmt.Sprint(answer.StatusCode, answer.Proto, answer.TLS.PeerCertificates[0].Subject.CommonName)
	}
	standing := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}, ForceAttemptHTTP2: true}}
	if got := name(standing); got != "200HTTP/2.0first" {
		t.Error(got)
	}
	renew("second")
	r.until("a new connection meets the new certificate", func() bool {
		fresh := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}, DisableKeepAlives: true}
		return name(&http.Client{Transport: fresh}) == "200HTTP/1.1second"
	})
	if got := name(standing); got != "200HTTP/2.0first" {
		t.Error(got)
	}
	own, err := newCertificate(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	before := own.pair.Load()
	write600(t, certFile, []byte("nonsense"))
	if err := own.files.look(); err == nil || own.pair.Load() != before {
		t.Errorf("%v, or nonsense was taken", err)
	}
	_, err = tls.Dial("tcp", address.String(), &tls.Config{RootCAs: trusted, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10})
	if err == nil {
		t.Error("TLS 1.1 is spoken")
	}
}

func h2c() *http.Transport {
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	return &http.Transport{Protocols: p}
}

func TestHTTP2WithoutTLSIsSpokenToThoseWhoKnow(t *testing.T) {
	r := newRig(t, Config{}).ready()
	address, err := r.front.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: h2c()}
	answer, err := client.Post("http://"+address.String()+"/predict", "", strings.NewReader(`{"dep_delay":5}`))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	if answer.Proto != "HTTP/2.0" || answer.StatusCode != 200 || !equalJSON(string(text), `{"arr_delay":5,"late":false,"gate":null}`) {
		t.Errorf("%s %d %s", answer.Proto, answer.StatusCode, text)
	}
	plain, err := http.Post("http://"+address.String()+"/predict", "", strings.NewReader(`{"dep_delay":5}`))
	if err != nil || plain.Proto != "HTTP/1.1" {
		t.Fatal(err, plain)
	}
	plain.Body.Close()
	big, _ := http.NewRequest("GET", "http://"+address.String()+"/livez", nil)
	big.Header.Set("X-Big", strings.Repeat("x", 40<<10))
	if answer, err := client.Do(big); err == nil && answer.StatusCode != 431 {
		t.Errorf("headers over the limit: %d", answer.StatusCode)
	}
}

func TestACompressedBodyThatComesTooSlowlyIs408(t *testing.T) {
	r := newRig(t, Config{}).ready()
	r.front.slow.grace = 100 * time.Millisecond
	address, err := r.front.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", address.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var begun bytes.Buffer
	z := gzip.NewWriter(&begun)
	z.Write([]byte(`{"dep_delay":`))
	z.Flush()
	fmt.Fprintf(conn, "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 100\r\n\r\n%s", begun.Bytes())
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || answer.StatusCode != 408 {
		t.Errorf("%v %v", answer, err)
	}
}
