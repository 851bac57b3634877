package embedded

import (
	"fmt"

	"ds-runner.dev/ds-runner/bridge_go/messaging/jetstream"
)

// streamName makes a name that JetStream and every file system can hold of a topic.
func streamName(topic string) string { return jetstream.Escaped(topic) }

func checkName(topic string) error {
	switch n := len(streamName(topic)); {
	case n == 0:
		return fmt.Errorf("the name is empty")
	case n > jetstream.LongestName:
		return fmt.Errorf("the name is too long: %d bytes when written as a file name, at most %d", n, jetstream.LongestName)
	}
	return nil
}
