package app

import (
	"context"
	"maps"
	"slices"
	"time"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
	"ds-runner.dev/ds-runner/bridge_go/program"
)

// How long a bridge that starts waits for a server that is away, how often it asks, and how often it says so. A broker and a bridge that
// are restarted together must not depend on who is quicker.
const (
	awayTime    = time.Minute
	firstAsk    = 100 * time.Millisecond
	lastAsk     = 2 * time.Second
	betweenTold = 5 * time.Second
)

// reach waits until the servers of a command's streams can be reached. What else is wrong, or stays wrong, is told by who opens the
// streams then.
func (b *bridge) reach(ctx context.Context, c program.Command) {
	ctx, cancel := context.WithTimeout(ctx, awayTime)
	defer cancel()
	for _, stream := range b.opens(c) {
		told := time.Now()
		for pause := firstAsk; ; pause = min(2*pause, lastAsk) {
			_, _, err := b.streams.Open(ctx, stream)
			if !messaging.Away(err) || ctx.Err() != nil {
				break
			}
			if time.Since(told) > betweenTold {
				told = time.Now()
				b.Log.Warn("waiting for a server that is away", "command", c.Name, "stream", stream, "error", err)
			}
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
		}
	}
}

// opens are the streams of program.yaml that a command opens.
func (b *bridge) opens(c program.Command) (all []string) {
	if b.Input == "" {
		all = append(all, c.Input)
	}
	if b.Ledger != "" {
		return all
	}
	for _, stream := range append([]string{c.Output, c.DeadLetter, c.Rejected}, slices.Sorted(maps.Keys(b.program.Spec.Streams))...) {
		overruled := stream == c.Input || stream == c.Output && b.Output != ""
		if stream != "" && !overruled && !slices.Contains(all, stream) {
			all = append(all, stream)
		}
	}
	return all
}
