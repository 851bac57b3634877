package formats

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/sr"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// Payloads and results that a few bytes make expensive, or that a library makes something else of.

func refused(t *testing.T, err error, why string) {
	t.Helper()
	var mistake *Mistake
	if !errors.As(err, &mistake) || !strings.Contains(mistake.Reason, why) {
		t.Fatalf("%v, wants a mistake that tells of %q", err, why)
	}
}

func TestNumbersOfAMillionDigitsInAFewBytesAreRefused(t *testing.T) {
	s := compiled(t, JSONSchema, `{"type":"object","properties":{"list":{"items":{"type":"number","minimum":0}}}}`)
	_, err := s.decode([]byte(`{"list":[` + strings.Repeat("1e999999,", 10) + `1]}`))
	refused(t, err, "1e999999")
	for _, number := range []string{"1e-999999", "1e99999999999999999999", "-1e-99999999999999999999", strings.Repeat("9", 2_000)} {
		_, err := s.decode([]byte(`{"other":{"deeper":` + number + `}}`))
		refused(t, err, "digits")
	}
	for _, number := range []string{"1e308", "-1.5E-300", "0", "123456789012345678901234567890", "1e+10"} {
		if _, err := s.decode([]byte(`{"other":` + number + `}`)); err != nil {
			t.Errorf("%s: %v", number, err)
		}
	}
}

func TestALocalTimeThatNanosecondsCannotTellIsRefused(t *testing.T) {
	for _, logical := range []string{"local-timestamp-nanos", "timestamp-nanos"} {
		s := compiled(t, Avro, `{"type":"record","name":"A","fields":[{"name":"at","type":{"type":"long","logicalType":"`+logical+`"}}]}`)
		zone := map[bool]string{true: "", false: "Z"}[strings.HasPrefix(logical, "local")]
		if got, err := s.encode(nil, []byte(`{"at":"2500-01-01T00:00:00`+zone+`"}`)); err == nil {
			back, _ := s.decode(got)
			t.Errorf("%s: the year 2500 is written as %s", logical, back)
		}
		if _, err := s.encode(nil, []byte(`{"at":"2200-01-01T00:00:00`+zone+`"}`)); err != nil {
			t.Error(err)
		}
	}
}

func TestAListOfNothingsIsNoMemoryBomb(t *testing.T) {
	s := compiled(t, Avro, `{"type":"array","items":"null"}`)
	// 2^60 items in one block, and none of them has a byte.
	if _, err := s.decode([]byte{0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20, 0}); err == nil {
		t.Fatal("2^60 nulls were read")
	}
}

func TestASchemaThatACompilerPanicsAtIsAMistake(t *testing.T) {
	r := &registered{kind: kind{sr.TypeAvro, func(string, []dependency, string) (schema, error) { panic("of a library") }}}
	_, err := r.compile(sr.Schema{Type: sr.TypeAvro}, nil)
	refused(t, err, "of a library")
}

// Each schema of this registry leads to another one.
func TestASchemaThatLeadsOnAndOnIsAskedForOnceAndNoResultsFault(t *testing.T) {
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := asked.Add(1)
		fmt.Fprintf(w, `{"subject":"s","version":1,"id":7,"schema":"\"int\"","references":[{"name":"n%d","subject":"s%d","version":1}]}`, n, n)
	}))
	t.Cleanup(server.Close)
	s := opened(t, Config{Stream: "in", Format: Avro, Topic: "in", Registry: registryAt(t, server.URL, nil)})
	for range 2 {
		records := []messaging.Record{{Value: []byte{0, 0, 0, 0, 7, 2}}}
		if err := s.Decode(t.Context(), records); err != nil || records[0].Fault == nil || asked.Load() > maxReferences+1 {
			t.Fatalf("%v, %+v, asked %d times", err, records[0].Fault, asked.Load())
		}
	}
	_, err := s.Encode(once(t, s), []byte("1"))
	var mistake *Mistake
	if err == nil || errors.As(err, &mistake) || !strings.Contains(err.Error(), "leads to more than") {
		t.Fatal(err)
	}
}
