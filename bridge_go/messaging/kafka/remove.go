package kafka

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Remove implements messaging.Remover.
func (c *connection) Remove(ctx context.Context, name, group string) error {
	answer, err := c.admin.DeleteTopic(ctx, name)
	if err == nil {
		err = answer.Err
	}
	if err != nil && !errors.Is(err, kerr.UnknownTopicOrPartition) {
		return c.explain("remove "+name, err)
	}
	if group == "" {
		return nil
	}
	return c.explain("remove group "+group, c.removeGroup(ctx, group))
}

// removeGroup waits for members that were killed to be given up.
func (c *connection) removeGroup(ctx context.Context, group string) error {
	for {
		gone, err := c.admin.DeleteGroup(ctx, group)
		if err == nil {
			err = gone.Err
		}
		if errors.Is(err, kerr.GroupIDNotFound) {
			return nil
		}
		if !errors.Is(err, kerr.NonEmptyGroup) || ctx.Err() != nil {
			return err
		}
		wait(ctx, lastPause)
	}
}
