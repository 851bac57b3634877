package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// Seek implements messaging.Seeker. It reads the file once, to its end. Only formats that keep times can be sought by time.
func (c *connection) Seek(_ context.Context, topic, group string, to messaging.Target, dry bool) ([]messaging.Move, error) {
	if err := c.seekable(topic, to); err != nil {
		return nil, err
	}
	f, err := formatOf(topic, c.settings.lines)
	if err != nil {
		return nil, err
	}
	found, err := c.find(f, topic, to)
	if err != nil {
		return nil, err
	}
	if dry {
		return c.move(topic, group, found, false)
	}
	if !c.readers.Join(topic, group) {
		return nil, fmt.Errorf("file: %s, group %s: %w", topic, group, messaging.ErrBusy)
	}
	defer c.readers.Leave(topic, group)
	return c.move(topic, group, found, true)
}

// Generation implements messaging.Seeker.
func (c *connection) Generation(_ context.Context, topic, group string) (int, error) {
	kept, _, err := c.keptPosition(topic, group)
	return kept.Generation, err
}

func (c *connection) seekable(topic string, to messaging.Target) error {
	if err := c.alive(); err != nil {
		return err
	}
	if c.options.StateDir == "" {
		return fmt.Errorf("file: %s: no positions are kept without a state folder: %w", topic, messaging.ErrNotSupported)
	}
	if to.Kind == messaging.TargetOffset && to.Partition > 0 {
		return fmt.Errorf("file: %s has no partition %d: it has one, number 0", topic, to.Partition)
	}
	return nil
}

// A found place is a target in a file.
type found struct {
	at  place // where the record that is read next begins
	end int64
}

// find reads the file for the target and for its end.
func (c *connection) find(f format, topic string, to messaging.Target) (here found, err error) {
	r, err := openReader(c.path(topic), f, c.settings.maxLine, nil)
	if err != nil {
		return here, err
	}
	defer r.close()
	for arrived, behind := false, (place{}); ; {
		record, next, err := r.next()
		if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) { // the end, or a member that is being written
			if here.end = r.offset; !arrived && to.Kind != messaging.TargetOldest {
				here.at = behind
			}
			return here, nil
		}
		if err != nil {
			return here, err
		}
		if to.Kind == messaging.TargetTime && record.Time == 0 && record.Fault == nil {
			return here, fmt.Errorf("file: %s: the format keeps no times: %w", topic, messaging.ErrNotSupported)
		}
		if !arrived && isAt(&record, to) {
			arrived, here.at = true, behind
		}
		behind = next
	}
}

func isAt(r *messaging.Record, to messaging.Target) bool {
	switch to.Kind {
	case messaging.TargetOffset:
		return r.Offset >= to.Offset
	case messaging.TargetTime:
		return r.Fault == nil && r.Time >= to.Time.UnixNano()
	}
	return false
}

// move says what the place means for a group, and puts the group there.
func (c *connection) move(topic, group string, to found, really bool) ([]messaging.Move, error) {
	kept, known, err := c.keptPosition(topic, group)
	if err != nil {
		return nil, err
	}
	move := messaging.Move{From: -1, To: to.at.Record, End: to.end}
	if known {
		move.From = kept.Next
	}
	if !really {
		return []messaging.Move{move}, nil
	}
	head, err := fingerprintOf(c.path(topic), headBytes)
	if err != nil {
		return nil, err
	}
	if move.To < move.From {
		kept.Generation++
	}
	return []messaging.Move{move}, c.positions.Save(c.path(topic), group, position{
		Topic: topic, Group: group, Next: to.at.Record, At: to.at, Head: head, Generation: kept.Generation,
	})
}

// keptPosition is the group's position, if it is one in the file that is there now.
func (c *connection) keptPosition(topic, group string) (kept position, known bool, err error) {
	if group == "" || c.options.StateDir == "" {
		return kept, false, nil
	}
	known, err = c.positions.Load(c.path(topic), group, &kept)
	if err != nil || !known {
		return position{}, false, err
	}
	now, err := fingerprintOf(c.path(topic), kept.Head.Bytes)
	if os.IsNotExist(err) || err == nil && now != kept.Head {
		return position{}, false, nil
	}
	return kept, true, err
}
