package delivery

import "ds-runner.dev/ds-runner/bridge_go/messaging"

// A partition keeps the events of one partition in the order of their offsets, to know the prefix that may be committed.
//
// The head is the oldest event that is not settled; everything before it is gone from memory. Offsets may have gaps
// (compaction, markers), so the prefix is one of events received, not of numbers. Events behind a stuck head stay, settled or not, and are
// what the span bounds.
type partition struct {
	id         int32
	head, tail *Event
	turns      uint64 // events it has had
	n, bytes   int    // between the head and the newest
	live       Room   // of these, not settled
	stopped    bool   // told to be read no further
	upTo       int64
	epoch      int32 // assignment of its records, the source's affair
	dirty      bool  // upTo has moved since the last Commits
	revoked    bool
	lane       *lane // all of its events, when the order is by partition
}

func (p *partition) push(e *Event) {
	e.part = p
	e.Turn = p.turns
	p.turns++
	p.epoch, e.offset = e.Record.Epoch, e.Record.Offset
	if p.tail == nil {
		p.head = e
	} else {
		p.tail.after = e
	}
	p.tail = e
	p.n++
	p.bytes += e.size
}

// advance lets go of the settled prefix.
func (p *partition) advance(c *Core) {
	for p.head != nil && p.head.state == settled {
		e := p.head
		p.upTo = e.offset
		c.kept--
		p.dirty = true
		p.head = e.after
		p.n--
		p.bytes -= e.size
		c.pool.put(e)
	}
	if p.head == nil {
		p.tail = nil
	}
}

// partition finds or makes the partition of a record. Records of one partition come in runs, so the last one is looked
// at before the map is.
func (c *Core) partition(id int32) *partition {
	if c.recent != nil && c.recent.id == id {
		return c.recent
	}
	p := c.partitions[id]
	if p == nil {
		p = &partition{id: id}
		if c.cfg.Order == ByPartition {
			p.lane = &lane{cap: c.cfg.PartitionCap}
		}
		c.partitions[id] = p
	}
	c.recent = p
	return p
}

// current says whether a record belongs to the present assignment of its partition. One that was read under an earlier one and
// offered after its end is dropped: the record is read again. The first of a later one ends the earlier.
func (c *Core) current(r *messaging.Record) bool {
	if over, ok := c.over[r.Partition]; ok && r.Epoch <= over {
		return false
	}
	if p := c.partitions[r.Partition]; p != nil && r.Epoch != p.epoch {
		if r.Epoch < p.epoch {
			return false
		}
		c.Revoke(c.now, []int32{r.Partition})
	}
	return true
}

// Commits returns the positions that have moved since it was last called: all up to them is settled.
func (c *Core) Commits() []messaging.Position {
	var moved []messaging.Position
	for _, p := range c.partitions {
		if p.dirty {
			p.dirty = false
			moved = append(moved, messaging.Position{Partition: p.id, Offset: p.upTo, Epoch: p.epoch})
		}
	}
	return moved
}

// Revoke drops everything of these partitions: they belong to another reader now, which gets their events again from the
// last commit on. Events that wait are forgotten; results that come late for the others find nothing to settle.
func (c *Core) Revoke(now int64, ids []int32) {
	c.now = now
	c.epoch++
	c.recent = nil
	var revoked []*partition
	for _, id := range ids {
		if p := c.partitions[id]; p != nil {
			p.revoked = true
			if p.stopped {
				c.letGo = append(c.letGo, id)
			}
			c.over[id] = p.epoch
			delete(c.partitions, id)
			revoked = append(revoked, p)
		}
	}
	c.purge(revoked)
	for _, p := range revoked {
		c.forget(p)
	}
}

// RevokeAll drops everything, as when the source is closed. The next one may count its assignments anew.
func (c *Core) RevokeAll(now int64) {
	ids := make([]int32, 0, len(c.partitions))
	for id := range c.partitions {
		ids = append(ids, id)
	}
	c.Revoke(now, ids)
	clear(c.over)
}

// forget recycles the events of a revoked partition that nobody else holds.
func (c *Core) forget(p *partition) {
	for e := p.head; e != nil; {
		after := e.after
		e.after = nil
		switch e.state {
		case settled:
			c.kept--
			c.pool.put(e)
		case waiting, suspect, held:
			c.drop(e)
		default: // the lease or the outlet drops it when it is done with it
		}
		e = after
	}
	p.head, p.tail = nil, nil
}

// drop ends an event without a fate: its partition is no longer ours.
func (c *Core) drop(e *Event) {
	c.count(e, -1)
	c.kept--
	c.pool.put(e)
}

// purge takes the events of revoked partitions out of every place in which events wait.
func (c *Core) purge(revoked []*partition) {
	keep := func(e *Event) bool { return !e.part.revoked }
	c.fresh.filter(keep)
	c.again.filter(keep)
	for _, l := range c.lanes {
		l.filter(keep)
	}
	for _, p := range revoked {
		if p.lane != nil {
			p.lane.filter(keep)
		}
	}
	c.timers.filter(func(t timer) bool {
		if t.event == nil || keep(t.event) {
			return true
		}
		c.parked--
		return false
	})
	c.breaker.filter(keep)
	c.filterCases(keep)
}
