package metrics

import "math"

// Buckets of a histogram in seconds: 50 us doubled 21 times is 105 s. The upper bounds are fixed, so that quantiles of
// different bridges can be added up.
const (
	firstBucket = 50e-6
	bucketCount = 22
)

// Bounds are the upper bounds of the buckets but the last, which has none.
var Bounds = func() (b [bucketCount]float64) {
	for i := range b {
		b[i] = firstBucket * math.Exp2(float64(i))
	}
	return b
}()

// A Histogram counts durations. It belongs to one goroutine; a copy of the struct is a snapshot.
type Histogram struct {
	counts [bucketCount + 1]uint64
	total  uint64
	sum    float64
}

// Observe counts n durations of the same length in nanoseconds.
func (h *Histogram) Observe(nanos int64, n int) {
	seconds := max(0, float64(nanos)/1e9)
	h.counts[bucket(seconds)] += uint64(n)
	h.total += uint64(n)
	h.sum += seconds * float64(n)
}

func bucket(seconds float64) int {
	if seconds <= firstBucket {
		return 0
	}
	return min(bucketCount, int(math.Ceil(math.Log2(seconds/firstBucket)-1e-9)))
}

// Count is the number of durations.
func (h *Histogram) Count() uint64 { return h.total }

// Quantile estimates the duration in seconds below which the share q lies, within its bucket in proportion; 0 for an empty histogram.
func (h *Histogram) Quantile(q float64) float64 {
	if h.total == 0 {
		return 0
	}
	rank, below := q*float64(h.total), 0.0
	for i, n := range h.counts {
		if below+float64(n) >= rank && n > 0 {
			return between(i, (rank-below)/float64(n))
		}
		below += float64(n)
	}
	return Bounds[bucketCount-1]
}

func between(i int, share float64) float64 {
	if i >= bucketCount {
		return Bounds[bucketCount-1]
	}
	lower := 0.0
	if i > 0 {
		lower = Bounds[i-1]
	}
	return lower + share*(Bounds[i]-lower)
}

// cumulative is what Prometheus wants: the number of durations up to each bound.
func (h *Histogram) cumulative() map[float64]uint64 {
	m, sum := make(map[float64]uint64, bucketCount), uint64(0)
	for i, bound := range Bounds {
		sum += h.counts[i]
		m[bound] = sum
	}
	return m
}
