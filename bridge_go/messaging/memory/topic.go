package memory

import (
	"context"
	"slices"
	"sync"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// A topic is a log in memory. Records stand in offset order in a slice whose head moves; deleted ones are cut out.
type topic struct {
	name     string
	settings settings

	mu      sync.Mutex
	records []messaging.Record
	ids     map[string]int64 // of the records held, where they have one
	idOf    map[int64]string
	bytes   int64
	nextOff int64
	dropped int64 // everything below was dropped by retention, not deleted one by one
	groups  map[string]*group
	changed chan struct{} // closed and replaced by whoever adds, commits or closes
	closed  bool
}

type group struct {
	committed  int64 // last settled offset, -1 for none
	generation int   // how often it was moved back
	open       bool
}

func newTopic(name string, s settings) *topic {
	return &topic{
		name: name, settings: s, groups: map[string]*group{}, changed: make(chan struct{}),
		ids: map[string]int64{}, idOf: map[int64]string{},
	}
}

// join opens a group for one reader, and tells whether it was free.
func (t *topic) join(name string) bool {
	if name == "" {
		return true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	g := t.groups[name]
	if g == nil {
		g = &group{committed: t.dropped - 1}
		t.groups[name] = g
	}
	if g.open {
		return false
	}
	g.open = true
	return true
}

func (t *topic) leave(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if g := t.groups[name]; g != nil {
		g.open = false
	}
}

// start is the offset at which a group goes on.
func (t *topic) start(name string) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if g := t.groups[name]; g != nil {
		return g.committed + 1
	}
	return t.dropped
}

// read copies the record structs from offset next on, never their bytes. Without any it returns the channel that closes when
// something changes.
func (t *topic) read(next int64, limit messaging.Limit) ([]messaging.Record, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	from := t.index(next)
	n, bytes := 0, 0
	for from+n < len(t.records) && n < max(limit.Events, 1) {
		bytes += int(size(&t.records[from+n]))
		if n > 0 && bytes > limit.Bytes {
			break
		}
		n++
	}
	if n == 0 {
		return nil, t.changed
	}
	return slices.Clone(t.records[from : from+n]), nil
}

func (t *topic) gap(next int64) (oldest int64, missed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.dropped, next < t.dropped
}

func (t *topic) end() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.nextOff
}

func (t *topic) lag(next int64) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return int64(len(t.records) - t.index(next))
}

// append stores one record, or finds that its ID is held already. It waits for room as the settings say.
func (t *topic) append(ctx context.Context, r messaging.Record, id string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, held := t.ids[id]; held && id != "" {
		return nil
	}
	if err := t.makeRoom(ctx, size(&r)); err != nil {
		return err
	}
	r.Partition, r.Offset = 0, t.nextOff
	if id != "" {
		t.ids[id], t.idOf[r.Offset] = r.Offset, id
	}
	t.records = append(t.records, r)
	t.bytes += size(&r)
	t.nextOff++
	return nil
}

func (t *topic) makeRoom(ctx context.Context, want int64) error {
	for t.bytes > 0 && t.bytes+want > t.settings.bytes {
		if t.closed {
			return messaging.ErrClosed
		}
		settled := t.settled()
		if len(t.records) > 0 && t.records[0].Offset <= settled || !t.waits() {
			t.dropOldest()
			continue
		}
		if err := t.waitForChange(ctx); err != nil {
			return err
		}
	}
	if t.closed {
		return messaging.ErrClosed
	}
	return nil
}

func (t *topic) waits() bool {
	return t.settings.full == "wait" || t.settings.full == "auto" && len(t.groups) > 0
}

// waitForChange gives the lock away while it waits. What this writer has added before is announced first: a reader that
// waits for it is the one who will make room.
func (t *topic) waitForChange(ctx context.Context) error {
	t.announce()
	changed := t.changed
	t.mu.Unlock()
	defer t.mu.Lock()
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// commit moves a group's position, never back, and tells whether the group is known.
func (t *topic) commit(name string, offset int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	g := t.groups[name]
	if g == nil || offset <= g.committed {
		return
	}
	g.committed = offset
	if t.settings.keepNone {
		t.dropUpTo(t.settled())
	}
	t.announce()
}

// settled is the offset up to which every group has committed, -1 without groups.
func (t *topic) settled() int64 {
	if len(t.groups) == 0 {
		return -1
	}
	least := t.nextOff
	for _, g := range t.groups {
		least = min(least, g.committed)
	}
	return least
}

func (t *topic) delete(offsets []int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, offset := range offsets {
		if i := t.index(offset); i < len(t.records) && t.records[i].Offset == offset {
			t.forget(&t.records[i])
			t.records = slices.Delete(t.records, i, i+1)
		}
	}
	t.announce()
}

func (t *topic) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		t.closed = true
		t.announce()
	}
}

func (t *topic) isClosed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.closed
}

func (t *topic) dropUpTo(offset int64) {
	for len(t.records) > 0 && t.records[0].Offset <= offset {
		t.dropOldest()
	}
}

func (t *topic) dropOldest() {
	t.forget(&t.records[0])
	t.dropped = t.records[0].Offset + 1
	t.records[0] = messaging.Record{} // lets the bytes go before the slice is moved by a later append
	t.records = t.records[1:]
}

func (t *topic) forget(r *messaging.Record) {
	t.bytes -= size(r)
	if id, ok := t.idOf[r.Offset]; ok {
		delete(t.idOf, r.Offset)
		delete(t.ids, id)
	}
}

// index finds the first record at or behind an offset. Without deletions that is a subtraction.
func (t *topic) index(offset int64) int {
	if len(t.records) == 0 || offset <= t.records[0].Offset {
		return 0
	}
	if i := offset - t.records[0].Offset; i < int64(len(t.records)) && t.records[i].Offset == offset {
		return int(i)
	}
	i, _ := slices.BinarySearchFunc(t.records, offset, func(r messaging.Record, want int64) int {
		return int(min(max(r.Offset-want, -1), 1))
	})
	return i
}

func (t *topic) announce() {
	close(t.changed)
	t.changed = make(chan struct{})
}

// recordOverhead is what a record costs beside its bytes: its struct, and its share of the maps.
const recordOverhead = 128

func size(r *messaging.Record) int64 {
	n := recordOverhead + len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += len(h.Name) + len(h.Value) + 40
	}
	return int64(n)
}
