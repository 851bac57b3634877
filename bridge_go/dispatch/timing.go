package dispatch

import "ds-runner.dev/ds-runner/bridge_go/metrics"

const (
	stageQueue  = metrics.Queue
	stageWorker = metrics.Worker
	stageSink   = metrics.Sink
	stageTotal  = metrics.Total
)

// runs counts durations into a histogram by runs of the same one: events that were read together and settled together have
// waited equally long, and so cost one observation.
type runs struct {
	nanos int64
	n     int
}

func (t *runs) add(h *metrics.Histogram, nanos int64) {
	if nanos != t.nanos {
		t.end(h)
		t.nanos = nanos
	}
	t.n++
}

func (t *runs) end(h *metrics.Histogram) {
	if t.n > 0 {
		h.Observe(t.nanos, t.n)
	}
	t.n = 0
}
