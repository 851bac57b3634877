//lint:file-ignore SA1019 what stands in its place in net/http does not say whether a request was taken

package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/http2"
)

// h2 is a connection of HTTP/2 without TLS. Its streams are its clients'; nothing is sent twice: that is the work of a pool of
// connections, which this is below.
type h2 struct {
	url  string
	conn *http2.ClientConn
}

func dialHTTP2(at *url.URL) (link, error) {
	conn, err := net.Dial("tcp", at.Host)
	if err != nil {
		return nil, err
	}
	made, err := (&http2.Transport{AllowHTTP: true}).NewClientConn(conn)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return &h2{at.String(), made}, nil
}

func (h *h2) ask(body []byte, deadline time.Time) (answered, error) {
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	asked, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url, bytes.NewReader(body))
	if err != nil {
		return answered{}, err
	}
	asked.Header.Set("Content-Type", "application/json")
	got, err := h.conn.RoundTrip(asked)
	if err != nil {
		return answered{}, notTaken(err)
	}
	defer got.Body.Close()
	data, err := io.ReadAll(got.Body)
	return answered{got.StatusCode, data}, err
}

// notTaken tells what a GOAWAY or a refused stream says of a request, which may be sent again by the protocol's word (RFC 9113, 8.7),
// from a loss. The package has no names for these errors.
func notTaken(err error) error {
	for _, said := range []string{"http2: Transport received Server's graceful shutdown GOAWAY", "http2: client conn not usable", "REFUSED_STREAM"} {
		if strings.Contains(err.Error(), said) {
			return errNotTaken
		}
	}
	return err
}

func (h *h2) usable() bool { return h.conn.CanTakeNewRequest() }

// close lets streams of other clients end first.
func (h *h2) close() {
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		_ = h.conn.Shutdown(ctx)
		h.conn.Close()
	}()
}
