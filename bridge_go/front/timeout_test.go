package front

import (
	"math"
	"net/http"
	"testing"
	"time"
)

func TestAClientSaysHowLongItWaits(t *testing.T) {
	f := &Front{cfg: Config{RequestTimeout: 10 * time.Second}}
	for _, c := range []struct {
		header, value string
		want          time.Duration // 0: refused
	}{
		{"Request-Timeout", "0.25", 250 * time.Millisecond},
		{"Request-Timeout", "2", 2 * time.Second},
		{"Request-Timeout", "250ms", 250 * time.Millisecond},
		{"Request-Timeout", "3600", 10 * time.Second},
		{"Request-Timeout", "1e300", 10 * time.Second},
		{"Request-Timeout", "0x1p-1", 500 * time.Millisecond},
		{"Request-Timeout", "0", 0},
		{"Request-Timeout", "-1", 0},
		{"Request-Timeout", "-1s", 0},
		{"Request-Timeout", "NaN", 0},
		{"Request-Timeout", "soon", 0},
		{"Request-Timeout", "", 0},
		{"Request-Timeout", "1" + string(make([]byte, 40)), 0},
		{"Grpc-Timeout", "250m", 250 * time.Millisecond},
		{"Grpc-Timeout", "99999999H", 10 * time.Second},
		{"Grpc-Timeout", "100u", 100 * time.Microsecond},
		{"Grpc-Timeout", "999999999n", 0},
		{"Grpc-Timeout", "250", 0},
		{"Grpc-Timeout", "m", 0},
		{"Grpc-Timeout", "+5S", 0},
		{"Grpc-Timeout", "0S", 0},
	} {
		start := time.Now()
		at, p := f.deadline(http.Header{c.header: {c.value}}, start)
		if got := at.Sub(start); p == nil && got != c.want || (p != nil) != (c.want == 0) {
			t.Errorf("%s %q: %v %v, want %v", c.header, c.value, got, p, c.want)
		}
	}
	if d, ok := secondsOf("1e-300"); !ok || d < 1 || d > math.MaxInt64/2 {
		t.Errorf("%v %v", d, ok)
	}
}

func TestTheShorterOfTwoTimesCounts(t *testing.T) {
	f := &Front{cfg: Config{RequestTimeout: time.Second}}
	start := time.Now()
	at, _ := f.deadline(http.Header{"Request-Timeout": {"0.5"}, "Grpc-Timeout": {"200m"}}, start)
	if at.Sub(start) != 200*time.Millisecond {
		t.Errorf("%v", at.Sub(start))
	}
}
