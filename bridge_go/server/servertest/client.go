// Package servertest has a client of the wire for tests: it dials, proves the token, and speaks frames or any bytes.
package servertest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// Patience is how long a client waits for a frame before its test fails.
const Patience = time.Minute

// A Client is one connection. Its methods end the test when the connection does not do what they ask for.
type Client struct {
	net.Conn
	t      testing.TB
	reader *wire.Reader
	max    uint64
}

// Hello is a HELLO that a bridge accepts.
func Hello(program, command, worker string) *wire.Hello {
	return &wire.Hello{Program: program, Command: command, Worker: worker, PID: 1, SDK: "servertest", MaxFrame: wire.DefaultMaxFrame}
}

// Connect opens a socket to an address as the server spells it. Nothing is sent yet.
func Connect(t testing.TB, address string) net.Conn {
	t.Helper()
	network, where, _ := strings.Cut(address, "://")
	nc, err := net.DialTimeout(network, where, Patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return nc
}

// Dial connects and does the preface.
func Dial(t testing.TB, address string, token wire.Token, role wire.Role) (*Client, error) {
	t.Helper()
	nc := Connect(t, address)
	nc.SetDeadline(time.Now().Add(Patience))
	if _, err := wire.Open(nc, token, role, wire.NewNonce()); err != nil {
		return nil, err
	}
	nc.SetDeadline(time.Time{})
	return &Client{Conn: nc, t: t, reader: wire.NewReader(nc), max: wire.FirstMaxFrame}, nil
}

// Greeted dials and says HELLO, and gives the bridge's WELCOME.
func Greeted(t testing.TB, address string, token wire.Token, role wire.Role, hello *wire.Hello) (*Client, *wire.Welcome) {
	t.Helper()
	c, err := Dial(t, address, token, role)
	if err != nil {
		t.Fatal(err)
	}
	c.Send(hello)
	welcome := Expect[*wire.Welcome](c)
	c.max = welcome.MaxFrame
	c.reader.SetLimit(welcome.MaxFrame)
	return c, welcome
}

// Send writes messages as frames.
func (c *Client) Send(list ...wire.Message) {
	c.t.Helper()
	var b []byte
	for _, m := range list {
		var err error
		if b, err = wire.AppendFrame(b, m, c.max); err != nil {
			c.t.Fatal(err)
		}
	}
	c.Bytes(b)
}

// Bytes writes anything.
func (c *Client) Bytes(b []byte) {
	c.t.Helper()
	c.SetWriteDeadline(time.Now().Add(Patience))
	if _, err := c.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

// Receive reads one frame. The error is io.EOF when the bridge has closed.
func (c *Client) Receive() (wire.Message, error) {
	c.SetReadDeadline(time.Now().Add(Patience))
	frame, err := c.reader.Next()
	if err != nil {
		return nil, err
	}
	return wire.Decode(frame, wire.Minor)
}

// Expect reads one frame of a type.
func Expect[M wire.Message](c *Client) M {
	c.t.Helper()
	m, err := c.Receive()
	if err != nil {
		c.t.Fatalf("no frame: %v", err)
	}
	want, ok := m.(M)
	if !ok {
		c.t.Fatalf("received %v %+v, wants a %T", m.Type(), m, want)
	}
	return want
}

// ExpectBye reads up to the bridge's BYE and the end of the stream, and gives the BYE.
func (c *Client) ExpectBye(code wire.ByeCode) *wire.Bye {
	c.t.Helper()
	for {
		m, err := c.Receive()
		if err != nil {
			c.t.Fatalf("no BYE: %v", err)
		}
		bye, ok := m.(*wire.Bye)
		if !ok {
			continue
		}
		if bye.Code != code {
			c.t.Fatalf("BYE %d (%s), wants %d", bye.Code, bye.Reason, code)
		}
		c.ExpectEnd()
		return bye
	}
}

// ExpectEnd reads to the end of the stream, where nothing may come any more.
func (c *Client) ExpectEnd() {
	c.t.Helper()
	if m, err := c.Receive(); !errors.Is(err, io.EOF) {
		c.t.Fatalf("%s after the goodbye", describe(m, err))
	}
}

// CloseWithReset closes as a killed process with unread data does: the peer sees a reset.
func (c *Client) CloseWithReset() {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	c.Close()
}

func describe(m wire.Message, err error) string {
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%v %+v", m.Type(), m)
}
