package server

import (
	"fmt"
	"net"
	"net/url"
)

// listen opens one address of the wire.
func listen(address string, uids []uint32) (net.Listener, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("server: listen address %q: %w", address, err)
	}
	switch u.Scheme {
	case "tcp":
		return listenTCP(u)
	case "unix":
		return listenUnix(u.Path, uids)
	}
	return nil, fmt.Errorf("server: listen address %q: write tcp://127.0.0.1:7400 or unix:///path/to/socket", address)
}

// listenTCP takes loopback addresses alone: frames are not encrypted, and the token proves a peer but protects no payload.
func listenTCP(u *url.URL) (net.Listener, error) {
	if !isLoopback(u.Hostname()) {
		return nil, fmt.Errorf("server: listen address %s is not on loopback, and the wire is not encrypted: write tcp://127.0.0.1:%s", u, u.Port())
	}
	return net.Listen("tcp", u.Host)
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// address is a listener's address as Config.Listen spells it.
func address(l net.Listener) string {
	if l.Addr().Network() == "unix" {
		return "unix://" + l.Addr().String()
	}
	return "tcp://" + l.Addr().String()
}
