package messagingtest

import (
	"context"
	"testing"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

func removing(t *testing.T, h Harness) {
	t.Run("is as declared", func(t *testing.T) {
		if _, can := start(t, h).conn.(messaging.Remover); can != h.Can.Removes {
			t.Fatalf("the connection is a Remover: %v, declared %v", can, h.Can.Removes)
		}
	})
	if !h.Can.Removes {
		return
	}
	t.Run("takes the records and the group's position", func(t *testing.T) {
		b, _ := settled(t, h, 10)
		before, err := b.conn.Incarnation(b.ctx, b.topic)
		b.must(err)
		b.must(b.conn.(messaging.Remover).Remove(b.ctx, b.topic, group))
		b.remade(before)
		b.write(numbered(20, 3)...)
		b.values(b.read(b.source(group), 3), numbers(20, 3)...)
	})
	t.Run("of what is not there is no error", func(t *testing.T) {
		b := start(t, h)
		b.must(b.conn.(messaging.Remover).Remove(b.ctx, b.topic, group))
	})
}

// remade waits until a topic that was removed is another one, or an empty one where several share a stream that stays: some systems
// take their time.
func (b *bench) remade(before string) {
	b.Helper()
	for empty := 0; b.ctx.Err() == nil && empty < 3; time.Sleep(50 * time.Millisecond) {
		if now, err := b.conn.Incarnation(b.ctx, b.topic); err == nil && now != before {
			return
		}
		empty++
		if b.anything() {
			empty = 0
		}
	}
	if b.ctx.Err() != nil {
		b.Fatal("the topic is still the one that was removed")
	}
}

// anything says whether a record is found within a second, or an error.
func (b *bench) anything() bool {
	ctx, cancel := context.WithTimeout(b.ctx, time.Second)
	defer cancel()
	left, _, err := b.conn.Browse(ctx, b.topic, messaging.Oldest, 1)
	return len(left) > 0 || err != nil && ctx.Err() == nil
}
