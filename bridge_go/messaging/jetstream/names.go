package jetstream

import (
	"fmt"
	"net/url"
)

// LongestName is the server's limit for names of streams and consumers.
const LongestName = 255

// Escaped makes a name that the server and every file system can hold. Small letters, digits, - and _ stand for themselves,
// all else is %XX: capitals too, because file systems that ignore case would make one folder of two names.
func Escaped(name string) string {
	out := make([]byte, 0, len(name))
	for _, b := range []byte(name) {
		if b >= 'a' && b <= 'z' || b >= '0' && b <= '9' || b == '-' || b == '_' {
			out = append(out, b)
		} else {
			out = fmt.Appendf(out, "%%%02X", b)
		}
	}
	return string(out)
}

// Unescaped undoes Escaped.
func Unescaped(name string) (string, error) { return url.PathUnescape(name) }
