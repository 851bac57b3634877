package postgres

import "context"

// Remove implements messaging.Remover.
func (c *connection) Remove(ctx context.Context, topic, group string) error {
	schema, name, err := c.place(ctx, topic)
	if err != nil {
		return at(topic, "remove", err)
	}
	ctx, cancel := c.limit(ctx)
	defer cancel()
	if _, err := c.pool.Exec(ctx, "drop table if exists "+(&table{schema: schema, name: name}).sql()); err != nil {
		return at(topic, "remove", err)
	}
	if err := c.ensureOwn(ctx); err != nil {
		return at(topic, "remove", err)
	}
	for _, own := range []string{"ds_groups", "ds_positions"} {
		if _, err := c.pool.Exec(ctx, "delete from "+c.ownTable(own)+" where grp = $1", group); err != nil {
			return at(group, "remove", err)
		}
	}
	return nil
}
