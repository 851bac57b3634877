package nats

import (
	"fmt"
	"strconv"
	"strings"
)

// A place is what the server says of a message in the subject by which it is acknowledged:
// $JS.ACK.stream.consumer.delivered.sequence.consumer sequence.time.pending, or with domain and account behind ACK.
type place struct {
	seq, number int64 // in the stream, and of this delivery in the consumer
	stored      int64 // when, ns
	prefix      string
}

func placeOf(reply string) (p place, err error) {
	end := len(reply)
	var words [5]string // delivered, sequence, consumer sequence, time, pending
	if strings.Count(reply, ".") > 10 {
		end = strings.LastIndexByte(reply, '.') // a random word comes last where an account is named
	}
	for i := len(words) - 1; i >= 0; i-- {
		dot := strings.LastIndexByte(reply[:end], '.')
		if dot < 0 {
			return p, fmt.Errorf("a message with the reply subject %q, which is not JetStream's", reply)
		}
		words[i], end = reply[dot+1:end], dot
	}
	p.prefix = reply[:end]
	for i, to := range []*int64{&p.seq, &p.number, &p.stored} {
		if *to, err = strconv.ParseInt(words[i+1], 10, 64); err != nil {
			return p, fmt.Errorf("a message with the reply subject %q: %w", reply, err)
		}
	}
	return p, nil
}

// replyTo makes the subject by which a message is acknowledged that was not seen to be delivered.
func replyTo(prefix string, seq, number int64) string {
	return fmt.Sprintf("%s.1.%d.%d.0.0", prefix, seq, number)
}
