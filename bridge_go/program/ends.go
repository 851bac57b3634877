package program

import (
	"fmt"
	"slices"
)

// Connections that have one end only. What is read cannot be written, and the other way round.
var (
	onlyRead    = []string{"webhook", "failover"}
	onlyWritten = []string{"http", "https"}
)

// checkEnds refuses streams at the end of a command that their connection does not have. One problem each, at the stream's name.
func checkEnds(root *node, ps *problems) {
	eachStreamCommand(root, func(p path, command *node) {
		for _, key := range []string{"input", "output", "rejected", "dead_letter"} {
			n := command.get(key)
			connection := root.get("spec", "streams", n.text(), "connection").text()
			if why := wrongEnd(key, schemeOf(root, connection)); why != "" {
				ps.add(n.place, render(root, p.with(key)), "direction", fmt.Sprintf("%s is on connection %s, which is %s", n.text(), connection, why))
			}
		}
	})
}

// checkRequests refuses an order that an endpoint's connection does not keep: requests of one key follow one another, those of
// several are under way at once. One problem a command, at the order.
func checkRequests(root *node, ps *problems) {
	eachStreamCommand(root, func(p path, command *node) {
		n := command.get("order")
		for _, key := range []string{"output", "rejected", "dead_letter"} {
			name := command.get(key).text()
			connection := root.get("spec", "streams", name, "connection").text()
			if n.text() == "partition" && slices.Contains(onlyWritten, schemeOf(root, connection)) && setting(root, connection, "concurrency") != "1" {
				ps.add(n.place, render(root, p.with("order")), "order", fmt.Sprintf("%s is on connection %s, which keeps the order of keys. "+
					"Write order: key, or settings: {concurrency: 1} there", name, connection))
				return
			}
		}
	})
}

// wrongEnd says why a stream of such a connection is not for this key of a command, and what would be; "" if it is.
func wrongEnd(key, scheme string) string {
	switch {
	case key == "input" && slices.Contains(onlyWritten, scheme):
		return scheme + ": and is written, not read. A webhook: connection receives events"
	case key != "input" && slices.Contains(onlyRead, scheme):
		return scheme + ": and is read, not written. Declare the stream on another connection"
	}
	return ""
}
