package program

import (
	"fmt"
	"slices"
	"strings"
)

// checkOrder refuses an order that nobody keeps: where readers share the events of a key, each scores its share as fast as it can.
// One problem a command, at the order.
func checkOrder(root *node, ps *problems) {
	eachStreamCommand(root, func(p path, command *node) {
		n := command.get("order")
		if n.text() == "" || n.text() == "none" {
			return
		}
		if why := notInOrder(root, command); why != "" {
			ps.add(n.place, render(root, p.with("order")), "order", why)
		}
	})
}

// notInOrder says why events of one key may be scored side by side, "" if they are not.
func notInOrder(root, command *node) string {
	input := command.get("input").text()
	connection := root.get("spec", "streams", input, "connection").text()
	switch scheme := schemeOf(root, connection); {
	case slices.Contains([]string{"nats", "tls"}, scheme) && truth(setting(root, connection, "shared")):
		return fmt.Sprintf("%s is on connection %s with shared: true, whose readers share the events of a key. "+
			"Write order: none, or settings: {partitions: N} instead of shared", input, connection)
	case slices.Contains([]string{"redis", "rediss"}, scheme) && scales(command):
		return fmt.Sprintf("%s is on connection %s, which is %s:, where replicas share the events of a key. "+
			"Write order: none, or deploy: {scale: {min: 1, max: 1}}", input, connection, scheme)
	}
	return ""
}

// scales says whether a command may have more than one replica.
func scales(command *node) bool {
	scale := command.get("deploy", "scale")
	count := func(key string) int64 {
		n := scale.get(key)
		if n == nil {
			return 0
		}
		v, _ := n.scalar.(int64)
		return v
	}
	return count("min") > 1 || count("max") > 1 || count("lag") > 0 && scale.get("max") == nil
}

// truth reads a setting as connectors do.
func truth(text string) bool {
	return slices.Contains([]string{"true", "t", "1"}, strings.ToLower(text))
}
