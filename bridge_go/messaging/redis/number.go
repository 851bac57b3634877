package redis

import (
	"fmt"
	"strconv"
	"strings"
)

// An id names an entry of a stream: milliseconds, and a number among those of one millisecond.
type id struct{ ms, seq uint64 }

// An offset is the id in one number, 43 bits of milliseconds (until the year 2248) above 20 of the number within one. It
// is never 0, because no stream has an entry 0-0.
//
// Redis gives out a million numbers within a millisecond only when its clock has gone back: it then counts on under the last
// millisecond. A sink therefore moves the stream on long before ([sink.moveOn]). An id beyond, which can only be someone's own, is refused
// by whoever meets it rather than taken for its neighbour.
const (
	seqBits = 20
	msBits  = 63 - seqBits
	maxSeq  = 1<<seqBits - 1
	maxMs   = 1<<msBits - 1
)

func (i id) String() string {
	return strconv.FormatUint(i.ms, 10) + "-" + strconv.FormatUint(i.seq, 10)
}

// offset is the id's number in the seam.
func (i id) offset() (int64, error) {
	if i.ms > maxMs || i.seq > maxSeq {
		return 0, fmt.Errorf("entry %s has an id that cannot be numbered: at most %d-%d. Let the server make the ids (XADD key *), "+
			"and look at its clock if it did", i, uint64(maxMs), uint64(maxSeq))
	}
	return int64(i.ms<<seqBits | i.seq), nil
}

// idOf undoes offset.
func idOf(offset int64) id {
	if offset < 0 {
		return id{}
	}
	return id{uint64(offset) >> seqBits, uint64(offset) & maxSeq}
}

func parseID(text string) (id, error) {
	ms, seq, ok := strings.Cut(text, "-")
	m, errM := strconv.ParseUint(ms, 10, 64)
	s, errS := strconv.ParseUint(seq, 10, 64)
	if !ok || errM != nil || errS != nil {
		return id{}, fmt.Errorf("%.40q is not the id of an entry", text)
	}
	return id{m, s}, nil
}

func parseOffset(text string) (int64, error) {
	i, err := parseID(text)
	if err != nil {
		return 0, err
	}
	return i.offset()
}

// sortable is the id as text of which the order is that of ids, for sorted sets.
func (i id) sortable() string { return fmt.Sprintf("%013d-%07d", i.ms, i.seq) }
