package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

type options struct {
	url, protocol        string
	connections, streams int
	rate                 float64
	seed                 uint64
	length, patience     time.Duration
	body, want           string
	rows                 int
	announce             int64
	untilRefused         bool
}

// A link is one connection. ask sends a request and waits for its answer; several may ask at once where the protocol allows it.
type link interface {
	ask(body []byte, deadline time.Time) (answered, error)
	usable() bool // whether another request may be sent
	close()
}

type answered struct {
	status int
	body   []byte // the caller's until the next ask
}

// errNotTaken is a request that the server said it had not begun: no loss, by the protocol's own word.
var errNotTaken = errors.New("the server did not take the request")

// redial is how long a client waits where nobody listens.
const redial = 20 * time.Millisecond

// A load is a run: clients that share a queue of tickets, or each asks when it is answered.
type load struct {
	options
	dial    func() (link, error)
	rows    *template
	over    chan struct{}
	tickets chan time.Time // of an open loop: when to send
	numbers atomic.Int64   // of rows
	settled atomic.Int64
}

func run(o options, stop <-chan os.Signal) (*Report, error) {
	l := &load{options: o, rows: newTemplate(o.body, o.want, o.rows), over: make(chan struct{})}
	if err := l.choose(); err != nil {
		return nil, err
	}
	began := time.Now()
	ending := sync.OnceFunc(func() { close(l.over) })
	timer := time.AfterFunc(o.length, ending)
	defer timer.Stop()
	go func() {
		<-stop
		ending()
	}()
	if o.rate > 0 {
		beLight()
		l.tickets = make(chan time.Time, 1<<16)
		go schedule(l.tickets, newArrivals(o.rate, o.seed), l.over)
	}
	tallies := make([]*tally, 0, o.connections*o.streams)
	var clients sync.WaitGroup
	for range o.connections {
		c := &carrier{load: l}
		for range o.streams {
			t := newTally()
			tallies = append(tallies, t)
			clients.Go(func() { l.client(c, t) })
		}
	}
	clients.Wait()
	return report(tallies, time.Since(began)), nil
}

func (l *load) choose() error {
	at, err := url.Parse(l.url)
	if err != nil {
		return err
	}
	switch l.protocol {
	case "h1":
		l.streams = 1
		l.dial = func() (link, error) { return dialHTTP1(at) }
	case "h2c":
		l.dial = func() (link, error) { return dialHTTP2(at) }
	case "grpc":
		l.dial = func() (link, error) { return dialGRPC(at) }
	default:
		return fmt.Errorf("no protocol %q", l.protocol)
	}
	return nil
}

// client asks until the run is over, or until nobody listens.
func (l *load) client(c *carrier, t *tally) {
	var body []byte
	for {
		due, more := l.next()
		if !more {
			return
		}
		link, err := c.link()
		if err != nil {
			if l.unreachable(err, t) {
				return
			}
			continue
		}
		first := l.numbers.Add(l.rows.step) - l.rows.step
		body = l.rows.request(body[:0], first)
		sent := time.Now()
		if due.IsZero() {
			due = sent
		}
		answer, err := link.ask(body, sent.Add(l.patience))
		if err != nil {
			c.drop(link)
			t.failed(err, sent)
			continue
		}
		t.answered(answer, l.rows.wrong(answer, first), due, sent)
		if l.settled.Add(1) == l.announce {
			fmt.Println("answered", l.announce)
		}
		if !link.usable() {
			c.drop(link)
		}
	}
}

// next is the time at which to send the next request, zero for now.
func (l *load) next() (due time.Time, more bool) {
	select {
	case <-l.over:
		return due, false
	default:
	}
	if l.tickets == nil {
		return due, true
	}
	select {
	case <-l.over:
		return due, false
	case due = <-l.tickets:
		return due, true
	}
}

// unreachable reports whether the client is done. To be refused is no loss: nothing was sent.
func (l *load) unreachable(err error, t *tally) bool {
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.failed(err, time.Now())
		return false
	}
	t.refused++
	if l.untilRefused {
		return true
	}
	select {
	case <-l.over:
	case <-time.After(redial):
	}
	return false
}

// A carrier is the connection that its clients share, made again when it may not be used any more.
type carrier struct {
	load *load
	mu   sync.Mutex
	now  link
}

func (c *carrier) link() (link, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now != nil && c.now.usable() {
		return c.now, nil
	}
	made, err := c.load.dial()
	c.now = made
	return made, err
}

// drop gives up a connection, once the last of its clients has.
func (c *carrier) drop(l link) {
	c.mu.Lock()
	if c.now == l {
		c.now = nil
	}
	c.mu.Unlock()
	l.close()
}
