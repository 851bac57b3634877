package shadow

import (
	"github.com/prometheus/client_golang/prometheus"

	"ds-runner.dev/ds-runner/bridge_go/metrics"
)

// A metric has the labels program and command, the shadowed one, besides its own.
type metric struct {
	metrics.Metric
	each func(s *Status, emit emit)
}

type emit func(value float64, labels ...string)

var table = []metric{
	counter("ds_shadow_compared_total", "Events whose answers by the command and by its shadow were compared.", func(s *Status) uint64 { return s.Compared }),
	counter("ds_shadow_differing_total", "Events compared that differ in anything.", func(s *Status) uint64 { return s.Differing }),
	{metrics.Metric{Name: "ds_shadow_differs_total", Type: "counter", Labels: []string{"field"},
		Help: "Events that differ in a field; at most 64 fields, the others are (other)."},
		func(s *Status, emit emit) {
			for _, f := range s.Fields {
				emit(float64(f.Differs), f.Field)
			}
		}},
	{metrics.Metric{Name: "ds_shadow_difference_mean", Type: "gauge", Labels: []string{"field"},
		Help: "Mean distance of the numbers that differ in a field."},
		func(s *Status, emit emit) {
			for _, f := range s.Fields {
				if f.Mean != nil {
					emit(*f.Mean, f.Field)
				}
			}
		}},
	{metrics.Metric{Name: "ds_shadow_difference_max", Type: "gauge", Labels: []string{"field"},
		Help: "Largest distance of two numbers in a field."},
		func(s *Status, emit emit) {
			for _, f := range s.Fields {
				if f.Max != nil {
					emit(*f.Max, f.Field)
				}
			}
		}},
	{metrics.Metric{Name: "ds_shadow_fates_total", Type: "counter", Labels: []string{"primary", "shadow"},
		Help: "Events compared, by their fate with the command and with its shadow: scored, rejected, dead."},
		func(s *Status, emit emit) {
			for _, f := range s.Fates {
				emit(float64(f.Events), f.Primary, f.Shadow)
			}
		}},
	counter("ds_shadow_dropped_events_total", "Events that the shadow did not see, because its queue was full or the bridge ended.", func(s *Status) uint64 { return s.Dropped }),
	counter("ds_shadow_spared_events_total", "Events that the shadow did not see, because its share of the workers' time was used up.", func(s *Status) uint64 { return s.Spared }),
	counter("ds_shadow_dropped_writes_total", "What the shadow's model has written, which goes nowhere: one for each batch and stream or connection.", func(s *Status) uint64 { return s.DroppedWrites }),
	counter("ds_shadow_worker_deaths_total", "Workers of the shadow lost.", func(s *Status) uint64 { return s.Deaths }),
	gauge("ds_shadow_queued_events", "Events that wait for the shadow or are being scored by it.", func(s *Status) int { return s.Queued }),
	gauge("ds_shadow_queued_bytes", "Bytes of these events and of the command's answers.", func(s *Status) int { return s.QueuedBytes }),
	gauge("ds_shadow_workers", "Workers of the shadow that are connected.", func(s *Status) int { return s.Workers }),
}

// Table is every metric of a shadow.
func Table() (all []metrics.Metric) {
	for _, m := range table {
		all = append(all, m.Metric)
	}
	return all
}

func counter(name, help string, of func(*Status) uint64) metric {
	return metric{metrics.Metric{Name: name, Type: "counter", Help: help}, func(s *Status, emit emit) { emit(float64(of(s))) }}
}

func gauge(name, help string, of func(*Status) int) metric {
	return metric{metrics.Metric{Name: name, Type: "gauge", Help: help}, func(s *Status, emit emit) { emit(float64(of(s))) }}
}

// A collector is asked at each scrape, which costs nothing in between.
type collector struct {
	shadow *Shadow
	descs  []*prometheus.Desc
}

func (s *Shadow) register(c Config) error {
	if c.Registerer == nil {
		return nil
	}
	all := &collector{shadow: s}
	for _, m := range table {
		all.descs = append(all.descs, prometheus.NewDesc(m.Name, m.Help, m.Labels,
			prometheus.Labels{"program": c.Program, "command": c.Command}))
	}
	return c.Registerer.Register(all)
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	s := c.shadow.Status()
	for i, m := range table {
		kind := prometheus.CounterValue
		if m.Type == "gauge" {
			kind = prometheus.GaugeValue
		}
		m.each(&s, func(v float64, labels ...string) {
			ch <- prometheus.MustNewConstMetric(c.descs[i], kind, v, labels...)
		})
	}
}
