package control

import (
	"context"
	"fmt"
	"strings"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// auditPrefix begins the topics that an audit makes: they alone may be removed, because what a program keeps is not the bridge's to
// delete.
const auditPrefix = "audit-"

// auditRemove deletes a topic of an audit, and what a group keeps of it.
func (k *Control) auditRemove(ctx context.Context, r *request) ([]byte, error) {
	name, group := r.Text("stream"), r.Text("group")
	if r.End(); r.Err != nil {
		return nil, r.Err
	}
	s, err := k.stream(ctx, name)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(s.topic, auditPrefix) {
		return nil, &wire.CallError{Code: "not_of_an_audit", Reason: fmt.Sprintf("the topic %s does not begin with %s: it is not removed", s.topic, auditPrefix)}
	}
	remover, ok := s.conn.(messaging.Remover)
	if !ok {
		return nil, fmt.Errorf("remove %s: %w", s.topic, messaging.ErrNotSupported)
	}
	return nil, remover.Remove(ctx, s.topic, group)
}
