package providers

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// Below what Linux (from 32768) and macOS (from 49152) hand to clients: while a server is down for its restart, no
// connection of somebody else gets its port. tests/providers/ports.py does the same.
const firstPort, endPort = 15_000, 32_000

// FreePort is a port of 127.0.0.1 that nobody listens on, for a server that comes later, or goes and comes again.
func FreePort(t testing.TB) int {
	t.Helper()
	for range 200 {
		port := firstPort + rand.IntN(endPort-firstPort)
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatalf("no free port among 200 of %d to %d", firstPort, endPort)
	return 0
}
