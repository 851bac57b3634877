package server

import (
	"errors"
	"io"
	"net"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// acceptPause is how long a failed accept (no descriptors left) waits, so that it does not spin.
const acceptPause = 50 * time.Millisecond

func (s *Server) accept(l net.Listener) {
	for {
		nc, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			s.Log.Warn("wire: accept", "error", err)
			select {
			case <-time.After(acceptPause):
			case <-s.ctx.Done():
			}
			continue
		}
		s.take(nc)
	}
}

// take starts a connection's goroutine, if there is room for one more to be told that there is no room.
func (s *Server) take(nc net.Conn) {
	s.mu.Lock()
	n := len(s.conns) + len(s.pending)
	if s.stopped || n >= s.MaxConnections+refusedAtOnce {
		s.mu.Unlock()
		s.metrics.refused.WithLabelValues(wire.RefusedTooMany.String()).Inc()
		nc.Close()
		return
	}
	s.pending[nc] = struct{}{}
	refusal := wire.Accepted
	switch {
	case s.draining:
		refusal = wire.RefusedDraining
	case n >= s.MaxConnections:
		refusal = wire.RefusedTooMany
	}
	s.running.Go(func() { s.serve(nc, refusal) })
	s.mu.Unlock()
}

// refusedAtOnce bounds the connections that are being told that there are too many.
const refusedAtOnce = 64

func (s *Server) serve(nc net.Conn, refusal wire.Refusal) {
	defer nc.Close()
	c := s.admit(nc, refusal)
	if c == nil {
		return
	}
	defer s.forget(c)
	c.run()
}

// admit runs the preface. It is nil for who is not admitted.
func (s *Server) admit(nc net.Conn, refusal wire.Refusal) *conn {
	defer s.settled(nc)
	if refusal == wire.Accepted && !s.userAllowed(nc) {
		refusal = wire.RefusedUser
	}
	nc.SetDeadline(time.Now().Add(s.PrefaceTimeout))
	greeting, err := wire.Greet(nc, s.Token, wire.NewNonce(), refusal)
	if err != nil {
		s.notAdmitted(nc, err)
		return nil
	}
	nc.SetDeadline(time.Time{})
	return s.remember(newConn(s, nc, greeting))
}

func (s *Server) notAdmitted(nc net.Conn, err error) {
	var refusal wire.Refusal
	reason := "preface"
	switch {
	case errors.As(err, &refusal):
		reason = refusal.String()
		linger(nc, refusalLinger) // or a reset may overtake the refusal
	case errors.Is(err, io.EOF): // a probe that connects and leaves
		return
	case isTimeout(err):
		reason = "timeout"
	}
	s.metrics.refused.WithLabelValues(reason).Inc()
	s.Log.Debug("wire: not admitted", "reason", reason, "peer", nc.RemoteAddr().String())
}

const refusalLinger = 200 * time.Millisecond

// linger sends the end of the stream and reads what the peer still sends, for at most d. Closing with unread bytes would
// reset the connection and may destroy what was written last before the peer has read it.
func linger(nc net.Conn, d time.Duration) {
	if half, ok := nc.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		nc.SetReadDeadline(time.Now().Add(d))
		_, _ = io.Copy(io.Discard, nc)
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

func (s *Server) settled(nc net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.pending, nc)
}

// remember is nil when the server has stopped meanwhile.
func (s *Server) remember(c *conn) *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return nil
	}
	s.conns[c] = struct{}{}
	return c
}

func (s *Server) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}
