package http

import "sync"

// A budget bounds what a connection holds of requests that have no answer yet, bodies that are still arriving included.
type budget struct {
	mu            sync.Mutex
	events, bytes int // that are left
}

func newBudget(events, bytes int) *budget { return &budget{events: events, bytes: bytes} }

func (b *budget) take(events, bytes int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if events > b.events || bytes > b.bytes {
		return false
	}
	b.events -= events
	b.bytes -= bytes
	return true
}

func (b *budget) give(events, bytes int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.events += events
	b.bytes += bytes
}

// A share is what one request has taken of it. It is used by one goroutine at a time.
type share struct {
	of            *budget
	events, bytes int
}

// grow takes more, or tells that there is none.
func (s *share) grow(events, bytes int) bool {
	if !s.of.take(events, bytes) {
		return false
	}
	s.events += events
	s.bytes += bytes
	return true
}

// keep gives back all but so many bytes.
func (s *share) keep(bytes int) {
	s.of.give(0, s.bytes-bytes)
	s.bytes = bytes
}

// release gives all back; a second time does nothing.
func (s *share) release() {
	s.of.give(s.events, s.bytes)
	s.events, s.bytes = 0, 0
}
