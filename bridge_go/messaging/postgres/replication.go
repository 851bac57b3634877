package postgres

import (
	"context"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

func (c *connection) openReplication(ctx context.Context, sc messaging.SourceConfig, t *table) (messaging.Source, error) {
	return nil, messaging.ErrNotSupported
}
