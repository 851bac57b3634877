package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// http1 is a connection of HTTP/1.1 that is kept as long as the server keeps it.
type http1 struct {
	conn   net.Conn
	reader *bufio.Reader
	head   []byte
	wire   []byte
	body   bytes.Buffer
	closed bool
}

func dialHTTP1(at *url.URL) (link, error) {
	conn, err := net.Dial("tcp", at.Host)
	if err != nil {
		return nil, err
	}
	head := "POST " + at.RequestURI() + " HTTP/1.1\r\nHost: " + at.Host + "\r\nContent-Type: application/json\r\nContent-Length: "
	return &http1{conn: conn, reader: bufio.NewReader(conn), head: []byte(head)}, nil
}

func (h *http1) ask(body []byte, deadline time.Time) (answered, error) {
	_ = h.conn.SetDeadline(deadline)
	h.wire = append(h.wire[:0], h.head...)
	h.wire = strconv.AppendInt(h.wire, int64(len(body)), 10)
	h.wire = append(append(h.wire, "\r\n\r\n"...), body...)
	// A server may answer and close before it has read all: what it said is read even if the rest could not be sent.
	_, unsent := h.conn.Write(h.wire)
	got, err := http.ReadResponse(h.reader, nil)
	if err != nil {
		return answered{}, errors.Join(unsent, err)
	}
	h.body.Reset()
	if _, err := io.Copy(&h.body, got.Body); err != nil {
		return answered{}, err
	}
	h.closed = got.Close || unsent != nil
	return answered{got.StatusCode, h.body.Bytes()}, nil
}

func (h *http1) usable() bool { return !h.closed }

func (h *http1) close() { h.conn.Close() }
