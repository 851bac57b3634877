package nats

import (
	"context"
	"fmt"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// takeOver is called when what the server gave is not what comes next: at the first message of a partition, and when messages are
// missing. What came was not taken. Now it is known up to where messages were delivered, to us or to others; all up to
// there that we have not got is read by position. They stay ours until they are acknowledged, whoever was given them.
func (p *part) takeOver(ctx context.Context) error {
	if p.s.group == "" {
		p.taking = false
		return nil
	}
	at, err := p.topic().standing(ctx, p.consumer)
	if err != nil {
		p.later() // and again with the next message
		return nil
	}
	if !p.ours {
		p.last, p.base = at.Floor.Stream, at.Floor.Consumer
		if err := p.startAt(ctx); err != nil {
			return err
		}
		p.locked(func() { p.epoch++; p.committed = p.last })
		p.ours = true
		if err := p.gap(ctx, p.last); err != nil {
			p.ours = false
			return err
		}
	}
	p.taking = false
	p.number, p.catchTo = at.Delivered.Consumer, at.Delivered.Stream
	return nil
}

// startAt takes the position that somebody else keeps for the group's.
func (p *part) startAt(ctx context.Context) error {
	if p.s.start == nil {
		return nil
	}
	positions, err := p.s.start(ctx, []int32{p.n})
	if err != nil {
		return err
	}
	if offset, known := positions[p.n]; known {
		p.last = offset
	}
	return nil
}

// catchUp reads by position what was delivered and not taken. It tells whether it has found something to do.
func (p *part) catchUp(ctx context.Context, limit messaging.Limit) (bool, error) {
	var paused bool
	p.locked(func() { paused = p.paused || len(p.ahead) > 0 })
	if p.last >= p.catchTo || paused || p.taking || time.Now().Before(p.resume) {
		return false, nil
	}
	found, err := p.f.Fetch(ctx, uint64(p.last+1), limit.Events, limit.Bytes)
	if away(err) {
		p.later()
		return false, nil
	}
	if err != nil {
		return false, p.topic().explain(err)
	}
	p.locked(func() {
		for _, r := range found {
			if r.Offset > p.catchTo {
				found = nil
				break
			}
			p.base++
			p.last = r.Offset
			p.put(r, replyTo(p.prefix, r.Offset, p.base))
		}
	})
	if len(found) == 0 {
		p.last = max(p.last, p.catchTo)
	}
	return true, nil
}

// pokeEvery is how often a partition that has no reader is asked for what its last one left.
const pokeEvery = time.Second

// poke has the server deliver again what the last reader of a partition left unsettled. Otherwise nothing would come before ack_wait
// has passed or something new is written, and the server pins only whom it gives something.
func (p *part) poke() {
	if p.ours || !p.pinned() || time.Since(p.poked) < pokeEvery {
		return
	}
	p.poked = time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), p.seconds())
	defer cancel()
	at, err := p.topic().standing(ctx, p.consumer)
	if err != nil || at.pin() != "" || at.Unsettled == 0 {
		return
	}
	found, err := p.f.Fetch(ctx, uint64(at.Floor.Stream+1), 1, 1)
	if err == nil && len(found) > 0 && found[0].Offset <= at.Delivered.Stream {
		p.publish(replyTo("$JS.ACK."+p.topic().stream+"."+p.consumer, found[0].Offset, at.Floor.Consumer+1), "-NAK")
	}
}

// revoke lets go of a partition that another reader has, or shall have.
func (p *part) revoke() {
	p.locked(func() {
		p.ahead = nil
		p.held.clear()
	})
	p.ours, p.last, p.catchTo, p.number = false, 0, 0, 0
	p.s.c.options.Log.Info("another reader has a partition", "topic", p.topic().name, "partition", p.n)
	if p.s.onRevoke != nil {
		p.s.onRevoke([]int32{p.n})
	}
}

// gap is asked when reading goes on behind a sequence: whether what follows it is still there.
func (p *part) gap(ctx context.Context, behind int64) error {
	t := p.topic()
	if p.s.group == "" || !t.limits() || t.config.MaxMsgsPerSubject > 0 {
		return nil // nobody was promised them, or they go when they are read or replaced
	}
	first, _, err := t.state(ctx)
	if err != nil || first <= behind+1 || behind == 0 { // a reader that is new begins with what there is
		return err
	}
	log := p.s.c.options.Log.With("topic", t.name, "group", p.s.group, "from", behind+1, "to", first-1)
	if !t.alone {
		log.Error("the stream dropped records that were not read; whether some were of this topic cannot be told")
		p.last = max(p.last, first-1)
		return nil
	}
	p.s.c.gaps.Add(float64(first - behind - 1))
	log.Error("records were dropped before they were read", "setting", "the stream's limits keep them longer")
	if !p.s.c.settings.skipGaps {
		return &messaging.GapError{Topic: t.name, Group: p.s.group, Want: behind + 1, Have: first}
	}
	p.last = max(p.last, first-1)
	return nil
}

// commit acknowledges what is settled.
func (p *part) commit(ctx context.Context, to messaging.Position) error {
	var settled []message
	p.locked(func() {
		if to.Epoch == 0 || to.Epoch == p.epoch {
			settled = append(settled, p.held.upTo(to.Offset)...)
		}
	})
	if len(settled) == 0 {
		return nil
	}
	if p.s.c.settings.shared {
		for _, m := range settled[:len(settled)-1] {
			p.publish(m.reply, "+ACK")
		}
	}
	last := settled[len(settled)-1]
	if last.reply == "" {
		return fmt.Errorf("the server was started again and has not delivered this one again yet")
	}
	ctx, cancel := context.WithTimeout(ctx, p.seconds())
	defer cancel()
	if _, err := p.s.c.conn.RequestWithContext(ctx, last.reply, []byte("+ACK")); err != nil {
		return err
	}
	p.locked(func() {
		if held := p.held.upTo(last.seq); len(held) > 0 {
			p.held.drop(len(held))
		}
		p.committed = max(p.committed, last.seq)
	})
	return nil
}

// progress tells the server that what is held is at work.
func (p *part) progress() {
	var replies []string
	p.locked(func() {
		for _, m := range p.held.all() {
			if m.reply != "" {
				replies = append(replies, m.reply)
			}
		}
	})
	for _, reply := range replies {
		p.publish(reply, "+WPI")
	}
}

// keepPin has the server know that the pinned reader lives, though it may not ask for anything: by asking for a message of one byte,
// which there is not.
func (p *part) keepPin() {
	var pin string
	p.locked(func() { pin = p.pin })
	if pin != "" {
		p.request("pin", pullRequest{Batch: 1, MaxBytes: 1, NoWait: true, Group: pinGroup, ID: pin})
	}
}

// leave gives the partition to who comes next.
func (p *part) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, p.seconds())
	defer cancel()
	if p.s.group == "" {
		p.s.c.api.Call(ctx, "CONSUMER.DELETE."+p.topic().stream+"."+p.consumer, nil, nil)
		return
	}
	if p.s.c.settings.shared {
		for _, m := range p.held.all() {
			p.publish(m.reply, "-NAK")
		}
		p.s.c.conn.FlushWithContext(ctx)
		return
	}
	if p.pin != "" {
		p.notePin(p.pin, "")
		p.topic().unpin(ctx, p.consumer)
	}
}
