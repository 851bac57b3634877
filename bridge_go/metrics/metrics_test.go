package metrics

import (
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"ds-runner.dev/ds-runner/bridge_go/delivery"
)

func full() *Snapshot {
	s := &Snapshot{Lag: 12, Now: 3e9, DeadReduced: map[string]uint64{"headers": 1}}
	s.Stats = delivery.Stats{Offered: 10, Settled: [3]uint64{7, 2, 1},
		Dropped: map[string]uint64{"ended": 4}, Deaths: map[string]uint64{"oom": 2}}
	s.Oldest = 1e9
	s.Stages[Total].Observe(2e6, 7)
	return s
}

func TestEveryMetricOfTheTableIsCollectedUnderItsNameAndType(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	r, err := NewRoute(reg, "p", "c")
	if err != nil {
		t.Fatal(err)
	}
	r.Publish(full())
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for _, f := range families {
		seen[f.GetName()] = strings.ToLower(f.GetType().String())
	}
	for _, m := range Table {
		if seen[m.Name] != m.Type {
			t.Errorf("%s is %q in the registry and %q in the table", m.Name, seen[m.Name], m.Type)
		}
	}
	if len(seen) != len(Table) {
		t.Errorf("%d metrics collected, %d in the table", len(seen), len(Table))
	}
}

func TestTwoRoutesShareARegistry(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	for _, command := range []string{"score-stream", "serve-api"} {
		if _, err := NewRoute(reg, "p", command); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := reg.Gather(); err != nil {
		t.Fatal(err)
	}
}

func TestAClosedRouteLeavesTheRegistry(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	r, _ := NewRoute(reg, "p", "c")
	r.Close()
	if left, _ := reg.Gather(); len(left) != 0 {
		t.Fatalf("%d metrics left", len(left))
	}
}

func TestMetricsFollowTheNamingRules(t *testing.T) {
	for _, m := range Table {
		if !regexp.MustCompile(`^ds_[a-z_]+$`).MatchString(m.Name) || m.Help == "" {
			t.Errorf("%s: name or help", m.Name)
		}
		if (m.Type == "counter") != strings.HasSuffix(m.Name, "_total") {
			t.Errorf("%s: counters, and only they, end with _total", m.Name)
		}
	}
}

func TestQuantilesLieInTheBucketOfTheirRank(t *testing.T) {
	var h Histogram
	for i := range 1000 {
		h.Observe(int64(i+1)*1e6, 1) // 1 ms to 1 s
	}
	for q, want := range map[float64]float64{0.5: 0.5, 0.99: 0.99, 0.01: 0.01} {
		if got := h.Quantile(q); got < want/2 || got > want*2 {
			t.Errorf("quantile %g is %g, wants about %g", q, got, want)
		}
	}
	if (&Histogram{}).Quantile(0.5) != 0 {
		t.Error("an empty histogram has quantile 0")
	}
}

func TestADurationIsCountedUpToItsBound(t *testing.T) {
	for i, bound := range Bounds {
		if bucket(bound) != i {
			t.Errorf("bound %g is in bucket %d, not %d", bound, bucket(bound), i)
		}
		if bucket(math.Nextafter(bound*1.001, 1e9)) != i+1 {
			t.Errorf("just above %g is not in bucket %d", bound, i+1)
		}
	}
	var h Histogram
	h.Observe(-5, 1)
	h.Observe(math.MaxInt64, 2)
	if h.counts[0] != 1 || h.counts[bucketCount] != 2 {
		t.Error("extremes are not in the first and the last bucket")
	}
	if !slices.IsSorted(Bounds[:]) {
		t.Error("bounds are not sorted")
	}
}
