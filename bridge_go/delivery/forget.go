package delivery

import "ds-runner.dev/ds-runner/bridge_go/messaging"

// Forget takes events out of line that nobody waits for any more, as those of a client that has gone, before they cost a worker's time. They
// have no fate: they are settled without one, and their positions are returned. What is with a worker is left to its answer, and so is
// what an order holds in its place.
func (c *Core) Forget(now int64, gone func(*messaging.Record) bool) (forgotten []messaging.Position) {
	c.now = now
	keep := func(e *Event) bool {
		if e.lane != nil || e.part.revoked || !gone(e.Record) {
			return true
		}
		forgotten = append(forgotten, messaging.Position{Partition: e.Record.Partition, Offset: e.Record.Offset, Epoch: e.Record.Epoch})
		c.stats.Forgotten++
		c.unwanted(e)
		return false
	}
	c.fresh.filter(keep)
	c.again.filter(keep)
	c.timers.filter(func(t timer) bool {
		if t.event == nil || keep(t.event) {
			return true
		}
		c.parked--
		return false
	})
	c.filterCases(keep)
	return forgotten
}

// unwanted settles an event that has been taken out of line.
func (c *Core) unwanted(e *Event) {
	c.count(e, -1)
	e.state = settled
	e.Record = nil
	if e.part.head == e {
		e.part.advance(c)
	}
}
