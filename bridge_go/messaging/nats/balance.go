package nats

import (
	"context"
	"time"
)

// Readers of several processes share the partitions of a topic without a word to each other: all ask for all of them, and the
// server shows how many requests wait at a partition. Whoever has more than its share gives one back, and does not ask for it for
// a while.

// balance counts the readers that wait where we are pinned, and chooses what to give back. It is called by the keeper.
func (s *source) balance() {
	if len(s.parts) == 1 || s.group == "" {
		return
	}
	var ours []*part
	others := 0
	for _, p := range s.parts {
		pin := ""
		p.locked(func() { pin = p.pin })
		if pin == "" {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), p.seconds())
		at, err := s.t.standing(ctx, p.consumer)
		cancel()
		if err != nil || at.pin() != pin {
			continue
		}
		waiting := at.Waiting
		if p.asking.Load() {
			waiting--
		}
		ours, others = append(ours, p), max(others, waiting)
	}
	readers := others + 1
	if share := (len(s.parts) + readers - 1) / readers; len(ours) > share {
		p := ours[len(ours)-1]
		p.locked(func() { p.giveUp = true })
		s.wake()
	}
}

// giveBack lets go of what balance has chosen. It is called by Read, whose the partitions are.
func (s *source) giveBack() {
	for _, p := range s.parts {
		chosen := false
		p.locked(func() { chosen, p.giveUp = p.giveUp, false })
		if chosen && p.ours {
			p.give()
		}
	}
}

// give hands a partition to another reader: what is not settled is delivered to it at once.
func (p *part) give() {
	first, pin := "", ""
	p.locked(func() {
		if all := p.held.all(); len(all) > 0 {
			first = all[0].reply
		}
		pin, p.pin, p.cooling = p.pin, "", time.Now().Add(2*p.s.c.settings.takeover)
	})
	p.revoke()
	p.notePin(pin, "")
	ctx, cancel := context.WithTimeout(context.Background(), p.seconds())
	defer cancel()
	if err := p.topic().unpin(ctx, p.consumer); err != nil { // then it is free after takeover
		p.s.c.options.Log.Warn("a partition was not given back", "partition", p.n, "error", err)
	}
	if first != "" {
		p.publish(first, "-NAK")
	}
}
