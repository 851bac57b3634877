package program

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

const exactlyOnce = "exactly-once"

// checkGuarantees refuses exactly-once where nothing can store outputs and positions together, nor an event's outputs once: it
// holds from Kafka to the same Kafka, into one PostgreSQL, and into one stream of a JetStream. One problem a command, at the word.
func checkGuarantees(root *node, ps *problems) {
	eachStreamCommand(root, func(p path, command *node) {
		n := command.get("guarantee")
		if n.text() != exactlyOnce {
			return
		}
		if why := notExactlyOnce(root, command); why != "" {
			ps.add(n.place, render(root, p.with("guarantee")), "guarantee", why+
				". Exactly-once holds from Kafka to the same Kafka, with all that is written in one PostgreSQL, or in one stream of the "+
				"embedded broker or of NATS. Otherwise write at-least-once")
		}
	})
}

// notExactlyOnce says why a command's route cannot keep the promise, "" if it can.
func notExactlyOnce(root, command *node) string {
	var first, connection string
	for _, key := range []string{"output", "rejected", "dead_letter"} {
		name := command.get(key).text()
		on := root.get("spec", "streams", name, "connection").text()
		switch {
		case name == "" || on == "":
		case connection == "":
			first, connection = name, on
		case on != connection:
			return fmt.Sprintf("%s is on connection %s and %s on %s", first, connection, name, on)
		}
	}
	input := command.get("input").text()
	from := root.get("spec", "streams", input, "connection").text()
	scheme := schemeOf(root, connection)
	switch {
	case connection == "":
		return ""
	case slices.Contains(jetStreams, scheme):
		return notInOneStream(root, first, connection, input, from)
	case slices.Contains([]string{"", "postgres", "postgresql"}, scheme):
		return withoutPosition(root, input, from)
	case scheme == "kafka" && from == connection:
		return ""
	case scheme == "kafka":
		return fmt.Sprintf("%s is on connection %s and %s on %s", input, from, first, connection)
	}
	return fmt.Sprintf("%s is on connection %s, which is %s:", first, connection, scheme)
}

// jetStreams store all records of an event as one, and once, where their topics are parts of one stream.
var jetStreams = []string{"embedded", "nats", "tls"}

// notInOneStream says why an event's outputs are not stored once there: that takes one stream, topics without partitions, and
// events that are known again by their positions.
func notInOneStream(root *node, first, connection, input, from string) string {
	switch source := schemeOf(root, from); {
	case setting(root, connection, "stream") == "":
		return fmt.Sprintf("%s is on connection %s, whose topics are streams of their own: write settings: {stream: NAME} there", first, connection)
	case number(setting(root, connection, "partitions")) > 1:
		return fmt.Sprintf("%s is on connection %s, whose topics have partitions: write to a connection without", first, connection)
	case source != "" && source != "kafka" && !slices.Contains(jetStreams, source):
		return fmt.Sprintf("%s is on connection %s, which is %s:, whose events are not known again for certain", input, from, source)
	}
	return ""
}

// withoutPosition says why no database can keep the position of an input beside its rows, "" if one can.
func withoutPosition(root *node, input, from string) string {
	switch source := schemeOf(root, from); source {
	case "webhook", "failover":
		return fmt.Sprintf("%s is on connection %s, which is %s:, and has not one position", input, from, source)
	}
	return ""
}

// schemeOf is that of a connection's URL; "" where it is a secret that only the bridge knows.
func schemeOf(root *node, connection string) string {
	scheme, _, _ := strings.Cut(root.get("spec", "connections", connection, "url").text(), ":")
	if strings.HasPrefix(scheme, "$") {
		return ""
	}
	return strings.TrimSuffix(scheme, "+tls")
}

// setting is one of a connection's further settings, as it is written.
func setting(root *node, connection, name string) string {
	n := root.get("spec", "connections", connection, "settings", name)
	if n == nil || n.shape != scalarShape {
		return ""
	}
	return n.raw
}

// number is that of a text, 0 where there is none.
func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0
	}
	return n
}
