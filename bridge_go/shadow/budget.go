package shadow

import (
	"math"
	"sync/atomic"
	"time"
)

// A budget keeps the work of a shadow within a share of its command's: of the events that come it leaves room for as many as the share
// pays for, and the rest is dropped, so that what is compared is a sample. Work is the time for which workers had the batches that
// they have answered; the bridge sees it wherever they run. A worker computes in one thread, so that it is at least the processor time, and
// a shadow's, which has the lower priority, is nearer to the limit than it need be.
type budget struct {
	share        float64 // of the command's work; 0: none is kept
	command, own *atomic.Int64
}

const (
	// advance is the work that a shadow has to its credit at the beginning, or it could not begin.
	advance = time.Second
	// trial is how many events are given to a shadow whose pace nobody knows yet.
	trial = 16
)

// room is how many events more may wait for a shadow that has answered so many, and has so many to answer.
func (b *budget) room(answered uint64, waiting int) int {
	if b.share == 0 {
		return math.MaxInt
	}
	own := float64(b.own.Load())
	if answered == 0 || own == 0 {
		return max(0, trial-waiting)
	}
	left := b.share*float64(b.command.Load()) + float64(advance) - own
	most := left / (own / float64(answered))
	return max(0, int(min(most, math.MaxInt32))-waiting)
}
