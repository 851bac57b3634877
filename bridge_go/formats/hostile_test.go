package formats

import (
	"errors"
	"strings"
	"testing"
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
