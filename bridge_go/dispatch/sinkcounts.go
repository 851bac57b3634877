package dispatch

import (
	"sync/atomic"

	"ds-runner.dev/ds-runner/bridge_go/metrics"
)

// SinkCounts is what an outlet had to do besides writing. The outlet's goroutine counts, the loop reads.
type SinkCounts struct {
	Retries  atomic.Uint64 // writes that were tried again
	Refusals atomic.Uint64 // outputs that were refused for good
	// StagedRefusals are writes of models that were refused for good.
	StagedRefusals atomic.Uint64

	// WindowExceeded counts times that results were stored, and their positions not, for longer than ids are remembered.
	WindowExceeded atomic.Uint64

	// Dead letters that did not fit, by what was left out of them.
	WithoutHeaders, WithoutPayload, Dropped atomic.Uint64
}

func (c *SinkCounts) into(s *metrics.Snapshot) {
	s.SinkRetries, s.SinkRefusals = c.Retries.Load(), c.Refusals.Load()
	s.StagedRefusals, s.WindowExceeded = c.StagedRefusals.Load(), c.WindowExceeded.Load()
	s.DeadReduced = map[string]uint64{
		"headers": c.WithoutHeaders.Load(), "payload": c.WithoutPayload.Load(), "all": c.Dropped.Load(),
	}
}
