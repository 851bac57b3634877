package memory

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// A preload is a file's lines, read again and again: a stream of any length that costs nothing to make.
type preload struct {
	lines [][]byte
	total int64
}

func load(path, dir string, repeat int64) (*preload, error) {
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("memory: preload: %w", err)
	}
	p := &preload{}
	for line := range bytes.Lines(data) {
		if line = bytes.TrimSpace(line); len(line) > 0 {
			p.lines = append(p.lines, line)
		}
	}
	p.total = int64(len(p.lines)) * repeat
	return p, nil
}

// open reads from where the group has committed, as any bounded source does.
func (p *preload) open(t *topic, group string) *cycle {
	c := &cycle{p: p, t: t, group: group}
	t.join(group)
	c.next.Store(t.start(group))
	return c
}

type cycle struct {
	p      *preload
	t      *topic
	group  string
	next   atomic.Int64
	closed atomic.Bool
	once   sync.Once
}

func (c *cycle) Read(ctx context.Context, limit messaging.Limit) ([]messaging.Record, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if c.closed.Load() {
		return nil, messaging.ErrClosed
	}
	next := c.next.Load()
	n := min(int64(max(limit.Events, 1)), c.p.total-next)
	if n <= 0 {
		return nil, io.EOF
	}
	records := c.fill(make([]messaging.Record, n), next, limit.Bytes)
	c.next.Store(next + int64(len(records)))
	return records, nil
}

func (c *cycle) fill(records []messaging.Record, next int64, budget int) []messaging.Record {
	lines := c.p.lines
	at, bytes := int(next%int64(len(lines))), 0
	for i := range records {
		line := lines[at]
		if bytes += len(line); bytes > budget && i > 0 {
			return records[:i]
		}
		records[i].Value, records[i].Offset = line, next+int64(i)
		if at++; at == len(lines) {
			at = 0
		}
	}
	return records
}

func (c *cycle) Commit(_ context.Context, upTo []messaging.Position) error {
	for _, p := range upTo {
		c.t.commit(c.group, p.Offset)
	}
	return nil
}

func (c *cycle) Lag(context.Context) int64 { return c.p.total - c.next.Load() }

func (c *cycle) Close(context.Context) error {
	c.once.Do(func() {
		c.closed.Store(true)
		c.t.leave(c.group)
	})
	return nil
}
