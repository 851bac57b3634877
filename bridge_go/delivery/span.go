package delivery

import "slices"

// The span of a partition is what lies between its oldest event that is not settled and its newest: what a crash would have read
// again, and what has to be remembered meanwhile. A partition whose oldest event is stuck reaches its cap and is read no further.
// Where the source can stop reading one partition, the others are read on; elsewhere the intake stops as a whole.

// Pausing says that the source can stop reading single partitions: the caller asks Turned which.
func (c *Core) Pausing(yes bool) { c.pausing = yes }

// Turned returns the partitions that are to be read no further, and those that are to be read on, since it was last called. What is
// to be read on is first: a partition may have been taken away and given back meanwhile.
func (c *Core) Turned() (readOn, stop []int32) {
	readOn, c.letGo = c.letGo, nil
	for id, p := range c.partitions {
		switch {
		case !p.stopped && c.full(p):
			p.stopped = true
			stop = append(stop, id)
		case p.stopped && c.roomy(p):
			p.stopped = false
			readOn = append(readOn, id)
		}
	}
	slices.Sort(readOn)
	slices.Sort(stop)
	return readOn, stop
}

// full says that nothing more of a partition is wanted: its span is at the cap, or it has half of the intake, while there are others.
func (c *Core) full(p *partition) bool {
	return c.spent(p) || len(c.partitions) > 1 && (p.live.Events > c.cfg.Intake.Events/2 || p.live.Bytes > c.cfg.Intake.Bytes/2)
}

func (c *Core) spent(p *partition) bool {
	return p.n >= c.cfg.Span.Events || p.bytes >= c.cfg.Span.Bytes
}

// roomy is half of full, so that a partition is not turned off and on with each event.
func (c *Core) roomy(p *partition) bool {
	return p.n <= c.cfg.Span.Events/2 && p.bytes <= c.cfg.Span.Bytes/2 &&
		p.live.Events <= c.cfg.Intake.Events/4 && p.live.Bytes <= c.cfg.Intake.Bytes/4
}

// spans is how many of the largest spans all partitions may have together.
const spans = 4

// stuck says that nothing can be read: of no partition, where the source cannot tell them apart, or since all of them together have
// too many events that wait for others.
func (c *Core) stuck() bool {
	if c.kept >= spans*c.cfg.Span.Events {
		return true
	}
	if c.pausing {
		return false
	}
	for _, p := range c.partitions {
		if c.spent(p) {
			return true
		}
	}
	return false
}
