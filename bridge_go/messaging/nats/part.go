package nats

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/messaging/jetstream"
)

// A part is a partition as its source reads it. It is nobody's, or ours: pinned, with all that earlier readers left behind read
// first. A message of the server is told by two numbers, its sequence in the stream and the number of its delivery in the consumer. As
// long as the latter counts up, nobody else was given anything and nothing was lost on the way; when it jumps, what is in
// between is read by position.
type part struct {
	s        *source
	n        int32
	consumer string
	f        *jetstream.Fetcher
	sub      *natsgo.Subscription

	pull   pull
	asking atomic.Bool // the pull is with the server
	single bool        // ask for one, of any size: what comes next is above the limit of bytes
	resume time.Time   // when to ask again, after the server refused
	prefix string      // of replies
	ours   bool        // its messages are handed out by us
	last   int64       // newest sequence that was handed out or passed over
	number int64       // of the newest delivery
	poked  time.Time

	taking  bool  // what comes now is not taken: it is read by position, up to what was delivered
	catchTo int64 // up to where it is
	base    int64 // delivery number that stands for last

	// Under the source's lock:
	pin       string
	epoch     int32
	ahead     []messaging.Record
	held      held
	committed int64
	paused    bool
	cooling   time.Time // until when it is left to others
	giveUp    bool      // it is another's turn
}

// A pull is a request for messages. The server ends it when it has given what it has, or after its time.
type pull struct {
	number int
	asked  int
	got    int
	until  time.Time
}

// pullTime is how long the server keeps a pull that it has nothing for.
const pullTime = 5 * time.Second

func (p *part) topic() *topic           { return p.s.t }
func (p *part) exclusive() bool         { return !p.s.c.settings.shared }
func (p *part) pinned() bool            { return p.exclusive() && p.s.group != "" }
func (p *part) locked(f func())         { p.s.mu.Lock(); defer p.s.mu.Unlock(); f() }
func (p *part) seconds() time.Duration  { return p.s.c.settings.timeout }
func (p *part) publish(to, what string) { p.s.c.conn.Publish(to, []byte(what)) }

// open finds or makes the consumer.
func (p *part) open(ctx context.Context) (err error) {
	if p.s.group == "" {
		p.ours = true
		p.consumer, err = p.topic().ephemeral(ctx, int(p.n))
		return err
	}
	if p.s.c.settings.shared {
		p.ours = true
		p.held.share()
	}
	p.consumer = p.topic().consumerName(p.s.group, int(p.n))
	if _, err = p.topic().consumer(ctx, p.s.group, int(p.n)); err != nil {
		return err
	}
	at, err := p.topic().standing(ctx, p.consumer)
	if err != nil {
		return p.topic().explain(err)
	}
	p.committed = at.Floor.Stream
	if p.pinned() && p.diedWith(at.pin()) {
		if err := p.topic().unpin(ctx, p.consumer); err != nil {
			return p.topic().explain(err)
		}
	}
	if p.pinned() {
		return p.gap(ctx, at.Floor.Stream)
	}
	return nil
}

type pullRequest struct {
	Batch    int    `json:"batch"`
	MaxBytes int    `json:"max_bytes,omitempty"`
	Expires  int64  `json:"expires,omitempty"`
	NoWait   bool   `json:"no_wait"`
	Group    string `json:"group,omitempty"`
	ID       string `json:"id,omitempty"`
}

// messageOverhead is what the server counts as part of a message beside its value, at the least.
const messageOverhead = 512

// ask sends a pull unless there is one. It brings what the server has, or waits for the first.
func (p *part) ask(limit messaging.Limit) {
	var paused bool
	var pin string
	p.locked(func() { paused, pin = p.paused || time.Now().Before(p.cooling), p.pin })
	if p.asking.Load() || paused || len(p.ahead) > 0 || p.last < p.catchTo || p.taking || time.Now().Before(p.resume) {
		return
	}
	request := pullRequest{Batch: limit.Events, MaxBytes: limit.Bytes + messageOverhead, Expires: int64(pullTime), NoWait: true}
	if p.single {
		request.Batch, request.MaxBytes = 1, 0
	}
	if p.pinned() {
		request.Group, request.ID = pinGroup, pin
	}
	p.asking.Store(true)
	p.pull = pull{number: p.pull.number + 1, asked: request.Batch, until: time.Now().Add(pullTime + p.seconds())}
	if err := p.request(strconv.Itoa(p.pull.number), request); err != nil {
		p.later()
	}
	p.poke()
}

func (p *part) request(reply string, r pullRequest) error {
	body, _ := json.Marshal(r)
	return p.s.c.conn.PublishRequest("$JS.API.CONSUMER.MSG.NEXT."+p.topic().stream+"."+p.consumer, p.s.inbox+"."+strconv.Itoa(int(p.n))+"."+reply, body)
}

// askAgain is the pause after a refusal that may pass.
const askAgain = 250 * time.Millisecond

// later ends the pull, and asks again after a while.
func (p *part) later() {
	p.asking.Store(false)
	p.resume = time.Now().Add(askAgain)
}

// due is when there is something to do for this part though nothing comes.
func (p *part) due() time.Time {
	if p.asking.Load() {
		return p.pull.until
	}
	if p.resume.Before(time.Now()) {
		return time.Time{}
	}
	return p.resume
}

// told is what the server says of the pull instead of a message.
func (p *part) told(ctx context.Context, status, why string) error {
	p.asking.Store(false)
	switch {
	case status == "404" || status == "408":
	case status == "409" && strings.HasPrefix(why, "Message Size Exceeds"):
		p.single = p.pull.got == 0
	case status == "423": // somebody else is pinned, or nobody is known to be since the server was started again
		p.locked(func() { p.pin = "" })
	case status == "400" || strings.HasPrefix(why, "Exceeded MaxRequest"):
		return fmt.Errorf("nats: %s: the consumer %s refuses to be asked for %d messages: %s", p.topic().name, p.consumer, p.pull.asked, why)
	case status == "503" || strings.HasPrefix(why, "Consumer Deleted"):
		p.later()
		return p.lookFor(ctx)
	default: // a leader changes, the server shuts down
		p.later()
	}
	if p.taking {
		return p.takeOver(ctx)
	}
	return nil
}

// lookFor asks what has become of the consumer, and makes it again where it was.
func (p *part) lookFor(ctx context.Context) error {
	_, err := p.topic().standing(ctx, p.consumer)
	if jetstream.HasCode(err, jetstream.CodeNoStream) {
		return p.topic().explain(err)
	}
	if !jetstream.HasCode(err, jetstream.CodeNoConsumer) {
		return nil // it is there, or the server is not
	}
	if p.s.group == "" || !p.ours {
		return p.topic().explain(fmt.Errorf("the consumer %s was deleted", p.consumer))
	}
	generation, _ := p.topic().generation(ctx, p.s.group)
	p.s.c.options.Log.Error("the consumer was deleted, making it again", "topic", p.topic().name, "consumer", p.consumer, "behind", p.committed)
	p.number = 0
	p.locked(func() { p.held.expire(0) })
	_, err = p.topic().makeConsumer(ctx, p.topic().wanted(p.s.group, int(p.n), p.committed+1, generation))
	return err
}

// came takes a message of the server.
func (p *part) came(ctx context.Context, m *natsgo.Msg) error {
	if p.asking.Load() {
		if p.pull.got++; p.pull.got >= p.pull.asked {
			p.asking.Store(false)
			p.single = false
		}
	}
	at, err := placeOf(m.Reply)
	if err != nil {
		return fmt.Errorf("nats: %s: %w", p.topic().name, err)
	}
	p.prefix = at.prefix
	if err := p.sort(ctx, at, m); err != nil {
		return err
	}
	if p.taking && !p.asking.Load() {
		return p.takeOver(ctx)
	}
	return nil
}

// sort finds out what a message is: the next one, one that came before, or one behind something that is missing.
func (p *part) sort(ctx context.Context, at place, m *natsgo.Msg) error {
	if p.s.c.settings.shared {
		return p.sortShared(at, m)
	}
	moved := p.pinnedBy(m)
	next := at.number == p.number+1
	if at.number <= p.number { // the server was killed, or the consumer made again, and has forgotten what it gave since
		p.locked(func() { p.held.expire(at.seq) })
	}
	p.number = at.number
	switch {
	case p.taking:
		p.catchTo = max(p.catchTo, at.seq)
	case !p.ours:
		p.taking = true
	case !next && moved: // somebody else had it in between
		p.revoke()
		p.taking = true
	case at.seq <= p.last:
		p.again(at.seq, m.Reply)
	case !next:
		p.taking, p.catchTo = true, at.seq
	default:
		return p.accept(ctx, at, m)
	}
	return nil
}

// pinnedBy takes the pin that comes with a message, and tells whether it is another.
func (p *part) pinnedBy(m *natsgo.Msg) (moved bool) {
	if !p.pinned() {
		return false
	}
	old, pin := "", m.Header.Get("Nats-Pin-Id")
	p.locked(func() { old, p.pin = p.pin, pin })
	if moved = pin != old; moved {
		p.notePin(old, pin)
	}
	return moved
}

func (p *part) sortShared(at place, m *natsgo.Msg) error {
	known := false
	p.locked(func() { known = p.held.renew(at.seq, m.Reply) })
	if known {
		p.s.c.redelivered.Inc()
		return nil
	}
	return p.deliver(at, m)
}

// again is told of a message that came before. If it is settled its acknowledgement was lost.
func (p *part) again(seq int64, reply string) {
	p.s.c.redelivered.Inc()
	p.locked(func() {
		if !p.held.renew(seq, reply) && seq <= p.committed {
			p.publish(reply, "+ACK")
		}
	})
}

// accept hands out the next message, unless retention has dropped what lies before it.
func (p *part) accept(ctx context.Context, at place, m *natsgo.Msg) error {
	if at.seq > p.last+1 && p.last > 0 {
		if err := p.gap(ctx, p.last); err != nil {
			p.number--
			return err
		}
	}
	p.last, p.base = at.seq, at.number
	return p.deliver(at, m)
}

func (p *part) deliver(at place, m *natsgo.Msg) error {
	r, err := jetstream.DecodeAt(m, at.seq, at.stored)
	if err != nil {
		r = messaging.Record{Offset: at.seq, Time: at.stored, Value: m.Data, Fault: &messaging.Fault{Code: "headers", Reason: err.Error()}}
	}
	p.locked(func() { p.put(r, m.Reply) })
	return nil
}

// put queues a record to be handed out. Under the lock.
func (p *part) put(r messaging.Record, reply string) {
	r.Partition, r.Epoch = p.n, p.epoch
	p.ahead = append(p.ahead, r)
	if p.s.group != "" {
		p.held.add(r.Offset, reply)
	}
}
