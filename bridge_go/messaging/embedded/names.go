package embedded

import (
	"fmt"
	"net/url"
)

// streamName makes a name that JetStream and every file system can hold of a topic. Small letters, digits, - and _ stand for
// themselves, all else is %XX: capitals too, because file systems that ignore case would make one folder of two topics.
func streamName(topic string) string {
	name := make([]byte, 0, len(topic))
	for _, b := range []byte(topic) {
		if b >= 'a' && b <= 'z' || b >= '0' && b <= '9' || b == '-' || b == '_' {
			name = append(name, b)
		} else {
			name = fmt.Appendf(name, "%%%02X", b)
		}
	}
	return string(name)
}

// topicName undoes streamName.
func topicName(stream string) (string, error) { return url.PathUnescape(stream) }

// longestName is JetStream's.
const longestName = 255

func checkName(topic string) error {
	switch n := len(streamName(topic)); {
	case n == 0:
		return fmt.Errorf("the name is empty")
	case n > longestName:
		return fmt.Errorf("the name is too long: %d bytes when written as a file name, at most %d", n, longestName)
	}
	return nil
}
