// Package load measures a server of the API that is there: what it answers a second, and how long each answer takes.
//
// [Run] goes through stages: a moment to warm up, one client that asks when it is answered (what a request costs alone), many of
// these (the most that the server answers), and then open loops at parts of that: requests are sent when they are due, whether
// earlier ones were answered or not, as people do, and their latency counts from the moment at which they were due. A stage in
// which the sender itself was late says so: then the figures are its own, not the server's.
//
// Goroutines: one a connection, and one that keeps the time of an open loop. They end with their stage.
package load

import (
	"context"
	"fmt"
	"net/url"
	"time"
)

// A Target is what is asked, and with what.
type Target struct {
	URL         *url.URL
	Token       string   // bearer; none when empty
	Rows        [][]byte // bodies of requests, sent in turns
	Connections int      // of stages with many
	Patience    time.Duration
	Seed        uint64 // of the times of open loops
}

// A Stage is one part of a run.
type Stage struct {
	Name        string
	Connections int
	Part        float64 // of what the closed loop with many clients answered; 0: a closed loop
	Share       float64 // of the whole run's time
	Silent      bool    // not told of
}

// Stages of a run that finds the server's own rates.
func Stages(connections int) []Stage {
	return []Stage{
		{Name: "warm", Connections: min(8, connections), Share: 0.05, Silent: true},
		{Name: "alone", Connections: 1, Share: 0.15},
		{Name: "full", Connections: connections, Share: 0.20},
		{Name: "open 25 %", Connections: 8 * connections, Part: 0.25, Share: 0.15},
		{Name: "open 50 %", Connections: 8 * connections, Part: 0.50, Share: 0.15},
		{Name: "open 75 %", Connections: 8 * connections, Part: 0.75, Share: 0.15},
		{Name: "open 90 %", Connections: 8 * connections, Part: 0.90, Share: 0.15},
	}
}

// Run goes through the stages, and tells when each begins and what came of it. It ends early with the context.
func Run(ctx context.Context, t Target, length time.Duration, stages []Stage, begins func(Stage), tell func(Stage, *Report)) error {
	if len(t.Rows) == 0 {
		return fmt.Errorf("no rows to send")
	}
	most := 0.0
	for _, s := range stages {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if s.Part > 0 && most == 0 {
			return nil // nothing is answered: no part of that can be asked
		}
		begins(s)
		r := t.stage(ctx, s, s.Part*most, time.Duration(s.Share*float64(length)))
		if s.Part == 0 {
			most = r.Rate
		}
		if !s.Silent {
			tell(s, r)
		}
	}
	return ctx.Err()
}
