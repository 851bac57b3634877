package kafka

import (
	"testing"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

func TestFilesOfSettingsAreReadFromTheProjectsFolder(t *testing.T) {
	s, err := parse(messaging.Options{URL: "kafka+tls://broker:9092", Dir: "/project", Settings: map[string]string{
		"tls_ca": "ca.pem", "tls_cert": "/run/cert.pem", "tls_key": "key.pem", "token_file": "token", "sasl": "oauthbearer",
	}})
	if err != nil {
		t.Fatal(err)
	}
	got := [4]string{s.tls.ca, s.tls.cert, s.tls.key, s.sasl.tokenFile}
	if want := [4]string{"/project/ca.pem", "/run/cert.pem", "/project/key.pem", "/project/token"}; got != want {
		t.Errorf("%v, wants %v", got, want)
	}
}
