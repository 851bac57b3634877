package redis

import "context"

// Remove implements messaging.Remover. Groups go with their stream, and remembered message ids when their time is over.
func (c *connection) Remove(ctx context.Context, topic, _ string) error {
	if err := c.usable(topic); err != nil {
		return err
	}
	b := c.client.B()
	return tell("remove", topic, c.client.Run(ctx, b.Del().Key(topic, bookKey(topic), deletedKey(topic)).Build()).Error())
}
