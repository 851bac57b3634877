package load

import (
	"slices"
	"strconv"
	"syscall"
	"time"
)

// tooLate is the lateness of the sender, at p99, from which a stage's latencies are its own.
const tooLate = time.Millisecond

// A Report is what came of a stage. Times are in milliseconds.
type Report struct {
	Asked    float64          `json:"asked"`    // requests a second that were due; 0 in a closed loop
	Rate     float64          `json:"rate"`     // answers of status 200 a second
	Requests int64            `json:"requests"` // answered, with any status
	Statuses map[string]int64 `json:"statuses"`
	Failed   int64            `json:"failed"` // no answer
	Why      string           `json:"why,omitempty"`
	Unsent   int64            `json:"unsent,omitempty"` // due, and not sent before the end, since all connections waited: latencies leave them out
	P50      float64          `json:"p50_ms"`           // of answers of status 200; of an open loop from when they were due
	P99      float64          `json:"p99_ms"`
	Max      float64          `json:"max_ms"`
	Late     float64          `json:"late_ms"` // of the sender, p99
	Void     bool             `json:"void"`    // the sender was late: latencies are its own
	Seconds  float64          `json:"seconds"`
	CPU      float64          `json:"sender_cpu_s"`
}

// A tally is one client's.
type tally struct {
	took     []time.Duration // of answers of status 200
	late     []time.Duration
	statuses map[int]int64
	broken   int64
	why      string
}

func (t *tally) answered(status int, took time.Duration) {
	if t.statuses == nil {
		t.statuses = map[int]int64{}
	}
	t.statuses[status]++
	if status == 200 {
		t.took = append(t.took, took)
	}
}

func (t *tally) failed(err error) {
	t.broken++
	if t.why == "" {
		t.why = err.Error()
	}
}

func report(tallies []tally, length time.Duration) *Report {
	r := &Report{Statuses: map[string]int64{}, Seconds: length.Seconds()}
	var took, late []time.Duration
	for _, t := range tallies {
		took, late = append(took, t.took...), append(late, t.late...)
		r.Failed += t.broken
		if r.Why == "" {
			r.Why = t.why
		}
		for status, n := range t.statuses {
			r.Statuses[strconv.Itoa(status)] += n
			r.Requests += n
		}
	}
	slices.Sort(took)
	slices.Sort(late)
	r.Rate = float64(len(took)) / r.Seconds
	r.P50, r.P99, r.Max = quantile(took, 0.5), quantile(took, 0.99), quantile(took, 1)
	r.Late = quantile(late, 0.99)
	r.Void = r.Late > milliseconds(tooLate)
	return r
}

func quantile(sorted []time.Duration, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return milliseconds(sorted[int(q*float64(len(sorted)-1))])
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// processorTime is what this process has used, in seconds.
func processorTime() float64 {
	var used syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &used) != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano()).Seconds()
}
