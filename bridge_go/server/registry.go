package server

import (
	"sync"

	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// A registry knows the connection of each worker by name, so that one that dials again replaces the one it had.
type registry struct {
	mu    sync.Mutex
	conns map[name]*conn
}

type name struct {
	role                     wire.Role
	program, command, worker string
}

// replace puts a connection in and gives the one that had its name, or nil.
func (r *registry) replace(c *conn) *conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.conns == nil {
		r.conns = map[name]*conn{}
	}
	old := r.conns[c.name()]
	r.conns[c.name()] = c
	return old
}

// remove takes a connection out, unless another has its name by now.
func (r *registry) remove(c *conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.conns[c.name()] == c {
		delete(r.conns, c.name())
	}
}
