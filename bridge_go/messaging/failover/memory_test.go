package failover

import (
	"runtime"
	"testing"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// TestWhatIsRememberedTakesAsMuchAsItIsSaidTo holds docs/streaming.md to its word on window_ids.
func TestWhatIsRememberedTakesAsMuchAsItIsSaidTo(t *testing.T) {
	const n = 100_000
	r := plain
	r.ids, r.output = n, n
	c := newCore(r)
	before := heap()
	for i := range n {
		c.take(1, primary, []messaging.Record{{Offset: int64(i)}}, []id{{1, byte(i >> 16), byte(i >> 8), byte(i)}})
		c.read(messaging.Limit{Events: 1})
		c.settle(2, messaging.Position{Offset: int64(i)})
		c.unsaved = nil
	}
	each := (heap() - before) / n
	t.Logf("%d bytes each", each)
	if each < 100 || each > 300 || c.known != n {
		t.Fatalf("%d events of %d bytes", c.known, each)
	}
	runtime.KeepAlive(c)
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
