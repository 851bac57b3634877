package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"ds-runner.dev/ds-runner/bridge_go/data/pgconn"
	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// lsn is a place in the server's log.
type lsn uint64

func (l lsn) String() string { return fmt.Sprintf("%X/%X", uint32(l>>32), uint32(l)) }

func parseLSN(text string) (lsn, error) {
	var high, low uint32
	if _, err := fmt.Sscanf(text, "%X/%X", &high, &low); err != nil {
		return 0, fmt.Errorf("%q is no place in the log", text)
	}
	return lsn(high)<<32 | lsn(low), nil
}

// ensureSlot makes the publication and the slot when they are missing, in this order: a slot decodes with the catalogue as it was, and
// a publication that came later is not in it. It returns where the slot stands, and whether it is new.
func (c *connection) ensureSlot(ctx context.Context, t *table) (stands lsn, fresh bool, err error) {
	ctx, cancel := c.limit(ctx)
	defer cancel()
	if err := c.replicable(ctx, t); err != nil {
		return 0, false, err
	}
	if err := c.ensurePublication(ctx, t); err != nil {
		return 0, false, err
	}
	var plugin, database, confirmed, status string
	var here bool
	err = c.pool.QueryRow(ctx, `select coalesce(plugin, ''), coalesce(database, ''), coalesce(confirmed_flush_lsn::text, '0/0'),
		coalesce(wal_status, ''), database = current_database() from pg_replication_slots where slot_name = $1`, c.settings.slot).
		Scan(&plugin, &database, &confirmed, &status, &here)
	switch {
	case err == pgx.ErrNoRows:
		fresh = true
		err = c.pool.QueryRow(ctx, "select lsn::text from pg_create_logical_replication_slot($1, 'pgoutput')", c.settings.slot).Scan(&confirmed)
		if err != nil {
			return 0, false, fmt.Errorf("slot %s cannot be made (it waits for transactions that are open, and needs the right REPLICATION and "+
				"a place of max_replication_slots): %w", c.settings.slot, err)
		}
		c.options.Log.Info("made a replication slot: the server keeps its log for it until it is dropped", "slot", c.settings.slot, "topic", t.topic)
	case err != nil:
		return 0, false, err
	case plugin != "pgoutput" || !here:
		return 0, false, fmt.Errorf("slot %s is of plugin %q and database %q, expected pgoutput and this one: name another slot", c.settings.slot, plugin, database)
	case status == "lost":
		return 0, false, fmt.Errorf("slot %s is lost: the server has dropped the log behind it (max_slot_wal_keep_size), and changes with it. "+
			"Drop it with select pg_drop_replication_slot('%s'), and read the table again", c.settings.slot, c.settings.slot)
	}
	stands, err = parseLSN(confirmed)
	return stands, fresh, err
}

// replicable refuses what would fail later, here or in the applications that write to the table.
func (c *connection) replicable(ctx context.Context, t *table) error {
	var found catalogue
	err := c.pool.QueryRow(ctx, "select current_setting('wal_level'), relkind::text, relreplident::text from pg_class where oid = $1", t.oid).
		Scan(&found.level, &found.kind, &found.identity)
	if err != nil {
		return err
	}
	return found.replicable(t)
}

// A catalogue is what replication asks of the server and of a table.
type catalogue struct{ level, kind, identity string }

func (f catalogue) replicable(t *table) error {
	switch {
	case f.level != "logical":
		return fmt.Errorf("slot= needs wal_level = logical, and the server has %s: alter system set wal_level = logical, then restart it", f.level)
	case f.kind != "r" && f.kind != "p":
		return fmt.Errorf("%s is no table whose changes are logged", t.topic)
	case f.identity == "n" || f.identity == "d" && len(t.primary) == 0:
		return fmt.Errorf("table %s has nothing that tells its rows apart, so updates of it would fail as soon as they are published: "+
			"add a primary key, or alter table %s replica identity full", t.topic, t.sql())
	}
	return nil
}

func (c *connection) publication() string {
	if c.settings.publication != "" {
		return c.settings.publication
	}
	return c.settings.slot
}

func (c *connection) ensurePublication(ctx context.Context, t *table) error {
	var exists, has bool
	name := c.publication()
	err := c.pool.QueryRow(ctx, `select exists (select from pg_publication where pubname = $1), exists (select from pg_publication p,
		pg_get_publication_tables(p.pubname) pt where p.pubname = $1 and pt.relid in
		(select $2::oid union select relid from pg_partition_tree($2::oid::regclass)))`, name, t.oid).Scan(&exists, &has)
	if err != nil || has {
		return err
	}
	if exists {
		return fmt.Errorf("publication %s does not have table %s: alter publication %s add table %s", name, t.topic, quote(name), t.sql())
	}
	return c.create(ctx, "publication "+name, "create publication "+quote(name)+" for table "+t.sql()+
		" with (publish = 'insert, update, delete', publish_via_partition_root = true)")
}

// resume finds where a group goes on in the slot, and whether changes between are gone.
func (c *connection) resume(g *group, stands lsn, fresh bool) (from lsn, err error) {
	if g.boundary != nil {
		if from, err = parseLSN(*g.boundary); err != nil {
			return 0, err
		}
	}
	knows := g.boundary != nil || g.position != nowhere
	if !knows || !fresh && (from == 0 || stands <= from) {
		return from, nil
	}
	c.gaps.Inc()
	c.options.Log.Error("the slot has moved past what the group has read, or was made again: changes between are gone",
		"slot", c.settings.slot, "group", g.name, "read", from.String(), "slot_stands", stands.String())
	if !c.settings.skipGaps {
		return 0, &messaging.GapError{Topic: g.topic, Group: g.name, Want: int64(from), Have: int64(stands)}
	}
	return stands, nil
}

// startReplication begins to stream. A server takes a moment to notice that the one who read before has gone.
func (c *connection) startReplication(ctx context.Context, from lsn) (*stream, error) {
	conn, err := c.dial.Replication(ctx)
	if err != nil {
		return nil, err
	}
	s := &stream{conn: conn, relations: map[uint32]*relation{}}
	if err := s.start(ctx, fmt.Sprintf("START_REPLICATION SLOT %s LOGICAL %s (proto_version '1', publication_names '%s')",
		quote(c.settings.slot), from, escape(quote(c.publication())))); err != nil {
		closing, cancel := c.limit(context.Background())
		defer cancel()
		_ = conn.Close(closing)
		if pgconn.Code(err) == "55006" {
			err = fmt.Errorf("slot %s is being read by another process: %w", c.settings.slot, messaging.ErrBusy)
		}
		return nil, err
	}
	return s, nil
}
