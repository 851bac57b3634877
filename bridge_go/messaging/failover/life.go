package failover

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/messaging/positions"
)

// askTime bounds the wait for a side that may be dead.
const askTime = 5 * time.Second

// A life is what the sides said of a topic when they were last asked. It stands in for a side that does not answer.
type life struct {
	Incarnation [2]string
	Generation  [2]int
}

// lives asks both sides at once, and keeps what they say. Errors are of those that neither answer nor have before.
func (c *connection) lives(ctx context.Context, topic, group string, ask func(context.Context, messaging.Connection, side, *life) error) (life, error) {
	if c.isClosed() {
		return life{}, messaging.ErrClosed
	}
	var known life
	store := positions.Store{Dir: c.folder()}
	if c.options.StateDir != "" {
		if _, err := store.Load(topic, group, &known); err != nil {
			c.options.Log.Warn("what was known of the sides cannot be read", "error", err)
		}
	}
	said := [2]life{known, known}
	var asking sync.WaitGroup
	for _, s := range []side{primary, secondary} {
		asking.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, askTime)
			defer cancel()
			conn, err := c.other(ctx, s)
			if err == nil {
				err = ask(ctx, conn, s, &said[s])
			}
			if err != nil {
				c.options.Log.Warn("one side does not answer; what it last said is taken", "topic", topic, "side", s.String(), "error", err)
			}
		})
	}
	asking.Wait()
	for s := range said {
		known.Incarnation[s], known.Generation[s] = said[s].Incarnation[s], said[s].Generation[s]
	}
	if c.options.StateDir == "" {
		return known, nil
	}
	return known, store.Save(topic, group, known)
}

// Incarnation implements messaging.Connection: a new one of either side is a new one. A side that has never answered has none yet.
func (c *connection) Incarnation(ctx context.Context, topic string) (string, error) {
	known, err := c.lives(ctx, topic, "", func(ctx context.Context, conn messaging.Connection, s side, l *life) (err error) {
		l.Incarnation[s], err = conn.Incarnation(ctx, c.topic(s, topic))
		return err
	})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(known.Incarnation[primary] + "\x00" + known.Incarnation[secondary]))
	return hex.EncodeToString(sum[:8]), nil
}

// Generation implements messaging.Seeker: the sum of both sides'.
func (c *connection) Generation(ctx context.Context, topic, group string) (int, error) {
	known, err := c.lives(ctx, topic, group, func(ctx context.Context, conn messaging.Connection, s side, l *life) (err error) {
		if seeker, can := conn.(messaging.Seeker); can {
			l.Generation[s], err = seeker.Generation(ctx, c.topic(s, topic), group)
		}
		return err
	})
	return known.Generation[primary] + known.Generation[secondary], err
}

// Seek implements messaging.Seeker. Both sides are moved, so both have to answer; an offset moves the side of its partition. What was
// remembered is forgotten, because it is to be read again.
func (c *connection) Seek(ctx context.Context, topic, group string, to messaging.Target, dry bool) ([]messaging.Move, error) {
	r := reader{topic, group}
	c.mu.Lock()
	busy := c.open[r] != nil
	c.mu.Unlock()
	if busy && !dry {
		return nil, fmt.Errorf("failover: %s, group %s: %w", topic, group, messaging.ErrBusy)
	}
	moved := []side{primary, secondary}
	if to.Kind == messaging.TargetOffset {
		if to.Partition < 0 {
			return nil, fmt.Errorf("failover: %s: an offset means another event on each side. Name a partition (even ones are the primary's, odd ones the secondary's), or move to a time", topic)
		}
		var s side
		s, to.Partition = inside(to.Partition)
		moved = []side{s}
	}
	var seekers [2]messaging.Seeker
	for _, s := range moved { // before anything is moved
		conn, err := c.other(ctx, s)
		if err != nil {
			return nil, fmt.Errorf("failover: %s: %w", s, err)
		}
		seeker, can := conn.(messaging.Seeker)
		if !can {
			return nil, fmt.Errorf("failover: %s (%s): %w", s, c.sides[s], messaging.ErrNotSupported)
		}
		seekers[s] = seeker
	}
	if !dry {
		if err := c.forget(r); err != nil {
			return nil, err
		}
	}
	var all []messaging.Move
	for _, s := range moved {
		moves, err := seekers[s].Seek(ctx, c.topic(s, topic), group, to, dry)
		if err != nil {
			return nil, fmt.Errorf("failover: %s: %w", s, err)
		}
		for _, m := range moves {
			m.Partition = s.outside(m.Partition)
			all = append(all, m)
		}
	}
	slices.SortFunc(all, func(a, b messaging.Move) int { return int(a.Partition - b.Partition) })
	return all, nil
}

// forget drops what is remembered of a reader's events.
func (c *connection) forget(r reader) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.kept, r)
	path := c.journal(r)
	if path == "" {
		return nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("failover: journal: %w", err)
	}
	return nil
}
