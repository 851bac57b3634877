package kafka

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// How often a broker that is away is asked again, and told of in the log.
const (
	firstPause  = 100 * time.Millisecond
	lastPause   = 2 * time.Second
	betweenLogs = 5 * time.Second
)

// A broker that is killed while it answers closes the connection; so does one that wants TLS or a login and gets none. So many in a row
// are the latter: what is set is wrong, and waiting mends nothing.
const mostHangUps = 4

// patiently asks again while the brokers are away, start, or look for a coordinator or leader: up to start_wait, or the context's end. A bridge
// that starts beside its restarting broker waits for it, rather than end.
func (c *connection) patiently(ctx context.Context, doing string, ask func(ctx context.Context) error) error {
	bounded, cancel := context.WithTimeout(ctx, c.settings.startWait)
	defer cancel()
	hangUps := 0
	told := time.Now()
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		err := ask(ctx)
		if hangUps++; !hungUp(err) {
			hangUps = 0
		}
		if err == nil || !passing(err) || hangUps == mostHangUps || c.isClosed() {
			return err
		}
		if time.Since(told) > betweenLogs {
			told = time.Now()
			c.options.Log.Warn("waiting for the brokers", "connection", c.options.Name, "to", doing, "error", err, "setting", "start_wait")
		}
		if wait(bounded, pause); bounded.Err() != nil {
			return err
		}
	}
}

// passing says that brokers which were just restarted answer so, and soon otherwise.
func passing(err error) bool {
	if errors.Is(err, messaging.ErrNoTopic) || errors.Is(err, kerr.UnknownTopicOrPartition) {
		return false // retriable to the protocol, where a topic may have been made just now
	}
	return kerr.IsRetriable(err) || refused(err) || hungUp(err) || errors.Is(err, syscall.ECONNRESET) || timedOut(err)
}

func hungUp(err error) bool {
	var first *kgo.ErrFirstReadEOF
	return errors.As(err, &first) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// timedOut is about one try: patiently looks at the time of all.
func timedOut(err error) bool {
	var network net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &network) && network.Timeout()
}
