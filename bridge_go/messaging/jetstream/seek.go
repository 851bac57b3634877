package jetstream

import (
	"context"
	"fmt"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// A Log is what a stream keeps of a subject: from First on, up to before End.
type Log struct {
	Stream, Subject string
	First, End      int64
}

// Find says which sequence a target means.
func (a *API) Find(ctx context.Context, l Log, to messaging.Target) (int64, error) {
	switch to.Kind {
	case messaging.TargetOldest:
		return l.First, nil
	case messaging.TargetNewest:
		return l.End, nil
	case messaging.TargetOffset:
		return min(max(to.Offset, l.First), l.End), nil
	case messaging.TargetTime:
		return a.at(ctx, l, to.Time.UnixNano())
	}
	return 0, fmt.Errorf("unknown target %d", to.Kind)
}

// at finds the first record that was stored at a time or later, by halves: the times of a stream do not go back.
func (a *API) at(ctx context.Context, l Log, when int64) (int64, error) {
	low, high := l.First, l.End
	for low < high {
		middle := low + (high-low)/2
		request := fetchRequest{Seq: uint64(middle), Subject: l.Subject}
		if request.Subject == "" {
			request.Subject = ">"
		}
		_, seq, stored, err := a.message(ctx, l.Stream, request)
		switch {
		case HasCode(err, CodeNoMessage) || err == nil && stored >= when:
			high = middle
		case err != nil:
			return 0, err
		default:
			low = seq + 1
		}
	}
	return low, nil
}
