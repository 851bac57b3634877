package wire_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/wire"
	"ds-runner.dev/ds-runner/bridge_go/wire/wiretest"
)

func TestValidFramesAreDecodedToWhatTheyMean(t *testing.T) {
	for _, v := range wiretest.Valid(t) {
		t.Run(v.Name, func(t *testing.T) {
			m, err := wire.Decode(v.Body(t), v.Minor)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case v.Skipped != 0:
				if s, ok := m.(*wire.Skipped); !ok || uint64(s.Kind) != v.Skipped {
					t.Fatalf("decoded %#v, wants it skipped", m)
				}
			case v.Frame == nil:
				if m.Type().String() != v.Type {
					t.Fatalf("decoded a %v, wants a %s", m.Type(), v.Type)
				}
			default:
				sameMeaning(t, m, v)
			}
		})
	}
}

func sameMeaning(t *testing.T, m wire.Message, v wiretest.Frame) {
	t.Helper()
	want := v.Frame.Encode(t)
	have := wire.Append(nil, m)
	if v.Canonical && !bytes.Equal(have, v.Body(t)) {
		t.Fatalf("encoded\n% x, wants\n% x", have, v.Body(t))
	}
	if !bytes.Equal(wiretest.Canonical(t, have), want) {
		t.Fatalf("means\n% x, wants\n% x", have, want)
	}
}

func TestValidFramesAreRefusedWithATailOrCutAnywhere(t *testing.T) {
	for _, v := range wiretest.Valid(t) {
		body := v.Body(t)
		if _, err := wire.Decode(append(slices.Clone(body), 0xc0), v.Minor); err == nil {
			t.Errorf("%s: accepted with a tail", v.Name)
		}
		for n := 0; n < len(body); n += 1 + len(body)/256 {
			if _, err := wire.Decode(body[:n:n], v.Minor); err == nil {
				t.Errorf("%s: accepted when cut to %d of %d bytes", v.Name, n, len(body))
			}
		}
	}
}

func TestT25T26T27InvalidFramesAreRefusedWithTheirCodeAndPlace(t *testing.T) {
	for _, v := range wiretest.Invalid(t) {
		t.Run(v.Name, func(t *testing.T) {
			m, err := wire.Decode(v.Body(t), v.Minor)
			var broken *wire.Error
			if !errors.As(err, &broken) {
				t.Fatalf("decoded %#v with %v; rule: %s", m, err, v.Why)
			}
			if !slices.Contains(v.Codes, uint8(broken.Code)) {
				t.Errorf("code %d, wants %v: %v", broken.Code, v.Codes, err)
			}
			if !strings.Contains(broken.Reason(), v.At) {
				t.Errorf("%q does not name %s", broken.Reason(), v.At)
			}
			if len(broken.Reason()) > 200 {
				t.Errorf("a reason of %d bytes", len(broken.Reason()))
			}
		})
	}
}

// Refusing must be cheap whatever the size: the walk stops at the first broken rule and reserves nothing.
func TestT25T26HostileFramesCostNoMemoryAndNoTime(t *testing.T) {
	for _, v := range wiretest.Invalid(t) {
		if v.Pieces == nil && !strings.Contains(v.Name, "2^32-1") {
			continue
		}
		body := v.Body(t)
		bytesTaken := allocated(func() { _, _ = wire.Decode(body, v.Minor) })
		if bytesTaken > 1<<20 {
			t.Errorf("%s: %d bytes allocated", v.Name, bytesTaken)
		}
		if best := fastest(5, func() { _, _ = wire.Decode(body, v.Minor) }); best > allowed(v.Name) {
			t.Errorf("%s: took %v", v.Name, best)
		}
	}
}

// allowed is what refusing may take. Depth and announced sizes are judged at once; a frame that keeps every limit but the
// last is walked to its end. The race detector makes a walk ten times slower.
func allowed(name string) time.Duration {
	if strings.HasPrefix(name, "nested") || strings.Contains(name, "2^32-1") {
		return time.Millisecond
	}
	return 200 * time.Millisecond
}

// fastest is the least of n times, which other load on the machine disturbs least.
func fastest(n int, f func()) time.Duration {
	best := time.Hour
	for range n {
		start := time.Now()
		f()
		best = min(best, time.Since(start))
	}
	return best
}
