package messaging

import (
	"errors"
	"io"
	"net"
	"syscall"
)

// errAway is what MarkAway adds.
var errAway = errors.New("the server is away")

// Away says that a server could not be reached, or is just starting: the same may succeed soon. Logins, names and settings that
// are wrong are never away. A name that nobody knows is not, unless the answer says that it may be known soon.
func Away(err error) bool {
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return dns.IsTemporary || dns.IsTimeout
	}
	for _, sign := range []error{errAway, syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.EPIPE, io.EOF, io.ErrUnexpectedEOF} {
		if errors.Is(err, sign) {
			return true
		}
	}
	var network net.Error
	return errors.As(err, &network) && network.Timeout()
}

// MarkAway has Away see an error that it does not know by itself. The words stay as they are.
func MarkAway(err error) error { return away{err} }

type away struct{ error }

func (a away) Unwrap() error        { return a.error }
func (a away) Is(target error) bool { return target == errAway }
