package server

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// Silence is a metric and never a verdict: a long predict that holds the GIL silences a worker that is well.

// registerSilence exports how long the quietest connection that should pulse has been silent.
func (s *Server) registerSilence() {
	if s.Register == nil {
		return
	}
	s.Register.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "ds", Subsystem: "wire", Name: "silence_seconds",
		Help: "Time since the last PULSE of the calls or supervisor connection that has been silent for longest; 0 without any."},
		func() float64 { return s.silence().Seconds() }))
}

func (s *Server) silence() (longest time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if c.role == wire.RoleCalls || c.role == wire.RoleSupervisor {
			longest = max(longest, time.Since(*c.pulsed.Load()))
		}
	}
	return longest
}

// pulse notes that the peer has been heard of.
func (c *conn) pulse() {
	now := time.Now()
	c.pulsed.Store(&now)
}
