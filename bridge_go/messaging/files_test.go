package messaging

import (
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCertificatesAreReadFromTheProjectsFolder(t *testing.T) {
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	o := Options{Dir: t.TempDir()}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	for name, text := range map[string][]byte{"ca.pem": certificate, "none.pem": []byte("no certificate")} {
		if err := os.WriteFile(filepath.Join(o.Dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for file, want := range map[string]string{"ca.pem": "", filepath.Join(o.Dir, "ca.pem"): "", "none.pem": "no certificate", "missing.pem": "no such file"} {
		_, err := o.Trusted(file)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", file, err)
		}
	}
}
