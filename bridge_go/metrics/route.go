package metrics

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// A Route publishes the snapshots of one program and command. It is safe for any number of goroutines.
type Route struct {
	last  atomic.Pointer[Snapshot]
	descs []*prometheus.Desc
	reg   prometheus.Registerer
}

// NewRoute registers the metrics of a route; a nil registerer is none. Close takes them back.
func NewRoute(reg prometheus.Registerer, program, command string) (*Route, error) {
	r := &Route{reg: reg}
	r.last.Store(&Snapshot{Lag: -1})
	for _, m := range Table {
		r.descs = append(r.descs, prometheus.NewDesc(m.Name, m.Help, m.Labels,
			prometheus.Labels{"program": program, "command": command}))
	}
	if reg == nil {
		return r, nil
	}
	return r, reg.Register(r)
}

// Publish replaces the snapshot that scrapes see. It is not changed afterwards by the caller.
func (r *Route) Publish(s *Snapshot) { r.last.Store(s) }

// Close takes the metrics out of the registry.
func (r *Route) Close() {
	if r.reg != nil {
		r.reg.Unregister(r)
	}
}

// Describe implements prometheus.Collector.
func (r *Route) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range r.descs {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (r *Route) Collect(ch chan<- prometheus.Metric) {
	s := r.last.Load()
	for i, m := range Table {
		desc := r.descs[i]
		if m.each == nil {
			collectStages(s, desc, ch)
			continue
		}
		kind := prometheus.CounterValue
		if m.Type == "gauge" {
			kind = prometheus.GaugeValue
		}
		m.each(s, func(v float64, labels ...string) { ch <- prometheus.MustNewConstMetric(desc, kind, v, labels...) })
	}
}

func collectStages(s *Snapshot, desc *prometheus.Desc, ch chan<- prometheus.Metric) {
	for stage := range s.Stages {
		h := &s.Stages[stage]
		ch <- prometheus.MustNewConstHistogram(desc, h.total, h.sum, h.cumulative(), stageNames[stage])
	}
}
