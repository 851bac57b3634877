package front

import (
	"crypto/rand"
	"encoding/hex"
	"strconv"
	"sync/atomic"
)

const maxRequestID = 128

// requestIDs names requests that come without a name: a random prefix for this life of the front, and a number.
type requestIDs struct {
	prefix string
	last   *atomic.Uint64
}

func newRequestIDs() requestIDs {
	var random [6]byte
	_, _ = rand.Read(random[:]) // never fails
	return requestIDs{hex.EncodeToString(random[:]) + "-", new(atomic.Uint64)}
}

// of is the client's own id if it is safe to repeat in headers and logs, else a new one.
func (ids requestIDs) of(given []string) string {
	if len(given) == 1 && safeID(given[0]) {
		return given[0]
	}
	return ids.prefix + strconv.FormatUint(ids.last.Add(1), 36)
}

func safeID(id string) bool {
	if len(id) == 0 || len(id) > maxRequestID {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.', c == ':':
		default:
			return false
		}
	}
	return true
}
