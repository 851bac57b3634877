package messaging

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// A Cursor is a place in a topic, over all its partitions: which offset of each is read next. A partition that it does not
// name begins at its oldest record. As text it reads "0:1024,3:7"; it may be kept.
type Cursor string

const (
	Oldest Cursor = ""    // before the oldest record that is kept
	Newest Cursor = "end" // behind the newest record; only Browse knows where that is
)

// CursorAt is the cursor of a topic that has one partition, number 0.
func CursorAt(next int64) Cursor { return CursorOf(map[int32]int64{0: next}) }

// CursorOf is the cursor of the next offset of each partition.
func CursorOf(next map[int32]int64) Cursor {
	parts := make([]string, 0, len(next))
	for _, p := range slices.Sorted(maps.Keys(next)) {
		parts = append(parts, fmt.Sprintf("%d:%d", p, next[p]))
	}
	return Cursor(strings.Join(parts, ","))
}

// Next is the next offset of each partition that the cursor names. Newest is an error here: ask for it first.
func (c Cursor) Next() (map[int32]int64, error) {
	next := map[int32]int64{}
	if c == Oldest {
		return next, nil
	}
	for part := range strings.SplitSeq(string(c), ",") {
		p, o, _ := strings.Cut(part, ":")
		partition, errP := strconv.ParseInt(p, 10, 32)
		offset, errO := strconv.ParseInt(o, 10, 64)
		if errP != nil || errO != nil || partition < 0 || offset < 0 {
			return nil, fmt.Errorf("%q is no place in a topic: expected \"\" (oldest), %q, or partition:offset pairs", string(c), string(Newest))
		}
		next[int32(partition)] = offset
	}
	return next, nil
}

// Single is the next offset of a topic with one partition: 0 for Oldest, -1 for Newest.
func (c Cursor) Single() (int64, error) {
	if c == Newest {
		return -1, nil
	}
	next, err := c.Next()
	return next[0], err
}

// Passed says whether a record lies before the cursor.
func (c Cursor) Passed(r *Record) bool {
	next, err := c.Next()
	return err == nil && r.Offset < next[r.Partition]
}

// Reached says whether nothing of what lies before end is left to read: what a caller asks that reads up to where a topic
// ended when it began.
func (c Cursor) Reached(end Cursor) bool {
	next, err := c.Next()
	until, errEnd := end.Next()
	if err != nil || errEnd != nil {
		return c == end
	}
	for partition, offset := range until {
		if next[partition] < offset {
			return false
		}
	}
	return true
}

// Offsets are those of positions in a topic that has one partition.
func Offsets(records []Position) []int64 {
	offsets := make([]int64, len(records))
	for i, r := range records {
		offsets[i] = r.Offset
	}
	return offsets
}
