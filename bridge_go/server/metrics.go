package server

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	connections *prometheus.GaugeVec
	refused     *prometheus.CounterVec
	ended       *prometheus.CounterVec
	frames      *prometheus.CounterVec
	bytes       *prometheus.CounterVec
	malformed   prometheus.Counter
	calls       *prometheus.CounterVec
	events      *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		connections: gauge("connections", "Connections that have been admitted.", "role"),
		refused:     counter("refused_total", "Connections that were not admitted.", "reason"),
		ended:       counter("ended_total", "Connections that ended, by who ended them and why.", "by", "reason"),
		frames:      counter("frames_total", "Frames.", "direction"),
		bytes:       counter("bytes_total", "Bytes of frames, lengths included.", "direction"),
		malformed: prometheus.NewCounter(prometheus.CounterOpts{Namespace: "ds", Subsystem: "wire", Name: "malformed_total",
			Help: "Frames that broke a rule of the protocol."}),
		calls: counter("calls_total", "Calls answered.", "role", "outcome"),
		events: counter("events_total", "Events sent to workers, by form: columns, misfit (in a batch of columns, and not to be put into them), payload.",
			"program", "command", "form"),
	}
	if r != nil {
		r.MustRegister(m.connections, m.refused, m.ended, m.frames, m.bytes, m.malformed, m.calls, m.events)
	}
	return m
}

func gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "ds", Subsystem: "wire", Name: name, Help: help}, labels)
}

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "ds", Subsystem: "wire", Name: name, Help: help}, labels)
}

// A flow counts one direction of traffic; its counters are looked up once.
type flow struct{ frames, bytes prometheus.Counter }

func (m *metrics) flow(direction string) flow {
	return flow{m.frames.WithLabelValues(direction), m.bytes.WithLabelValues(direction)}
}

func (f flow) add(frames, bytes int) {
	f.frames.Add(float64(frames))
	f.bytes.Add(float64(bytes))
}
