package kafka

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// deleted is the header of a marker. Its value lists the offsets of the marker's own partition that are deleted: "12,15,90".
const deleted = "ds-deleted"

func isMarker(r *kgo.Record) bool {
	return len(r.Headers) == 1 && r.Value == nil && r.Key == nil && r.Headers[0].Key == deleted
}

// perMarker bounds a marker's size: an offset has at most 19 digits.
const perMarker = 1000

// Delete appends markers for what is not marked already.
func (c *connection) Delete(ctx context.Context, name string, records []messaging.Position) error {
	t, err := c.topic(ctx, name)
	if err != nil {
		return err
	}
	m, err := c.marksOf(ctx, t, nil)
	if err != nil {
		return c.explain("read the markers of "+name, err)
	}
	var markers []*kgo.Record
	for partition, offsets := range m.missing(records) {
		for part := range slices.Chunk(offsets, perMarker) {
			markers = append(markers, marker(name, partition, part))
		}
	}
	if len(markers) == 0 {
		return nil
	}
	client, err := c.producer(func(string) int32 { return fallbackBatch }, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, c.settings.write)
	defer cancel()
	return c.explain("delete from "+name, write(ctx, client, markers))
}

func marker(name string, partition int32, offsets []int64) *kgo.Record {
	text := make([]string, len(offsets))
	for i, o := range offsets {
		text[i] = strconv.FormatInt(o, 10)
	}
	return &kgo.Record{Topic: name, Partition: partition, Headers: []kgo.RecordHeader{{Key: deleted, Value: []byte(strings.Join(text, ","))}}}
}

// hidden is what the connection knows of markers, by topic.
type hidden struct {
	mu     sync.Mutex
	topics map[string]*marks
}

// marks are a topic's deleted offsets, as far as it was read.
type marks struct {
	mu     sync.Mutex
	id     string
	gone   map[int32]map[int64]bool
	since  map[int32]int64 // from where on markers are known
	read   map[int32]int64 // up to where
	warned bool
}

func (h *hidden) of(t topic) *marks {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := h.topics[t.name]
	if m == nil || m.id != t.id {
		m = &marks{id: t.id, gone: map[int32]map[int64]bool{}, since: map[int32]int64{}, read: map[int32]int64{}}
		h.topics[t.name] = m
	}
	return m
}

// hides says whether a record is not to be shown.
func (m *marks) hides(r *kgo.Record) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return isMarker(r) || m.gone[r.Partition][r.Offset]
}

func (m *marks) missing(records []messaging.Position) map[int32][]int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	found := map[int32][]int64{}
	for _, r := range records {
		if !m.gone[r.Partition][r.Offset] && !slices.Contains(found[r.Partition], r.Offset) {
			found[r.Partition] = append(found[r.Partition], r.Offset)
		}
	}
	return found
}

// see takes note of a marker.
func (m *marks) see(r *kgo.Record) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.read[r.Partition] = max(m.read[r.Partition], r.Offset+1)
	if !isMarker(r) {
		return
	}
	if m.gone[r.Partition] == nil {
		m.gone[r.Partition] = map[int64]bool{}
	}
	for text := range strings.SplitSeq(string(r.Headers[0].Value), ",") {
		if offset, err := strconv.ParseInt(text, 10, 64); err == nil {
			m.gone[r.Partition][offset] = true
		}
	}
}

// marksOf reads the markers of a topic up to its end, from a cursor on or from where they were last read to. Markers lie behind what they name.
func (c *connection) marksOf(ctx context.Context, t topic, from map[int32]int64) (*marks, error) {
	m := c.hidden.of(t)
	starts, err := c.starts(ctx, t.name)
	if err != nil {
		return nil, err
	}
	ends, err := c.ends(ctx, t.name)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	span, next := int64(0), map[int32]int64{}
	for _, n := range t.partitions {
		wanted := max(starts[n], from[n])
		if since, known := m.since[n]; !known || wanted < since {
			m.since[n], m.read[n] = wanted, wanted
		}
		next[n] = max(m.read[n], starts[n])
		if next[n] >= ends[n] {
			delete(next, n)
			continue
		}
		span += ends[n] - next[n]
	}
	tell := span > c.settings.scan && !m.warned
	m.warned = m.warned || tell
	m.mu.Unlock()
	if tell {
		c.options.Log.Warn("the topic is too long to look for deleted records: they are shown", "topic", t.name, "records", span, "setting", "browse_scan")
	}
	if span == 0 || span > c.settings.scan {
		return m, nil
	}
	return m, c.scan(ctx, t.name, next, ends, func(r *kgo.Record) bool { m.see(r); return true })
}

// scan reads partitions from offsets to ends. Control records are included, because a partition may end with one.
func (c *connection) scan(ctx context.Context, name string, next, ends map[int32]int64, visit func(*kgo.Record) bool) error {
	reader, err := c.reader(name, next)
	if err != nil {
		return err
	}
	defer reader.Close()
	open := len(next)
	for open > 0 {
		fetches := reader.PollRecords(ctx, 4096)
		if err := firstError(fetches); err != nil {
			return err
		}
		for iter := fetches.RecordIter(); !iter.Done(); {
			r := iter.Next()
			if r.Offset >= ends[r.Partition] || next[r.Partition] >= ends[r.Partition] {
				continue
			}
			if next[r.Partition] = r.Offset + 1; next[r.Partition] >= ends[r.Partition] {
				open--
			}
			if !visit(r) {
				return nil
			}
		}
	}
	return nil
}

func firstError(fetches kgo.Fetches) error {
	if all := fetches.Errors(); len(all) > 0 {
		return fmt.Errorf("partition %d: %w", all[0].Partition, all[0].Err)
	}
	return nil
}
