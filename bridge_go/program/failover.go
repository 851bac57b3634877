package program

import (
	"fmt"
	"slices"
	"strings"
)

// checkFailovers asks of each connection failover: whether it names two others that can be read and go on at a position, and says
// what names an event. One problem for each setting, at the setting, or at the URL where it is missing.
func checkFailovers(root *node, ps *problems) {
	connections := root.get("spec", "connections")
	for _, name := range connections.keysOf() {
		if schemeOf(root, name) == "failover" {
			f := failover{root, ps, name, connections.below[name], path{"spec", "connections", name}}
			first := f.side("primary", "")
			f.side("secondary", first)
			f.id()
		}
	}
}

// checkReaders refuses replicas of a command that reads such a connection: none knows what another has seen. One problem a command,
// at the input.
func checkReaders(root *node, ps *problems) {
	eachStreamCommand(root, func(p path, command *node) {
		n := command.get("input")
		connection := root.get("spec", "streams", n.text(), "connection").text()
		if schemeOf(root, connection) == "failover" && scales(command) {
			ps.add(n.place, render(root, p.with("input")), "replicas", fmt.Sprintf("%s is on connection %s, which is failover:, and one "+
				"process reads it, because no other knows what it has seen. Write deploy: {scale: {min: 1, max: 1}}", n.text(), connection))
		}
	})
}

type failover struct {
	root     *node
	problems *problems
	name     string
	node     *node
	at       path
}

// side checks the connection that a setting names, which is not to be the one before, and returns its name.
func (f failover) side(key, before string) string {
	given := f.given(key)
	switch {
	case given == "":
		f.report(key, "missing", "is missing. It names a connection. Declared: "+listed(f.others())+".")
	case strings.Contains(given, "${"):
	case given == f.name:
		f.report(key, "cycle", given+" wraps itself")
	case !f.root.get("spec", "connections").has(given):
		f.report(key, "unknown-name", unknown("no connection", given, f.others(), "Declared"))
	case given == before:
		f.report(key, "twice", given+" is the primary as well; the other side has to be another connection")
	default:
		if why := wrongSide(schemeOf(f.root, given)); why != "" {
			f.report(key, "direction", given+" is "+why)
		}
	}
	return given
}

// wrongSide says why such a connection cannot be wrapped, "" if it can.
func wrongSide(scheme string) string {
	switch {
	case scheme == "failover":
		return "failover: itself, and two sides are all there can be"
	case scheme == "webhook":
		return "webhook: and has no position to go on from"
	case slices.Contains(onlyWritten, scheme):
		return scheme + ": and is written, not read"
	}
	return ""
}

func (f failover) id() {
	if f.given("id") == "" {
		f.report("id", "missing", "is missing. It says what names an event on both sides: key, header:NAME, value, or value.FIELD")
	}
}

// given is a setting, which may stand in the URL's query too.
func (f failover) given(key string) string {
	if f.node.get("settings", key) != nil {
		return setting(f.root, f.name, key)
	}
	_, query, _ := strings.Cut(f.node.get("url").text(), "?")
	for part := range strings.SplitSeq(query, "&") {
		if name, value, _ := strings.Cut(part, "="); name == key {
			return value
		}
	}
	return ""
}

// others are the connections that are declared beside this one.
func (f failover) others() []string {
	names := f.root.get("spec", "connections").keysOf()
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == f.name })
}

// report tells of a setting, unless it is bad and has been told of.
func (f failover) report(key, code, text string) {
	if settings := f.node.get("settings"); settings.has(key) && settings.below[key].bad {
		return
	}
	n := f.node.get("settings", key)
	if n == nil {
		n = f.node.get("url")
	}
	f.problems.add(n.place, render(f.root, f.at.with("settings", key)), code, text)
}
