package messagingtest

import (
	"fmt"
	"slices"
	"testing"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// partitions asks what holds for topics of several partitions. A connector whose topics have one is asked for nothing.
func partitions(t *testing.T, h Harness) {
	if h.Partitioned == nil {
		return
	}
	t.Run("keep the order of a key, which stays in one", func(t *testing.T) {
		b := startPartitioned(t, h, 3)
		b.write(keyed(0, 300)...)
		got := b.read(b.source("g"), 300)
		b.inOrder(got)
		if n := len(byPartition(got)); n < 2 {
			t.Fatalf("300 records of 30 keys came from %d partition", n)
		}
	})
	t.Run("resume each behind its own last commit", func(t *testing.T) {
		b := startPartitioned(t, h, 3)
		b.write(keyed(0, 120)...)
		s := b.source("g")
		want := map[string]bool{}
		for _, records := range byPartition(b.read(s, 120)) {
			half := len(records) / 2
			b.commit(s, records[half])
			for _, r := range records[half+1:] {
				want[string(r.Value)] = true
			}
		}
		b.must(s.Close(b.ctx))
		b.reopen()
		again := b.read(b.source("g"), len(want))
		b.inOrder(again)
		for _, r := range again {
			if !want[string(r.Value)] {
				t.Fatalf("%s came, which was committed or had come already", r.Value)
			}
			delete(want, string(r.Value))
		}
	})
	t.Run("are browsed by one cursor", func(t *testing.T) {
		b := startPartitioned(t, h, 3)
		b.write(keyed(0, 100)...)
		end := b.end(3)
		b.inOrder(b.browseTo(messaging.Oldest, end, 100))
	})
	t.Run("are browsed alone where the cursor passes over the others", func(t *testing.T) {
		b := startPartitioned(t, h, 3)
		b.write(keyed(0, 100)...)
		end := b.end(3)
		all := byPartition(b.browseTo(messaging.Oldest, end, 100))
		for partition, want := range all {
			next, err := end.Next()
			b.must(err)
			next[partition] = want[0].Offset
			got := b.browseTo(messaging.CursorOf(next), end, len(want))
			for _, r := range got {
				if r.Partition != partition {
					t.Fatalf("a record of partition %d came, all but %d are at their ends", r.Partition, partition)
				}
			}
		}
	})
	t.Run("lose single records to Delete, each its own", func(t *testing.T) {
		if h.Can.Deletes {
			deletesInPartitions(t, h)
		}
	})
}

func deletesInPartitions(t *testing.T, h Harness) {
	b := startPartitioned(t, h, 3)
	b.write(keyed(0, 60)...)
	end := b.end(3)
	var gone []messaging.Position
	for _, records := range byPartition(b.browseTo(messaging.Oldest, end, 60)) {
		gone = append(gone, position(records[0]))
	}
	b.must(b.conn.Delete(b.ctx, b.topic, gone))
	for _, r := range b.browseTo(messaging.Oldest, end, 60-len(gone)) {
		if slices.Contains(gone, position(r)) {
			t.Fatalf("%d/%d was deleted and came", r.Partition, r.Offset)
		}
	}
}

func startPartitioned(t *testing.T, h Harness, n int) *bench {
	t.Helper()
	b := start(t, h)
	b.topic = h.Partitioned(t, n)
	return b
}

// end is the cursor behind the newest record, which names each partition.
func (b *bench) end(partitions int) messaging.Cursor {
	b.Helper()
	_, end, err := b.conn.Browse(b.ctx, b.topic, messaging.Newest, 0)
	b.must(err)
	if next, err := end.Next(); err != nil || len(next) != partitions {
		b.Fatalf("behind the newest is %q (%v), want an offset of each of %d partitions", end, err, partitions)
	}
	return end
}

// browseTo wants n records between two cursors, page by page.
func (b *bench) browseTo(from, end messaging.Cursor, n int) (all []messaging.Record) {
	b.Helper()
	for len(all) < n {
		some, after, err := b.conn.Browse(b.ctx, b.topic, from, 7)
		b.must(err)
		if len(some) == 0 || len(some) > 7 {
			b.Fatalf("after %d of %d records a page of 7 has %d, cursor %q", len(all), n, len(some), from)
		}
		all, from = append(all, some...), after
	}
	if len(all) != n || !from.Reached(end) {
		b.Fatalf("%d records up to %q, want %d up to %q", len(all), from, n, end)
	}
	return all
}

// inOrder wants offsets that increase within a partition, and the values of each key increasing, all in one partition.
func (b *bench) inOrder(records []messaging.Record) {
	b.Helper()
	offsets, values, home := map[int32]int64{}, map[string]int{}, map[string]int32{}
	for _, r := range records {
		if last, ok := offsets[r.Partition]; ok && r.Offset <= last {
			b.Fatalf("partition %d: offset %d after %d", r.Partition, r.Offset, last)
		}
		var n int
		fmt.Sscan(string(r.Value), &n)
		key := fmt.Sprint(n % keys)
		if last, ok := values[key]; ok && n <= last {
			b.Fatalf("key %s: %d after %d", key, n, last)
		}
		if was, ok := home[key]; ok && was != r.Partition {
			b.Fatalf("key %s is in partitions %d and %d", key, was, r.Partition)
		}
		offsets[r.Partition], values[key], home[key] = r.Offset, n, r.Partition
	}
}

func byPartition(records []messaging.Record) map[int32][]messaging.Record {
	all := map[int32][]messaging.Record{}
	for _, r := range records {
		all[r.Partition] = append(all[r.Partition], r)
	}
	return all
}

// keys is of how many keys keyed makes records: value n has key n modulo keys.
const keys = 30

func keyed(from, n int) []messaging.Outgoing {
	all := numbered(from, n)
	for i := range all {
		all[i].Key = fmt.Append(nil, "key-", (from+i)%keys)
	}
	return all
}
