package jetstream

import (
	"slices"
	"strings"

	"github.com/nats-io/nats.go"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// standNatively writes a record's headers under their own names, unless one of them could not be read back as it is: names
// that the server or this package use, bytes that a header line cannot hold, null values, blanks at an end, too many.
func standNatively(headers []messaging.Header, h nats.Header) bool {
	size, sorted := 0, true
	for i, pair := range headers {
		size += len(pair.Name) + len(pair.Value) + 4
		if pair.Value == nil || size > packAbove || !nativeName(pair.Name) || !nativeValue(pair.Value) {
			return false
		}
		sorted = sorted && (i == 0 || headers[i-1].Name <= pair.Name)
	}
	for _, pair := range headers {
		h[pair.Name] = append(h[pair.Name], string(pair.Value))
	}
	if !sorted {
		names := make([]string, len(headers))
		for i, pair := range headers {
			names[i] = pair.Name
		}
		h[headerNames] = []string{strings.Join(names, ",")}
	}
	return true
}

// reserved says that a name means something to the server, its clients or this package.
func reserved(name string) bool {
	return strings.HasPrefix(name, "Nats-") || strings.HasPrefix(name, "Ds-") || name == headerStatus || name == "Description"
}

func nativeName(name string) bool {
	if name == "" || reserved(name) {
		return false
	}
	for _, b := range []byte(name) {
		if b <= ' ' || b >= 0x7f || b == ':' || b == ',' {
			return false
		}
	}
	return true
}

func nativeValue(value []byte) bool {
	for i, b := range value {
		if b < ' ' || b >= 0x7f || b == ' ' && (i == 0 || i == len(value)-1) {
			return false
		}
	}
	return true
}

// nativeHeaders are those that stand under their own names.
func nativeHeaders(h nats.Header) []messaging.Header {
	if names := first(h, headerNames); names != "" {
		return named(h, strings.Split(names, ","))
	}
	var names []string
	for name, values := range h {
		if !reserved(name) {
			for range values {
				names = append(names, name)
			}
		}
	}
	if names == nil {
		return nil
	}
	slices.Sort(names)
	return named(h, names)
}

func named(h nats.Header, names []string) []messaging.Header {
	headers := make([]messaging.Header, 0, len(names))
	taken := map[string]int{}
	for _, name := range names {
		if n := taken[name]; n < len(h[name]) {
			headers = append(headers, messaging.Header{Name: name, Value: []byte(h[name][n])})
			taken[name]++
		}
	}
	return headers
}
