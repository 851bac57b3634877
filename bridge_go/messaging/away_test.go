package messaging

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
)

func TestAwayIsWhatMayComeBackByItself(t *testing.T) {
	for _, c := range []struct {
		err  error
		away bool
	}{
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, true},
		{fmt.Errorf("connection x: %w", &net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}), true},
		{errors.Join(errors.New("tls: refused"), io.EOF), true},
		{context.DeadlineExceeded, true},
		{MarkAway(errors.New("starting up")), true},
		{&net.OpError{Op: "dial", Err: &net.DNSError{IsNotFound: true}}, false},
		{&net.OpError{Op: "dial", Err: &net.DNSError{IsTemporary: true}}, true},
		{errors.New("password authentication failed"), false},
		{context.Canceled, false},
		{ErrNoTopic, false},
		{nil, false},
	} {
		if got := Away(c.err); got != c.away {
			t.Errorf("%v is away: %v, want %v", c.err, got, c.away)
		}
	}
	if said := MarkAway(errors.New("starting up")).Error(); said != "starting up" {
		t.Errorf("the words became %q", said)
	}
}
