package program

import (
	"fmt"
	"strings"
)

const exactlyOnce = "exactly-once"

// checkGuarantees refuses exactly-once where nothing can store outputs and positions together: it holds from Kafka to the
// same Kafka, and into one PostgreSQL. One problem a command, at the word.
func checkGuarantees(root *node, ps *problems) {
	eachStreamCommand(root, func(p path, command *node) {
		n := command.get("guarantee")
		if n.text() != exactlyOnce {
			return
		}
		if why := notExactlyOnce(root, command); why != "" {
			ps.add(n.place, render(root, p.with("guarantee")), "guarantee", why+
				". Exactly-once holds from Kafka to the same Kafka, or with all that is written in one PostgreSQL. Write at-least-once")
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
	case connection == "" || scheme == "" || scheme == "postgres" || scheme == "postgresql":
		return ""
	case scheme == "kafka" && from == connection:
		return ""
	case scheme == "kafka":
		return fmt.Sprintf("%s is on connection %s and %s on %s", input, from, first, connection)
	}
	return fmt.Sprintf("%s is on connection %s, which is %s:", first, connection, scheme)
}

// schemeOf is that of a connection's URL; "" where it is a secret that only the bridge knows.
func schemeOf(root *node, connection string) string {
	scheme, _, _ := strings.Cut(root.get("spec", "connections", connection, "url").text(), ":")
	if strings.HasPrefix(scheme, "$") {
		return ""
	}
	return strings.TrimSuffix(scheme, "+tls")
}
