package jetstream

import (
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// tellEvery bounds how often duplicates are logged. The metric counts them all.
const tellEvery = 10 * time.Second

// Duplicates is loud about records that were stored already, because it means one of two things: work done again after a crash,
// whose outputs were stored already, or two different outputs with one ID, of which the second is gone.
type Duplicates struct {
	Count prometheus.Counter
	Log   *slog.Logger

	mu   sync.Mutex
	told time.Time
	more int // since
}

// Tell is told of each. It is safe from any goroutine.
func (d *Duplicates) Tell(id string) {
	d.Count.Inc()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.more++
	if time.Since(d.told) < tellEvery {
		return
	}
	d.Log.Warn("the store has records with these ids already; right after a restart that is expected, otherwise it is not",
		"records", d.more, "one", id)
	d.told, d.more = time.Now(), 0
}
