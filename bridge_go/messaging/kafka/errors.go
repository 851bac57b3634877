package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// explain says what was being done and, where the cause is a known one, what to do about it.
func (c *connection) explain(doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, messaging.ErrClosed), errors.Is(err, kgo.ErrClientClosed):
		return messaging.ErrClosed
	case errors.Is(err, context.Canceled):
		return err
	}
	if dial := c.dials.failure(); dial != nil && errors.Is(err, context.DeadlineExceeded) {
		err = errors.Join(err, dial)
	}
	if hint := hint(err); hint != "" {
		return fmt.Errorf("kafka: %s: %w (%s)", doing, err, hint)
	}
	return fmt.Errorf("kafka: %s: %w", doing, err)
}

func hint(err error) string {
	var dial *kgo.ErrFirstReadEOF
	switch {
	case errors.Is(err, kerr.SaslAuthenticationFailed):
		return "The broker knows no such user and password"
	case errors.Is(err, kerr.UnsupportedSaslMechanism):
		return "The listener does not offer this sasl mechanism"
	case errors.Is(err, kerr.IllegalSaslState):
		return "This listener does not take logins as configured: is it one for plain connections?"
	case errors.As(err, &dial), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "The broker closed the connection: does this listener want TLS (kafka+tls://), a login (sasl), or another one than this?"
	case refused(err):
		return "Is the address right? A cluster that was reached sends clients to the addresses of its advertised.listeners"
	case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.GroupAuthorizationFailed),
		errors.Is(err, kerr.TransactionalIDAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed):
		return "The user lacks this right"
	case errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.UnknownTopicID):
		return "The topic is not there (any more)"
	}
	return ""
}

// refused says that nobody could be connected to.
func refused(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// permanent says that a record will be refused however often it is written.
func permanent(err error) bool {
	for _, never := range []error{
		kerr.MessageTooLarge, kerr.RecordListTooLarge, kerr.InvalidRecord, kerr.InvalidTimestamp,
		kerr.UnsupportedForMessageFormat, kerr.TopicAuthorizationFailed,
	} {
		if errors.Is(err, never) {
			return true
		}
	}
	return false
}

// fenced says that another process has this one's transactional id or place in the group.
func fenced(err error) bool {
	return errors.Is(err, kerr.ProducerFenced) || errors.Is(err, kerr.InvalidProducerEpoch) ||
		errors.Is(err, kerr.FencedInstanceID) || errors.Is(err, kerr.InvalidProducerIDMapping)
}

// givenUp says that the group goes on without this member.
func givenUp(err error) bool {
	return errors.Is(err, kerr.IllegalGeneration) || errors.Is(err, kerr.UnknownMemberID) || errors.Is(err, kerr.FencedInstanceID) ||
		errors.Is(err, kerr.StaleMemberEpoch) || errors.Is(err, kerr.GroupIDNotFound)
}
