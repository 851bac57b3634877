package load

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// A client is one connection, made again when it ended. It costs a tenth of net/http's, so that the sender leaves the processors
// to the server.
type client struct {
	target *Target
	head   []byte
	conn   net.Conn
	reader *bufio.Reader
	wire   []byte
}

func (t *Target) client() *client {
	head := "POST " + t.URL.RequestURI() + " HTTP/1.1\r\nHost: " + t.URL.Host + "\r\nContent-Type: application/json\r\n"
	if t.Token != "" {
		head += "Authorization: Bearer " + t.Token + "\r\n"
	}
	return &client{target: t, head: []byte(head + "Content-Length: ")}
}

// ask sends a row and reads the answer to its end.
func (c *client) ask(row []byte) (status int, err error) {
	if c.conn == nil {
		if c.conn, err = dial(c.target.URL, c.target.Patience); err != nil {
			c.conn = nil
			return 0, err
		}
		c.reader = bufio.NewReader(c.conn)
	}
	_ = c.conn.SetDeadline(time.Now().Add(c.target.Patience))
	c.wire = append(c.wire[:0], c.head...)
	c.wire = strconv.AppendInt(c.wire, int64(len(row)), 10)
	c.wire = append(append(c.wire, "\r\n\r\n"...), row...)
	// A server may answer and close before it has read all: what it said is read even if the rest could not be sent.
	_, unsent := c.conn.Write(c.wire)
	answer, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		c.close()
		return 0, errors.Join(unsent, err)
	}
	if _, err = io.Copy(io.Discard, answer.Body); err != nil || answer.Close || unsent != nil {
		c.close()
	}
	return answer.StatusCode, err
}

func (c *client) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// dial does not ask for the server's name: what is measured is the user's own, on this machine or beside it.
func dial(at *url.URL, patience time.Duration) (net.Conn, error) {
	d := &net.Dialer{Timeout: patience}
	if at.Scheme == "https" {
		return tls.DialWithDialer(d, "tcp", at.Host, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // said above
	}
	return d.Dial("tcp", at.Host)
}
