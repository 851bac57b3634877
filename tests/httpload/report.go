package main

import (
	"errors"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// A Report is what became of every request. Each that was sent is answered, lost or not taken.
type Report struct {
	Sent     int64             `json:"sent"`
	Answered map[string]int64  `json:"answered"`  // by status
	Lost     int64             `json:"lost"`      // sent, and not answered
	NotTaken int64             `json:"not_taken"` // by the server's own word: HTTP/2
	Refused  int64             `json:"refused"`   // connections: nothing was sent
	Wrong    int64             `json:"wrong"`     // 200, and not the answer that was wanted
	First    map[string]string `json:"first"`     // the first of each that went wrong: "lost", "wrong", a status
	Latency  map[string]Spread `json:"latency"`   // by status, of an open loop from the scheduled time
	Lag      *Spread           `json:"lag"`       // of an open loop: how late it was sent
	Stall    float64           `json:"stall_ms"`  // the longest time without any answer of status 200
	Seconds  float64           `json:"seconds"`
	Rate     float64           `json:"rate"` // answers of status 200 a second
	CPU      float64           `json:"cpu_s"`
}

// A Spread is of times, in milliseconds.
type Spread struct {
	P50 float64 `json:"p50_ms"`
	P90 float64 `json:"p90_ms"`
	P99 float64 `json:"p99_ms"`
	Max float64 `json:"max_ms"`
}

// A tally is one client's.
type tally struct {
	took     map[int][]time.Duration
	lag      []time.Duration
	good     []time.Time // of answers of status 200
	lost     int64
	notTaken int64
	refused  int64
	wrong    int64
	first    map[string]told
}

type told struct {
	at   time.Time
	text string
}

func newTally() *tally {
	return &tally{took: map[int][]time.Duration{}, first: map[string]told{}}
}

func (t *tally) answered(a answered, wrong string, due, sent time.Time) {
	now := time.Now()
	t.took[a.status] = append(t.took[a.status], now.Sub(due))
	if !due.Equal(sent) {
		t.lag = append(t.lag, sent.Sub(due))
	}
	if a.status == 200 {
		t.good = append(t.good, now)
	} else {
		t.tell(strconv.Itoa(a.status), string(a.body), sent)
	}
	if wrong != "" {
		t.wrong++
		t.tell("wrong", wrong, sent)
	}
}

func (t *tally) failed(err error, at time.Time) {
	if errors.Is(err, errNotTaken) {
		t.notTaken++
		return
	}
	t.lost++
	t.tell("lost", err.Error(), at)
}

func (t *tally) tell(kind, text string, at time.Time) {
	if _, known := t.first[kind]; !known {
		t.first[kind] = told{at, text[:min(len(text), 400)]}
	}
}

func report(tallies []*tally, length time.Duration) *Report {
	r := &Report{Answered: map[string]int64{}, First: map[string]string{}, Latency: map[string]Spread{}, Seconds: length.Seconds()}
	took, first := map[int][]time.Duration{}, map[string]told{}
	var lag []time.Duration
	var good []time.Time
	for _, t := range tallies {
		r.Lost, r.NotTaken, r.Refused, r.Wrong = r.Lost+t.lost, r.NotTaken+t.notTaken, r.Refused+t.refused, r.Wrong+t.wrong
		lag, good = append(lag, t.lag...), append(good, t.good...)
		for status, times := range t.took {
			took[status] = append(took[status], times...)
		}
		for kind, one := range t.first {
			if known, found := first[kind]; !found || one.at.Before(known.at) {
				first[kind] = one
			}
		}
	}
	for status, times := range took {
		r.Answered[strconv.Itoa(status)] = int64(len(times))
		r.Latency[strconv.Itoa(status)] = spreadOf(times)
		r.Sent += int64(len(times))
	}
	for kind, one := range first {
		r.First[kind] = one.text
	}
	if len(lag) > 0 {
		late := spreadOf(lag)
		r.Lag = &late
	}
	r.Sent += r.Lost + r.NotTaken
	r.Rate = float64(len(good)) / r.Seconds
	r.Stall = stall(good)
	r.CPU = cpuSeconds()
	return r
}

func spreadOf(times []time.Duration) Spread {
	slices.Sort(times)
	at := func(q float64) float64 { return ms(times[int(q*float64(len(times)-1))]) }
	return Spread{at(0.5), at(0.9), at(0.99), at(1)}
}

func stall(good []time.Time) float64 {
	slices.SortFunc(good, time.Time.Compare)
	longest := time.Duration(0)
	for i := 1; i < len(good); i++ {
		longest = max(longest, good[i].Sub(good[i-1]))
	}
	return ms(longest)
}

func ms(d time.Duration) float64 { return float64(d) / 1e6 }

func cpuSeconds() float64 {
	var used syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &used) != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano()).Seconds()
}
